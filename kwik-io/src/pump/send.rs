//! Sends a public stream.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use kwik_core::stream::OutFrame;
use kwik_proto::StreamId;
use kwik_proto::data::{DataHeader, MAX_PUBLIC_PAYLOAD};
use kwik_proto::frame::{CarrierKind, StreamHeader};
use s2n_quic::stream::Error as QuicError;
use tokio::sync::oneshot;

use super::event::{Carrier, CarrierEvent, CarrierId, SendEnd};
use super::outbox::Outbox;
use super::outgoing::{Outgoing, unacknowledged};
use super::receive::ReceivePump;
use super::sent::SentBytes;
use crate::channel::Sender;
use crate::lane::{Lane, Place};
use crate::stream::{SendStep, SharedSend, application, connection};

/// Most bytes that are taken out of the half before QUIC is asked to take them: a frame of the largest size.
const BYTES_PER_BATCH: usize = MAX_PUBLIC_PAYLOAD;

/// Frames one public stream's bytes and hands them to QUIC. Run it on the worker of its endpoint.
///
/// Frames are as large as what is there, up to 1 MiB; payloads are not copied. The stream's header goes out with the
/// first byte, the end or a reset, not before. Waits for bytes, for the window, and for QUIC.
///
/// ```no_run
/// # async fn example(send: kwik_io::stream::SharedSend, carrier: s2n_quic::stream::SendStream,
/// #     events: kwik_io::channel::Sender<Box<kwik_io::pump::CarrierEvent>>) {
/// tokio::spawn(kwik_io::pump::SendPump::new(send, carrier, events).run());
/// # }
/// ```
#[derive(Debug)]
pub struct SendPump {
    quic: Outgoing,
    send: SharedSend,
    carrier: Carrier,
    events: Sender<Box<CarrierEvent>>,
    outbox: Outbox,
    frames: Vec<OutFrame>,
    header: Header,
    opening: bool,
    /// What is on its way is told to the half.
    booked: bool,
    /// Resolves when the carrier's other direction shows that the peer has read the header, or is over.
    answered: Option<oneshot::Receiver<Infallible>>,
    /// Its place among the pumps of its connection; `None`: it hands over what it has.
    place: Option<Place>,
}

/// Whether the peer can know which stream the carrier is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    Unsent,
    /// In front of the first batch, which QUIC has not taken yet.
    Encoded,
    /// QUIC took it, and may not have delivered it yet.
    Sent,
    /// On its way, and waited for by a reset.
    Announcing,
}

impl SendPump {
    /// A pump from `send` to a carrier on the primary path.
    pub fn new(
        send: SharedSend,
        carrier: impl Into<Outgoing>,
        events: Sender<Box<CarrierEvent>>,
    ) -> Self {
        let carrier = carrier.into();
        let named = Carrier::public(CarrierId(carrier.id()), send.id());
        Self {
            quic: carrier,
            booked: send.is_booked(),
            send,
            carrier: named,
            events,
            outbox: Outbox::default(),
            frames: Vec::new(),
            header: Header::Unsent,
            opening: false,
            answered: None,
            place: None,
        }
    }

    /// Has the stream's bytes counted as QUIC takes them.
    #[must_use]
    pub fn counted(mut self, sent: SentBytes) -> Self {
        self.outbox.count(sent);
        self
    }

    /// Has it hand its bytes over when it is its turn among the pumps of its connection.
    #[must_use]
    pub fn in_lane(mut self, lane: &Arc<Lane>) -> Self {
        self.place = Some(lane.place(self.quic.id(), self.send.id()));
        self
    }

    /// Says that the carrier has another direction, which `answer` reads, and of which the peer learns from this one's
    /// header what it belongs to.
    #[must_use]
    pub fn opening(mut self, answer: ReceivePump) -> (Self, ReceivePump) {
        let (unanswered, answered) = oneshot::channel();
        self.opening = true;
        self.answered = Some(answered);
        (self, answer.with_opener(unanswered))
    }

    /// Runs until everything was delivered or the stream ended otherwise, and reports it.
    pub async fn run(mut self) {
        let end = poll_fn(|cx| self.poll_run(cx)).await;
        let carrier = self.carrier;
        if self.booked {
            self.send.book_outside(0);
        }
        // Fails only if the session is gone, and then nobody wants to know.
        let _ = self.events.send(Box::new(CarrierEvent::SendEnded { carrier, end })).await;
    }

    fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<SendEnd> {
        loop {
            let sent = self.outbox.poll_send(&mut self.quic, cx);
            if let Some(place) = &mut self.place {
                place.handed(self.outbox.handed());
            }
            let step = match sent {
                Poll::Ready(Ok(())) => {
                    if self.header == Header::Encoded {
                        self.header = Header::Sent;
                    }
                    self.book(cx);
                    match self.poll_turn(cx) {
                        Poll::Ready(room) => match self.poll_frames(room, cx) {
                            Poll::Ready(step) => step,
                            Poll::Pending => return self.poll_idle(cx),
                        },
                        Poll::Pending => match self.send.poll_abrupt_end(cx) {
                            Poll::Ready(step) => step,
                            Poll::Pending => return self.poll_stopped(cx),
                        },
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(end_of(error)),
                // QUIC is full. A reset does not wait for it.
                Poll::Pending => {
                    self.book(cx);
                    self.leave_turn();
                    ready!(self.send.poll_abrupt_end(cx))
                }
            };
            let delivered = match step {
                SendStep::Frames => {
                    self.encode();
                    continue;
                }
                SendStep::Reset(code) => return self.poll_reset(code, cx),
                SendStep::Over => return Poll::Ready(SendEnd::SessionOver),
                SendStep::Flush => ready!(self.quic.poll_flush(cx)),
                SendStep::Finish => ready!(self.quic.poll_close(cx)),
            };
            if let Err(error) = delivered {
                return Poll::Ready(end_of(error));
            }
            self.send.delivered();
            if step == SendStep::Finish {
                return Poll::Ready(SendEnd::Delivered);
            }
        }
    }

    /// Bytes that may be handed over now. Pending only while there are some.
    fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<usize> {
        let Some(place) = &mut self.place else { return Poll::Ready(usize::MAX) };
        place.set_priority(self.send.priority());
        match self.send.due() {
            Some(offset) => place.poll_turn(offset, cx),
            None => {
                place.idle();
                Poll::Ready(usize::MAX)
            }
        }
    }

    /// It is not this carrier's turn. That the peer stops it while QUIC has bytes of it is to be heard of: QUIC drops them
    /// then, and the others would wait for them to be sent. Without such bytes it is heard of at its turn.
    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<SendEnd> {
        match ready!(self.quic.poll_flush(cx)) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(end_of(error)),
        }
    }

    /// QUIC takes no more of this carrier now: others need not wait for it.
    fn leave_turn(&self) {
        if let Some(place) = &self.place {
            place.idle();
        }
    }

    fn poll_frames(&mut self, room: usize, cx: &mut Context<'_>) -> Poll<SendStep> {
        let room = room.min(BYTES_PER_BATCH);
        self.send.poll_frames(room, MAX_PUBLIC_PAYLOAD, &mut self.frames, cx)
    }

    /// Nothing is to be sent; what QUIC has still to deliver is to be heard of.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<SendEnd> {
        if self.booked {
            match self.quic.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.send.book_outside(0),
                Poll::Ready(Err(error)) => return Poll::Ready(end_of(error)),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    /// Tells the half what the pump and QUIC hold of it.
    fn book(&mut self, cx: &mut Context<'_>) {
        if self.booked {
            let on_its_way = unacknowledged(&mut self.quic, cx) + self.outbox.waiting();
            self.send.book_outside(on_its_way);
        }
    }

    /// Resets the carrier. A peer that never saw the header sees it first, so that it knows what the other direction of
    /// the carrier belongs to: QUIC throws away what was not delivered, and at the peer what it has not read. The control
    /// stream has told of the reset by then, so the wait costs no more than what QUIC holds.
    fn poll_reset(&mut self, code: application::Error, cx: &mut Context<'_>) -> Poll<SendEnd> {
        self.leave_turn();
        match self.header {
            Header::Unsent => {
                self.outbox.clear();
                self.outbox.push_stream_header(&header_of(self.send.id()));
                self.header = Header::Announcing;
            }
            // The header is among what QUIC has not taken.
            Header::Encoded if self.opening => self.header = Header::Announcing,
            Header::Sent if self.opening => {
                self.outbox.clear();
                self.header = Header::Announcing;
            }
            Header::Encoded | Header::Sent | Header::Announcing => {}
        }
        if self.header == Header::Announcing {
            let announced = match ready!(self.outbox.poll_send(&mut self.quic, cx)) {
                Ok(()) => ready!(self.quic.poll_flush(cx)),
                error => error,
            };
            if let Err(error) = announced {
                return Poll::Ready(end_of(error));
            }
        }
        if let Some(answered) = &mut self.answered {
            let _ = ready!(Pin::new(answered).poll(cx));
            self.answered = None;
        }
        // Fails only if the carrier is over already.
        let _ = self.quic.reset(code.to_quic());
        Poll::Ready(SendEnd::Reset { code })
    }

    /// Encodes the batch; frames that follow each other become one.
    fn encode(&mut self) {
        if self.header == Header::Unsent {
            self.outbox.push_stream_header(&header_of(self.send.id()));
            self.header = Header::Encoded;
        }
        let stream = self.send.id();
        let mut frames = self.frames.drain(..).peekable();
        while let Some(first) = frames.next() {
            let (offset, mut length, mut fin) = (first.offset, first.payload.len(), first.fin);
            let place = self.outbox.reserve();
            self.outbox.push(first.payload);
            while let Some(next) = frames.next_if(|next| {
                next.offset == offset.saturating_add(length as u64)
                    && length + next.payload.len() <= MAX_PUBLIC_PAYLOAD
            }) {
                length += next.payload.len();
                fin |= next.fin;
                self.outbox.push(next.payload);
            }
            self.outbox.fill(place, &DataHeader { stream, offset, fin, length, crc32c: None });
        }
    }
}

const fn header_of(stream: StreamId) -> StreamHeader {
    StreamHeader { stream, kind: CarrierKind::Public, delegation: None, promised: None }
}

fn end_of(error: QuicError) -> SendEnd {
    match error {
        QuicError::StreamReset { error, .. } => SendEnd::Stopped { code: error.into() },
        QuicError::ConnectionError { error, .. } => SendEnd::Lost(error.into()),
        _ => SendEnd::Lost(connection::Error::Unspecified),
    }
}
