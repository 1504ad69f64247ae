//! Clients that attack a primary.

mod control;
mod datagrams;
mod floods;
mod greed;
mod handshakes;
mod relay;
mod streams;
mod windows;

use std::net::SocketAddr;

use anyhow::Context as _;
use kwik_client::{Client, Connect, ErrorCode, Pin};
use kwik_tests::bare::RawPeer;
use serde_json::Value;

use crate::attack::{Arena, Attack};
use crate::honest::Honest;
use crate::victim::Victim;

/// All attacks.
pub(crate) const LISTS: &[&[Attack<Primary>]] = &[
    handshakes::ATTACKS,
    control::ATTACKS,
    streams::ATTACKS,
    floods::ATTACKS,
    greed::ATTACKS,
    windows::ATTACKS,
    datagrams::ATTACKS,
];

/// A primary in a process of its own, with an honest client.
pub(crate) struct Primary {
    victim: Victim,
    /// With the honest session, where the attack is on another primary.
    beside: Option<Victim>,
    pub(crate) address: SocketAddr,
    pub(crate) pin: Pin,
}

/// Where a server that has just been started listens, and its pin.
pub(crate) async fn listening(victim: &mut Victim) -> anyhow::Result<(SocketAddr, Pin)> {
    let said = victim.answer().await?;
    let text = |name: &str| said[name].as_str().with_context(|| format!("no {name} in {said}"));
    let pin = text("pin")?.parse().map_err(|_| anyhow::anyhow!("no pin in {said}"))?;
    Ok((text("address")?.parse()?, pin))
}

impl Primary {
    async fn with(args: &[&str]) -> anyhow::Result<Self> {
        let mut victim = Victim::start(&[&["primary"], args].concat())?;
        let (address, pin) = listening(&mut victim).await?;
        Ok(Self { victim, beside: None, address, pin })
    }

    /// A primary that lasts beyond the attack.
    pub(crate) fn at(process: u32, address: SocketAddr, pin: Pin) -> Self {
        Self { victim: Victim::shared(process), beside: None, address, pin }
    }

    /// The attack is on another primary, of that kind; the honest session stays where it is.
    pub(crate) async fn switch(&mut self, args: &[&str]) -> anyhow::Result<()> {
        let other = Self::with(args).await?;
        let beside = std::mem::replace(self, other);
        self.beside = Some(beside.victim);
        self.victim.mark();
        Ok(())
    }

    /// An honest client.
    pub(crate) async fn honest(&self) -> anyhow::Result<Honest> {
        let client = Client::builder().with_tls(self.pin)?.start()?;
        let session = client.connect(Connect::new(self.address)).await?;
        Ok(Honest::Asks { session, _client: client })
    }

    /// A client whose Hello is answered.
    pub(crate) async fn client(&self) -> RawPeer {
        RawPeer::client(self.address, self.pin).await
    }

    /// A client that has said nothing yet.
    pub(crate) async fn silent(&self) -> RawPeer {
        RawPeer::silent_client(self.address, self.pin).await
    }

    /// Waits until that many clients were refused with that code.
    pub(crate) async fn refused(&mut self, code: ErrorCode, count: u64) -> anyhow::Result<Value> {
        let (name, what) = (format!("{code:?}"), format!("{code:?} is counted {count} times"));
        let counted =
            |said: &Value| said["refused"][&name].as_u64().is_some_and(|seen| seen >= count);
        self.victim.ask_until("metrics", &what, counted).await
    }

    /// One of its counters.
    pub(crate) async fn counter(&mut self, name: &str) -> anyhow::Result<u64> {
        Ok(self.victim.ask("metrics").await?[name].as_u64().unwrap_or(0))
    }
}

impl Arena for Primary {
    const PARTY: &str = "primary";

    async fn start() -> anyhow::Result<(Self, Honest)> {
        let arena = Self::with(&[]).await?;
        let honest = arena.honest().await?;
        Ok((arena, honest))
    }

    fn victim(&mut self) -> &mut Victim {
        &mut self.victim
    }
}
