//! Clients, and primaries behind them, that attack a secondary.

mod control;
mod orders;
mod tokens;

use std::net::SocketAddr;

use anyhow::Context as _;
use kwik_client::{Client, Connect, ErrorCode, Pin};
use kwik_core::admission::{Claims, TokenId};
use kwik_core::time::WallTime;
use kwik_io::env::Env;
use kwik_io::key::IdentityKey;
use kwik_io::sign::{ConfirmationKey, sign_orders};
use kwik_io::token;
use kwik_proto::frame::{
    Admission, ControlFrame, Delegation, Grant, Hello, Order, Orders, ServerIdentity,
};
use kwik_proto::{ByteRange, DelegationId, Epoch, PathId, SessionId};
use kwik_server::{PathSpec, Server};
use kwik_tests::bare::{RawPeer, hello};
use kwik_tests::{Content, certificate, identity, up};
use serde_json::Value;

use crate::attack::{Arena, Attack};
use crate::honest::Honest;
use crate::primary::listening;
use crate::victim::Victim;
use crate::wire::{LAST, at, id};

/// All attacks.
pub(crate) const LISTS: &[&[Attack<Secondary>]] =
    &[tokens::ATTACKS, orders::ATTACKS, control::ATTACKS];

/// A secondary in a process of its own, that an honest primary uses. It trusts the attacker's primary too.
pub(crate) struct Secondary {
    victim: Victim,
    pub(crate) address: SocketAddr,
    pub(crate) pin: Pin,
    /// The key of a primary that the secondary trusts.
    pub(crate) key: IdentityKey,
    /// The key of another honest primary.
    rival: Option<IdentityKey>,
    /// The key that the attacker's tokens are bound to.
    pub(crate) owner: ConfirmationKey,
}

/// A path of the attacker's on the secondary.
pub(crate) struct Attached {
    pub(crate) peer: RawPeer,
    pub(crate) claims: Claims,
    pub(crate) number: u64,
}

impl Secondary {
    /// A secondary that lasts beyond the attack, and trusts the primary of that key.
    pub(crate) fn at(process: u32, address: SocketAddr, pin: Pin, key: IdentityKey) -> Self {
        let owner = ConfirmationKey::generate(&Env::system());
        Self { victim: Victim::shared(process), address, pin, key, rival: None, owner }
    }

    /// One more honest primary, with its client.
    pub(crate) async fn another(&mut self) -> anyhow::Result<Honest> {
        let identity = self.rival.take().context("there is one")?;
        self.honest(identity).await
    }

    /// An honest primary that uses the secondary, with its client.
    async fn honest(&self, identity: IdentityKey) -> anyhow::Result<Honest> {
        let mut server = Server::builder()
            .with_tls(certificate())?
            .with_io("127.0.0.1:0")?
            .with_identity(identity)?
            .start()?;
        let client = Client::builder().with_tls(server.pin())?.start()?;
        let session = client.connect(Connect::new(server.local_addr())).await?;
        let primary = server.accept().await.expect("the server runs");
        let identity = ServerIdentity::Pin(self.pin.0);
        let spec = PathSpec { addresses: vec![self.address], identity, grant_all: false };
        let path = primary.add_path(spec).await?;
        up(&primary, path).await;
        let handle = primary.handle();
        let held = Box::new((server, client, primary));
        Ok(Honest::Delegates { primary: handle, session, path, _held: held })
    }

    /// Claims as they should be.
    pub(crate) fn claims(&self) -> Claims {
        let now = Env::system().wall();
        Claims {
            session: SessionId([9; 16]),
            path: PathId::new(1),
            epoch: Epoch::FIRST,
            audience: ServerIdentity::Pin(self.pin.0),
            not_before: now,
            expires: WallTime(now.0 + 60),
            confirmation_key: self.owner.public(),
            token_id: TokenId(Env::system().random()),
        }
    }

    /// A token as it should be.
    pub(crate) fn token(&self) -> String {
        token::sign(&self.key, &self.claims()).unwrap()
    }

    /// A client that shows that token, with its owner's proof, and has no answer yet.
    pub(crate) async fn show(&self, token: &str) -> RawPeer {
        self.show_as(token, &self.owner).await
    }

    /// The same with another's proof.
    pub(crate) async fn show_as(&self, token: &str, owner: &ConfirmationKey) -> RawPeer {
        let mut peer = RawPeer::silent_client(self.address, self.pin).await;
        let proof = owner.prove(token, &peer.exporter);
        let admission = Some(Admission { token: token.into(), proof });
        peer.send(ControlFrame::Hello(Hello { admission, ..hello() })).await;
        peer
    }

    /// A path as it should be.
    pub(crate) async fn attach(&self) -> Attached {
        let claims = self.claims();
        let peer = self.show(&token::sign(&self.key, &claims).unwrap()).await;
        peer.next(|frame| matches!(frame, ControlFrame::Welcome(_)).then_some(())).await;
        Attached { peer, claims, number: 1 }
    }

    /// Waits until that many clients were refused with that code.
    pub(crate) async fn refused(&mut self, code: ErrorCode, count: u64) -> anyhow::Result<Value> {
        let (name, what) = (format!("{code:?}"), format!("{code:?} is counted {count} times"));
        let counted =
            |said: &Value| said["refused"][&name].as_u64().is_some_and(|seen| seen >= count);
        self.victim.ask_until("metrics", &what, counted).await
    }
}

impl Attached {
    /// Orders as they should be, not signed yet.
    pub(crate) fn orders(&mut self, orders: Vec<Order>) -> Orders {
        let Claims { session, path, epoch, .. } = self.claims;
        let number = self.number;
        self.number += 1;
        Orders { session, path, epoch, number, orders }
    }

    /// Sends orders, signed with that key.
    pub(crate) async fn send(&mut self, key: &IdentityKey, orders: &Orders) {
        let signed = sign_orders(key, orders.encode());
        self.peer.send(ControlFrame::Orders(signed)).await;
    }

    /// Sends orders as they should be.
    pub(crate) async fn order(&mut self, key: &IdentityKey, orders: Vec<Order>) {
        let orders = self.orders(orders);
        self.send(key, &orders).await;
    }
}

/// A grant without end.
pub(crate) fn grant(stream: u64) -> Order {
    Order::Grant(Grant { stream: id(stream), start: at(0), end: None, max_offset: at(LAST) })
}

/// A delegation of the content that the secondary knows.
pub(crate) fn delegation(number: u64, stream: u64, range: ByteRange) -> Order {
    Order::Delegation(Delegation {
        id: DelegationId(number),
        stream: id(stream),
        range,
        resource: Content(5).resource(),
        blake3: None,
        rank: kwik_proto::frame::Rank::default(),
    })
}

impl Arena for Secondary {
    const PARTY: &str = "secondary";

    async fn start() -> anyhow::Result<(Self, Honest)> {
        let ((honest, honest_public), (key, public)) = (identity(), identity());
        let (rival, rival_public) = identity();
        let trusted = [honest_public, public, rival_public].map(|public| public.to_string());
        let [first, second, third] = &trusted;
        let mut victim = Victim::start(&["secondary", first, second, third])?;
        let (address, pin) = listening(&mut victim).await?;
        let owner = ConfirmationKey::generate(&Env::system());
        let arena = Self { victim, address, pin, key, rival: Some(rival), owner };
        let honest = arena.honest(honest).await?;
        Ok((arena, honest))
    }

    fn victim(&mut self) -> &mut Victim {
        &mut self.victim
    }
}
