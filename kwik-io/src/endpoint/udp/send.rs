//! From the endpoint to the socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn_udp::{EcnCodepoint, Transmit};
use s2n_quic_core::event::EndpointPublisher;
use s2n_quic_core::inet::ExplicitCongestionNotification;
use s2n_quic_core::io::tx;
use s2n_quic_core::path::{Handle as _, Tuple};
use tokio::io::Interest;

use super::{Socket, Turn};

/// The most that one call takes: an IPv4 packet's payload.
const CALL: usize = 65_507;
/// Bytes that are sent before the endpoint looks at what it has received. Less: more turns. More: acknowledgements wait, and
/// the peer gets bursts.
pub(super) const BURST: usize = 512 << 10;

/// Packets for one peer, of one size but for the last, that go to the kernel in one call.
#[derive(Clone, Copy, Debug)]
struct Batch {
    path: Tuple,
    ecn: ExplicitCongestionNotification,
    segment: usize,
    count: usize,
    length: usize,
}

/// What is to be sent.
pub(super) struct Outgoing {
    socket: Arc<Socket>,
    buffer: Vec<u8>,
    /// What is in the buffer.
    batch: Option<Batch>,
    /// The batch waits for the kernel.
    blocked: bool,
    /// The endpoint was told that there is no room, and waits to hear that there is.
    refused: bool,
    largest: usize,
    sent: usize,
    turn: Turn,
}

impl Outgoing {
    pub(super) fn new(socket: Arc<Socket>, max_mtu: u16) -> Self {
        let (buffer, turn) = (vec![0; CALL], Turn::default());
        let largest = usize::from(max_mtu).min(CALL);
        Self { socket, buffer, batch: None, blocked: false, refused: false, largest, sent: 0, turn }
    }

    /// Gives the batch to the kernel, unless that takes nothing now.
    fn transmit(&mut self) {
        let Some(batch) = self.batch else { return };
        let Socket { io, state, local } = &*self.socket;
        let source = SocketAddr::from(batch.path.local_address.0).ip();
        let transmit = Transmit {
            destination: batch.path.remote_address.0.into(),
            ecn: ecn(batch.ecn),
            contents: &self.buffer[..batch.length],
            segment_size: (batch.count > 1).then_some(batch.segment),
            // A socket of one address sends from it.
            src_ip: (local.ip().is_unspecified() && !source.is_unspecified()).then_some(source),
        };
        match io.try_io(Interest::WRITABLE, || state.try_send(io.into(), &transmit)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = true;
                return;
            }
            Ok(()) => {}
            // A probe that is too large, an address that has no route: lost, as on the way.
            Err(error) => tracing::trace!(%error, to = %transmit.destination, "not sent"),
        }
        self.blocked = false;
        self.sent += batch.length;
        self.batch = None;
    }

    /// Whether something has been written that the kernel has not got.
    #[cfg(test)]
    pub(super) fn holds(&self) -> bool {
        self.batch.is_some()
    }

    fn is_full(&self) -> bool {
        self.blocked || self.sent >= BURST
    }

    /// Adds to the batch, if the message fits there.
    fn join<M: tx::Message<Handle = Tuple>>(
        &mut self,
        message: &mut M,
    ) -> Option<Result<tx::Outcome, tx::Error>> {
        let most = self.socket.state.max_gso_segments();
        let batch = self.batch.as_mut()?;
        let fits = batch.count < most
            && batch.length + batch.segment <= CALL
            && message.can_gso(batch.segment, batch.count)
            && message.path_handle().strict_eq(&batch.path)
            && message.ecn() == batch.ecn;
        if !fits {
            return None;
        }
        let room = &mut self.buffer[batch.length..][..batch.segment];
        let length = match message.write_payload(tx::PayloadBuffer::new(room), batch.count) {
            Ok(0) => return Some(Err(tx::Error::EmptyPayload)),
            Ok(length) => length,
            Err(error) => return Some(Err(error)),
        };
        let index = batch.count;
        batch.count += 1;
        batch.length += length;
        // Only the last may be shorter.
        if length < batch.segment {
            self.transmit();
        }
        Some(Ok(tx::Outcome { len: length, index }))
    }
}

impl tx::Tx for Outgoing {
    type PathHandle = Tuple;
    type Queue = Self;
    type Error = io::Error;

    /// Ready when there was no room and is again.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.refused {
            return Poll::Pending;
        }
        while self.blocked {
            ready!(self.socket.io.poll_send_ready(cx))?;
            self.transmit();
        }
        ready!(self.turn.poll_next(cx));
        (self.refused, self.sent) = (false, 0);
        Poll::Ready(Ok(()))
    }

    fn queue<F: FnOnce(&mut Self)>(&mut self, f: F) {
        if !self.blocked {
            self.sent = 0;
        }
        f(self);
        if !self.blocked {
            self.transmit();
        }
        if self.is_full() {
            self.refused = true;
            self.turn.end();
        }
    }

    fn handle_error<P: EndpointPublisher>(self, error: io::Error, _event: &mut P) {
        tracing::error!(%error, "an endpoint's socket has failed");
    }
}

impl tx::Queue for Outgoing {
    type Handle = Tuple;

    const SUPPORTS_ECN: bool = true;

    fn push<M: tx::Message<Handle = Tuple>>(
        &mut self,
        mut message: M,
    ) -> Result<tx::Outcome, tx::Error> {
        if self.is_full() {
            return Err(tx::Error::AtCapacity);
        }
        if let Some(outcome) = self.join(&mut message) {
            return outcome;
        }
        self.transmit();
        if self.is_full() {
            return Err(tx::Error::AtCapacity);
        }
        let (path, ecn) = (*message.path_handle(), message.ecn());
        // As a probe of the MTU is: who goes with it would be lost with it.
        let alone = !message.can_gso(self.largest, 0);
        let room = &mut self.buffer[..self.largest];
        let length = match message.write_payload(tx::PayloadBuffer::new(room), 0)? {
            0 => return Err(tx::Error::EmptyPayload),
            length => length,
        };
        self.batch = Some(Batch { path, ecn, segment: length, count: 1, length });
        if alone {
            self.transmit();
        }
        Ok(tx::Outcome { len: length, index: 0 })
    }

    fn flush(&mut self) {
        if !self.blocked {
            self.transmit();
        }
    }

    fn capacity(&self) -> usize {
        if self.is_full() { 0 } else { self.socket.state.max_gso_segments() }
    }
}

fn ecn(mark: ExplicitCongestionNotification) -> Option<EcnCodepoint> {
    match mark {
        ExplicitCongestionNotification::NotEct => None,
        ExplicitCongestionNotification::Ect0 => Some(EcnCodepoint::Ect0),
        ExplicitCongestionNotification::Ect1 => Some(EcnCodepoint::Ect1),
        ExplicitCongestionNotification::Ce => Some(EcnCodepoint::Ce),
    }
}
