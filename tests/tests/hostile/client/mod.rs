//! Servers that attack a client.

mod addresses;
mod carriers;
mod contributions;
mod floods;
mod greed;
mod helpers;
mod primaries;
mod windows;

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use kwik_client::ErrorCode;
use kwik_proto::frame::{ControlFrame, Order, Orders};
use kwik_server::{PathId, PrimarySession, PublicKey, Server};
use kwik_tests::bare::{BareServer, RawPeer};
use kwik_tests::{SecondaryServer, certificate, identity, up};
use serde_json::Value;

use crate::attack::{Arena, Attack};
use crate::honest::{CONTENT, Honest};
use crate::victim::Victim;

/// Attacks by primaries.
pub(crate) const BY_PRIMARIES: &[&[Attack<ByPrimary>]] = &[
    primaries::ATTACKS,
    addresses::ATTACKS,
    carriers::ATTACKS,
    floods::ATTACKS,
    greed::BY_PRIMARIES,
    windows::BY_PRIMARIES,
];

/// Attacks by secondaries.
pub(crate) const BY_SECONDARIES: &[&[Attack<BySecondary>]] =
    &[contributions::ATTACKS, helpers::ATTACKS, greed::BY_SECONDARIES, windows::BY_SECONDARIES];

/// A client in a process of its own, with a session at an honest primary, that connects to the attacker's primary too.
pub(crate) struct ByPrimary {
    victim: Victim,
    pub(crate) server: BareServer,
}

/// A client in a process of its own, with an honest primary, which uses the attacker's secondary beside an honest one.
pub(crate) struct BySecondary {
    victim: Victim,
    pub(crate) server: BareServer,
    pub(crate) primary: PrimarySession,
    key: PublicKey,
}

/// The honest primary of a client, with an honest secondary, and the client's session there.
struct Home {
    primary: PrimarySession,
    key: PublicKey,
    helper: PathId,
    server: Server,
}

impl Home {
    /// A client, and its first.
    async fn start() -> anyhow::Result<(Victim, Self)> {
        let mut victim = Victim::start(&["client"])?;
        victim.answer().await?;
        let home = Self::of(&mut victim).await?;
        Ok((victim, home))
    }

    /// One more of a client.
    async fn of(victim: &mut Victim) -> anyhow::Result<Self> {
        let (identity, key) = identity();
        let mut server = Server::builder()
            .with_tls(certificate())?
            .with_io("127.0.0.1:0")?
            .with_identity(identity)?
            .start()?;
        let said = connect(victim, server.local_addr(), server.pin(), "read").await?;
        ensure!(said["session"].is_u64(), "{said}");
        let primary = server.accept().await.context("the server runs")?;
        let helper = primary.add_path(SecondaryServer::start(&key).obey()).await?;
        up(&primary, helper).await;
        Ok(Self { primary, key, helper, server })
    }

    fn honest(self) -> Honest {
        let Self { primary, helper, server, .. } = self;
        let handle = primary.handle();
        let held = Box::new((primary, server));
        Honest::Sends { primary: handle, helper: Some(helper), _held: held }
    }
}

/// One more honest primary of that client.
pub(crate) async fn honest(victim: &mut Victim) -> anyhow::Result<Honest> {
    Ok(Home::of(victim).await?.honest())
}

async fn connect(
    victim: &mut Victim,
    address: SocketAddr,
    pin: kwik_client::Pin,
    mode: &str,
) -> anyhow::Result<Value> {
    victim.ask(&format!("connect {address} {pin} {mode}")).await
}

/// Whether a session counted a fault of that code, that often.
fn counted(said: &Value, code: ErrorCode, least: u64) -> bool {
    let name = format!("{code:?}");
    said["faults"].as_array().is_some_and(|faults| {
        faults.iter().any(|it| it[1] == name.as_str() && it[2].as_u64() >= Some(least))
    })
}

impl ByPrimary {
    /// The client's connection to the attacker's primary, before its Welcome.
    pub(crate) async fn greeted(&mut self) -> anyhow::Result<RawPeer> {
        self.greeted_in("read").await
    }

    /// The same of a client in that mode.
    pub(crate) async fn greeted_in(&mut self, mode: &str) -> anyhow::Result<RawPeer> {
        let (address, pin) = (self.server.address(), self.server.pin());
        let connecting = connect(&mut self.victim, address, pin, mode);
        let (said, peer) = tokio::join!(connecting, self.server.accept_raw());
        let said = said?;
        ensure!(said["session"].is_u64(), "{said}");
        peer.find(|frame| matches!(frame, ControlFrame::Hello(_)).then_some(()))
            .await
            .map_err(|end| anyhow::anyhow!("no Hello, but {end:?}"))?;
        Ok(peer)
    }

