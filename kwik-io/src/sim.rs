//! The seam to a simulated world: where its datagrams come from and go to.
//!
//! Only with the feature `sim`, and not covered by the promise of stable versions. A laboratory implements
//! [`Network`], makes an [`Env::simulated`](crate::env::Env::simulated) of it for each host, and drives the host's
//! runtime, whose clock is paused. Everything above is the code that runs for real.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

mod clock;
mod endpoint;
mod random;
mod tls;

pub(crate) use endpoint::Io;
pub(crate) use random::Random;
pub(crate) use tls::{seed, seeded};

/// The network as one simulated host sees it.
pub trait Network: fmt::Debug + Send + Sync {
    /// Binds a port of this host. Port 0: any; an unspecified address: the host's own. The port is free again when
    /// the answer is dropped.
    ///
    /// # Errors
    /// When the port is taken, or the address is not this host's.
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<Port>>;

    /// Sends a datagram. Whether it arrives is the network's affair.
    fn send(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]);

    /// Waits while this host's disk hangs: so long a read would block its thread in the real world.
    fn disk(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }

    /// Whether the host's memory is bad now: what its contributions send is not what their checksums were made of.
    fn spoils(&self) -> bool;
}

/// A bound UDP port of a simulated host: what has arrived and was not read yet.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    room: usize,
    inbox: Mutex<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    datagrams: VecDeque<Datagram>,
    bytes: usize,
    reader: Option<Waker>,
}

/// What arrived.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) payload: Vec<u8>,
}

impl Port {
    /// A port with room for `room` bytes that nobody has read. When it is full, its host pays: what arrives is lost,
    /// as in the buffer of a socket.
    pub fn new(address: SocketAddr, room: usize) -> Self {
        Self { address, room, inbox: Mutex::default() }
    }

    /// The address that it is bound to: the host's own, and the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A datagram arrives. `false`: no room, it is lost.
    pub fn deliver(&self, from: SocketAddr, payload: Vec<u8>) -> bool {
        let mut inbox = self.inbox();
        if inbox.bytes + payload.len() > self.room {
            return false;
        }
        inbox.bytes += payload.len();
        inbox.datagrams.push_back(Datagram { from, payload });
        if let Some(reader) = inbox.reader.take() {
            reader.wake();
        }
        true
    }

    /// Moves what arrived to `out`; pending when that is nothing.
    pub(crate) fn poll_take(&self, cx: &Context<'_>, out: &mut VecDeque<Datagram>) -> Poll<()> {
        let mut inbox = self.inbox();
        if inbox.datagrams.is_empty() {
            inbox.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        inbox.bytes = 0;
        out.append(&mut inbox.datagrams);
        Poll::Ready(())
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
