//! From the socket to the endpoint.

use std::io::{self, IoSliceMut};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn_udp::{EcnCodepoint, RecvMeta};
use s2n_quic_core::event::EndpointPublisher;
use s2n_quic_core::inet::datagram::Header;
use s2n_quic_core::inet::{ExplicitCongestionNotification, SocketAddress};
use s2n_quic_core::io::rx;
use s2n_quic_core::path::{LocalAddress, Tuple};
use tokio::io::Interest;

use super::{Socket, Turn};

/// Calls' worth of datagrams that are read at a time. Less: more calls. More: they leave the processor's cache before they are
/// decrypted.
const SLOTS: usize = 16;
/// The most that one slot takes: what the kernel joins of one sender's datagrams (GRO), at most.
const SLOT: usize = u16::MAX as usize;

/// Datagrams that have been read and not yet been given to the endpoint.
pub(super) struct Incoming {
    socket: Arc<Socket>,
    slots: Vec<u8>,
    read: [RecvMeta; SLOTS],
    count: usize,
    turn: Turn,
}

impl Incoming {
    pub(super) fn new(socket: Arc<Socket>) -> Self {
        let slots = vec![0; SLOTS * SLOT];
        Self { socket, slots, read: [RecvMeta::default(); SLOTS], count: 0, turn: Turn::default() }
    }

    fn read(&mut self) -> io::Result<usize> {
        let Socket { io, state, .. } = &*self.socket;
        let mut slots = self.slots.chunks_exact_mut(SLOT);
        let mut slots: [_; SLOTS] =
            std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
        io.try_io(Interest::READABLE, || state.recv(io.into(), &mut slots, &mut self.read))
    }

    fn path(&self, read: &RecvMeta) -> Tuple {
        let local = self.socket.local;
        let local = read.dst_ip.map_or(local, |ip| (ip, local.port()).into());
        let remote_address = SocketAddress::from(read.addr).into();
        Tuple { remote_address, local_address: LocalAddress::from(SocketAddress::from(local)) }
    }
}

impl rx::Rx for Incoming {
    type PathHandle = Tuple;
    type Queue = Self;
    type Error = io::Error;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.turn.poll_next(cx));
        loop {
            ready!(self.socket.io.poll_recv_ready(cx))?;
            match self.read() {
                Ok(count) => {
                    self.count = count;
                    self.turn.end();
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Of one datagram, or for want of memory: the next may arrive.
                Err(error) => {
                    tracing::debug!(%error, "cannot receive");
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }

    fn queue<F: FnOnce(&mut Self)>(&mut self, f: F) {
        f(self);
    }

    fn handle_error<P: EndpointPublisher>(self, error: io::Error, _event: &mut P) {
        tracing::error!(%error, "an endpoint's socket has failed");
    }
}

impl rx::Queue for Incoming {
    type Handle = Tuple;

    fn for_each<F: FnMut(Header<Tuple>, &mut [u8])>(&mut self, mut on_packet: F) {
        for index in 0..std::mem::take(&mut self.count) {
            let read = self.read[index];
            let (path, ecn) = (self.path(&read), ecn(read.ecn));
            let start = index * SLOT;
            let slot = &mut self.slots[start..][..read.len.min(SLOT)];
            // A stride of 0 is one empty datagram.
            for payload in slot.chunks_mut(read.stride.max(1)) {
                on_packet(Header { path, ecn }, payload);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

fn ecn(codepoint: Option<EcnCodepoint>) -> ExplicitCongestionNotification {
    match codepoint {
        None => ExplicitCongestionNotification::NotEct,
        Some(EcnCodepoint::Ect0) => ExplicitCongestionNotification::Ect0,
        Some(EcnCodepoint::Ect1) => ExplicitCongestionNotification::Ect1,
        Some(EcnCodepoint::Ce) => ExplicitCongestionNotification::Ce,
    }
}
