//! What happened, in order.

use std::net::SocketAddr;
use std::time::Duration;

use crate::action::Action;
use crate::link::Fate;

/// Something that happened in a laboratory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A datagram was sent over a link.
    Sent {
        /// Who sent it.
        from: SocketAddr,
        /// To whom.
        to: SocketAddr,
        /// Bytes of UDP payload.
        length: usize,
        /// CRC-32C of the UDP payload, before the link touches it.
        checksum: u32,
        /// What the link makes of it.
        fate: Fate,
    },
    /// A datagram was sent to where no link leads.
    NoRoute {
        /// Who sent it.
        from: SocketAddr,
        /// To whom.
        to: SocketAddr,
    },
    /// A datagram arrived where nobody listens, at an address that its NAT forgot, or where the socket's buffer was full.
    NotTaken {
        /// To whom it was sent.
        to: SocketAddr,
    },
    /// Something was done.
    Action(Action),
    /// What software had to say; see [`Host::note`](crate::Host::note).
    Note {
        /// Its host.
        host: String,
        /// What it said.
        text: String,
    },
}

/// What a run was like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The seed that repeats it.
    pub seed: u64,
    /// Simulated time until the client was done.
    pub elapsed: Duration,
    /// All that happened, with its time after the start. Of equal seeds, equal.
    pub events: Vec<(Duration, Event)>,
}

impl Report {
    /// Bytes of UDP payload that were sent from a server's address to anybody, lost ones included.
    pub fn bytes_from(&self, server: SocketAddr) -> u64 {
        let sent = self.events.iter().filter_map(|(_, event)| match event {
            Event::Sent { from, length, .. } if *from == server => Some(*length as u64),
            _ => None,
        });
        sent.sum()
    }
}
