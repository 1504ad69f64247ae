//! The event loop of an s2n-quic endpoint on a simulated port.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use s2n_quic::provider::io::Provider;
use s2n_quic_core::endpoint::Endpoint;
use s2n_quic_core::event::EndpointPublisher;
use s2n_quic_core::inet::datagram::Header;
use s2n_quic_core::inet::{ExplicitCongestionNotification, SocketAddress};
use s2n_quic_core::io::event_loop::{EventLoop, Stats};
use s2n_quic_core::io::{rx, tx};
use s2n_quic_core::path::{LocalAddress, Tuple, mtu};
use tokio::runtime::Handle;

use super::clock::EnvClock;
use super::{Datagram, Network, Port};
use crate::env::Env;

/// Largest datagram that an endpoint may send: s2n-quic's own limit, MTU probes included.
const LARGEST: usize = 9_216;

/// What s2n-quic starts an endpoint with.
pub(crate) struct Io {
    pub(crate) env: Env,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) port: Arc<Port>,
    pub(crate) runtime: Handle,
    /// As in [`EndpointLimits`](crate::endpoint::EndpointLimits).
    pub(crate) max_mtu: u16,
}

impl Provider for Io {
    type PathHandle = Tuple;
    type Error = io::Error;

    fn start<E: Endpoint<PathHandle = Tuple>>(self, mut endpoint: E) -> io::Result<SocketAddress> {
        let mtu = mtu::Config::builder()
            .with_max_mtu(self.max_mtu)
            .and_then(mtu::Builder::build)
            .map_err(|_| io::Error::other("bad MTU"))?;
        endpoint.set_mtu_config(mtu);
        let local = SocketAddress::from(self.port.address());
        let clock = EnvClock(self.env);
        let (batch, from) = (VecDeque::new(), local.into());
        let tx =
            Outgoing { network: self.network, from: self.port.address(), buffer: [0; LARGEST] };
        let rx = Incoming { port: self.port, queue: Arrived { batch, local: from } };
        // The timers of the loop belong to the host's runtime.
        let _inside = self.runtime.enter();
        let (cooldown, stats) = (Default::default(), Uncounted);
        let event_loop = EventLoop { endpoint, clock, rx, tx, cooldown, stats };
        self.runtime.spawn(event_loop.start(local));
        Ok(local)
    }
}

struct Uncounted;

impl Stats for Uncounted {
    fn publish<P: EndpointPublisher>(&mut self, _publisher: &mut P) {}
}

struct Incoming {
    port: Arc<Port>,
    queue: Arrived,
}

struct Arrived {
    batch: VecDeque<Datagram>,
    local: LocalAddress,
}

impl rx::Rx for Incoming {
    type PathHandle = Tuple;
    type Queue = Arrived;
    type Error = Infallible;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.port.poll_take(cx, &mut self.queue.batch).map(Ok)
    }

    fn queue<F: FnOnce(&mut Arrived)>(&mut self, f: F) {
        f(&mut self.queue);
    }

    fn handle_error<P: EndpointPublisher>(self, error: Infallible, _event: &mut P) {
        match error {}
    }
}

impl rx::Queue for Arrived {
    type Handle = Tuple;

    fn for_each<F: FnMut(Header<Tuple>, &mut [u8])>(&mut self, mut on_packet: F) {
        for mut datagram in self.batch.drain(..) {
            let remote_address = SocketAddress::from(datagram.from).into();
            let path = Tuple { remote_address, local_address: self.local };
            let ecn = ExplicitCongestionNotification::NotEct;
            on_packet(Header { path, ecn }, &mut datagram.payload);
        }
    }

    fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }
}

/// Hands every datagram to the network at once: its queues are the network's affair, so this one is never full.
struct Outgoing {
    network: Arc<dyn Network>,
    from: SocketAddr,
    buffer: [u8; LARGEST],
}

impl tx::Tx for Outgoing {
    type PathHandle = Tuple;
    type Queue = Self;
    type Error = Infallible;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn queue<F: FnOnce(&mut Self)>(&mut self, f: F) {
        f(self);
    }

    fn handle_error<P: EndpointPublisher>(self, error: Infallible, _event: &mut P) {
        match error {}
    }
}

impl tx::Queue for Outgoing {
    type Handle = Tuple;

    fn push<M: tx::Message<Handle = Tuple>>(
        &mut self,
        mut message: M,
    ) -> Result<tx::Outcome, tx::Error> {
        let len = message.write_payload(tx::PayloadBuffer::new(&mut self.buffer), 0)?;
        let to = message.path_handle().remote_address.0.into();
        self.network.send(self.from, to, &self.buffer[..len]);
        Ok(tx::Outcome { len, index: 0 })
    }

    fn capacity(&self) -> usize {
        usize::MAX
    }
}
