//! The event loop of an endpoint over a UDP socket, in one task.
//!
//! s2n-quic's own has three tasks with rings between them, and sends at most ten packets in one call, which at an MTU of
//! 1,500 is the larger part of a transfer's cost (docs/upstream/bursts.md). This one receives and sends where the endpoint runs, and
//! fills each call as far as the kernel takes it: 64 packets or 64 KiB.

mod receive;
mod send;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn_udp::UdpSocketState;
use s2n_quic::provider::io::Provider;
use s2n_quic_core::endpoint::Endpoint;
use s2n_quic_core::event::EndpointPublisher;
use s2n_quic_core::inet::SocketAddress;
use s2n_quic_core::io::event_loop::{EventLoop, Stats};
use s2n_quic_core::path::{Tuple, mtu};
use tokio::runtime::Handle;

use super::clock::EnvClock;
use crate::env::Env;
use receive::Incoming;
use send::Outgoing;

/// What s2n-quic starts an endpoint with.
pub(crate) struct Io {
    pub(crate) env: Env,
    /// Bound and not blocking.
    pub(crate) socket: UdpSocket,
    pub(crate) runtime: Handle,
    /// As in [`EndpointLimits`](super::EndpointLimits).
    pub(crate) max_mtu: u16,
}

impl Provider for Io {
    type PathHandle = Tuple;
    type Error = io::Error;

    fn start<E: Endpoint<PathHandle = Tuple>>(self, mut endpoint: E) -> io::Result<SocketAddress> {
        let local = self.socket.local_addr()?;
        let state = UdpSocketState::new((&self.socket).into())?;
        let mtu = if state.may_fragment() {
            // A path can't be probed with packets that arrive in pieces.
            mtu::Config::MIN
        } else {
            mtu::Config::builder()
                .with_max_mtu(self.max_mtu)
                .and_then(mtu::Builder::build)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not an MTU of QUIC's"))?
        };
        endpoint.set_mtu_config(mtu);
        // The socket and the timers of the loop belong to the worker's runtime.
        let _inside = self.runtime.enter();
        let io = tokio::net::UdpSocket::from_std(self.socket)?;
        let socket = Arc::new(Socket { io, state, local });
        let event_loop = EventLoop {
            endpoint,
            clock: EnvClock(self.env),
            rx: Incoming::new(Arc::clone(&socket)),
            tx: Outgoing::new(socket, self.max_mtu),
            cooldown: Default::default(),
            stats: Uncounted,
        };
        self.runtime.spawn(event_loop.start(local.into()));
        Ok(local.into())
    }
}

/// A socket, and what is known of the kernel below it.
struct Socket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

struct Uncounted;

impl Stats for Uncounted {
    fn publish<P: EndpointPublisher>(&mut self, _publisher: &mut P) {}
}

/// Lets the worker's other tasks run between two turns of a loop that always has something to do.
#[derive(Debug, Default)]
struct Turn {
    over: bool,
}

impl Turn {
    /// The loop did something.
    fn end(&mut self) {
        self.over = true;
    }

    /// Pending once after each turn.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.over) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests;
