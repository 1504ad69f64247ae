//! What a run is about: links, sizes, faults.

use std::time::Duration;

use kwik_core::delegation::{DelegationConfig, Local};
use kwik_proto::frame::GapReason;

use super::outcome::Outcome;
use super::{MBIT, World, ms};

/// One server and its link to the client.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) rate: u64,
    pub(crate) rtt: Duration,
}

pub(crate) fn link(mbit: u64, rtt_ms: u64) -> Link {
    Link { rate: mbit * MBIT, rtt: ms(rtt_ms) }
}

/// What goes wrong. Servers are counted from 1; 0 is the primary.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Nothing is heard of the server any more.
    Dies(usize),
    /// It stops in its tracks, and goes on where it was.
    Freezes(usize, Duration),
    /// It answers, but reads nothing from its disk.
    DiskHangs(usize, Duration),
    /// It refuses everything from now on.
    Refuses(usize, GapReason),
    /// Its link has this many bytes per second from now on.
    Rate(usize, u64),
    /// It resets what it is sending.
    Resets(usize),
    /// Nothing gets through to or from the client.
    Outage(Duration),
    /// The client's process stands still.
    ClientStops(Duration),
    /// The primary takes the path out of the session.
    Removed(usize),
    /// It answers Pending until then.
    Pending(usize, Duration),
}

impl Fault {
    /// How long it lasts, where that is known.
    pub(crate) fn cost(&self) -> Duration {
        match *self {
            Fault::Freezes(_, time)
            | Fault::DiskHangs(_, time)
            | Fault::Outage(time)
            | Fault::ClientStops(time)
            | Fault::Pending(_, time) => time,
            _ => Duration::ZERO,
        }
    }
}

/// In which order a server sends its ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    OneByOne,
    InTurns,
}

#[derive(Clone, Debug)]
pub(crate) struct Lab {
    pub(crate) primary_rtt: Duration,
    /// The primary's own link, if it is a source.
    pub(crate) local: (Local, u64),
    pub(crate) links: Vec<Link>,
    pub(crate) size: u64,
    pub(crate) window: u64,
    pub(crate) order: Order,
    pub(crate) dialled: bool,
    pub(crate) config: DelegationConfig,
    pub(crate) faults: Vec<(Duration, Fault)>,
    pub(crate) seed: u64,
    pub(crate) limit: Duration,
    /// Bytes per second that the reader takes; `None`: all at once.
    pub(crate) reader: Option<u64>,
}

impl Lab {
    pub(crate) fn new(primary_rtt_ms: u64, links: &[Link], size: u64) -> Self {
        Self {
            primary_rtt: ms(primary_rtt_ms),
            local: (Local::None, 100 * MBIT),
            links: links.to_vec(),
            size,
            window: 16 << 20,
            order: Order::OneByOne,
            dialled: false,
            config: DelegationConfig::default(),
            faults: Vec::new(),
            seed: 1,
            limit: Duration::from_secs(120),
            reader: None,
        }
    }

    pub(crate) fn fault(mut self, at: Duration, fault: Fault) -> Self {
        self.faults.push((at, fault));
        self
    }

    pub(crate) fn run(&self) -> Outcome {
        World::new(self).run()
    }
}
