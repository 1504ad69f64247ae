//! A link, as a scenario holds it.

use std::net::SocketAddr;

use super::forwarder::Settings;
use super::report::Report;
use super::shape::Shape;
use crate::child::Child;
use crate::role::Role;

/// A forwarder that runs. Ends when dropped.
pub(crate) struct Link {
    process: Child,
    address: SocketAddr,
}

impl Link {
    /// A link to `target`, the same in both directions.
    pub(crate) fn start(target: SocketAddr, shape: Shape) -> anyhow::Result<Self> {
        let settings = Settings { target, up: shape, down: shape, seed: u64::from(target.port()) };
        let mut process = Child::start(&Role::Link(settings))?;
        let address = process.hear()?;
        Ok(Self { process, address })
    }

    /// Where clients send to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts another server behind this link, which shares its rate and its queue. Where clients of it send to.
    pub(crate) fn also(&mut self, target: SocketAddr) -> anyhow::Result<SocketAddr> {
        self.process.tell(&format!("also {target}"))?;
        self.process.hear()
    }

    /// Drops everything from now on, and closes nothing.
    pub(crate) fn silence(&mut self) -> anyhow::Result<()> {
        self.process.tell("silent")
    }

    /// Carries again, after [`silence`](Self::silence).
    pub(crate) fn restore(&mut self) -> anyhow::Result<()> {
        self.process.tell("back")
    }

    /// How it did so far.
    pub(crate) fn report(&mut self) -> anyhow::Result<Report> {
        self.process.tell("report")?;
        self.process.hear()
    }
}