    /// A session of the client with the attacker's primary.
    pub(crate) async fn session(&mut self) -> anyhow::Result<RawPeer> {
        self.session_in("read").await
    }

    /// The same of a client in that mode.
    pub(crate) async fn session_in(&mut self, mode: &str) -> anyhow::Result<RawPeer> {
        let mut peer = self.greeted_in(mode).await?;
        peer.welcome(kwik_proto::SessionId([7; 16])).await;
        Ok(peer)
    }

    /// Waits until the client's session with the attacker has counted a fault.
    pub(crate) async fn counts(&mut self, code: ErrorCode, least: u64) -> anyhow::Result<Value> {
        let what = format!("{code:?} is counted {least} times");
        self.victim.ask_until("session last", &what, |said| counted(said, code, least)).await
    }

    /// Has the client open so many uploads to the attacker.
    pub(crate) async fn uploads(&mut self, count: u64) -> anyhow::Result<Value> {
        self.victim.ask(&format!("open last {count}")).await
    }
}

impl Arena for ByPrimary {
    const PARTY: &str = "client, by a primary";

    async fn start() -> anyhow::Result<(Self, Honest)> {
        let (victim, home) = Home::start().await?;
        Ok((Self { victim, server: BareServer::start() }, home.honest()))
    }

    fn victim(&mut self) -> &mut Victim {
        &mut self.victim
    }
}

/// A stream of the honest primary, of which the attacker may send a part.
pub(crate) struct Target {
    pub(crate) stream: kwik_server::stream::SendStream,
    pub(crate) peer: RawPeer,
}

impl BySecondary {
    /// The client is connected to the attacker's secondary, which is granted every stream or none. Before its Welcome.
    pub(crate) async fn dialled(&mut self, grant_all: bool) -> anyhow::Result<(RawPeer, PathId)> {
        let path = self.primary.add_path(self.server.spec(grant_all)).await?;
        let peer = self.server.accept_raw().await;
        Ok((peer, path))
    }

    /// The attacker's secondary, as it should be so far.
    pub(crate) async fn attached(&mut self, grant_all: bool) -> anyhow::Result<(RawPeer, PathId)> {
        let path = self.primary.add_path(self.server.spec(grant_all)).await?;
        let (peer, _) = self.server.accept_raw_as_secondary(&self.key).await;
        up(&self.primary, path).await;
        Ok((peer, path))
    }

    /// The same with a stream that the client reads the first 100 bytes of, and that the attacker is granted, or not.
    pub(crate) async fn target(&mut self, grant_all: bool) -> anyhow::Result<Target> {
        let (peer, _) = self.attached(grant_all).await?;
        let mut stream = self.primary.handle().open_send_stream().await?;
        stream.send(CONTENT.bytes(0, 100)).await?;
        if grant_all {
            let granted = |order: &Order| matches!(order, Order::Grant(grant) if grant.stream.value() == stream.id());
            peer.next(|frame| match frame {
                ControlFrame::Orders(signed) => {
                    let orders = Orders::decode(&signed.body).ok()?;
                    orders.orders.iter().any(granted).then_some(())
                }
                _ => None,
            })
            .await;
        } else {
            // Nothing tells the attacker that the client has the stream.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Ok(Target { stream, peer })
    }

    /// Waits until the client's session has counted a fault of the attacker's.
    pub(crate) async fn counts(&mut self, code: ErrorCode, least: u64) -> anyhow::Result<Value> {
        let what = format!("{code:?} is counted {least} times");
        self.victim.ask_until("session 0", &what, |said| counted(said, code, least)).await
    }
}

impl Arena for BySecondary {
    const PARTY: &str = "client, by a secondary";

    async fn start() -> anyhow::Result<(Self, Honest)> {
        let (victim, Home { primary, key, helper, server }) = Home::start().await?;
        let honest = Honest::Sends {
            primary: primary.handle(),
            helper: Some(helper),
            _held: Box::new(server),
        };
        Ok((Self { victim, server: BareServer::start(), primary, key }, honest))
    }

    fn victim(&mut self) -> &mut Victim {
        &mut self.victim
    }
}
