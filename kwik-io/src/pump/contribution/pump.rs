//! Sends a contribution's bytes.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use kwik_proto::data::{self, DataHeader, MAX_CONTRIBUTION_PAYLOAD};
use kwik_proto::frame::{ErrorCode, Rank, StreamHeader};
use s2n_quic::stream::{Error as QuicError, SendStream};

use super::queue::{Next, Queue};
use super::{ContributionError, Frame};
use crate::env::Env;
use crate::lane::{Lane, Place};
use crate::pump::CarrierId;
use crate::pump::outbox::Outbox;
use crate::pump::outgoing::unacknowledged;
use crate::pump::sent::SentBytes;
use crate::stream::{SendShare, application};

/// Most frames that are encoded before QUIC is asked to take them: 512 KiB.
const FRAMES_PER_BATCH: usize = 32;

/// Payload of a contribution's first frame, and the most of a later one; each is twice as large as the one before.
///
/// The receiver delivers no byte of a frame before its checksum. A first frame of 64 KiB cost a new path three round trips
/// of QUIC's slow start until the reader saw a byte, and on a link of 20 Mbit/s each one of 64 KiB looks like a pause of
/// 26 ms. Smaller ones cost headers: about 25 bytes each, 0.2 % of a range of 64 KiB.
const FIRST_PAYLOAD: usize = 4 << 10;
const MOST_PAYLOAD: usize = 16 << 10;
const _: () = assert!(MOST_PAYLOAD <= MAX_CONTRIBUTION_PAYLOAD);

/// Frames a contribution's bytes and hands them to QUIC. Run it on the worker of its endpoint.
///
/// The header goes out with the first bytes or with the end, unless it is to be [`announced`](Self::announced).
#[derive(Debug)]
pub struct ContributionPump {
    carrier: SendStream,
    header: StreamHeader,
    header_sent: bool,
    queue: Arc<Queue>,
    outbox: Outbox,
    frame: Frame,
    /// The most that the next frame carries.
    room: usize,
    /// The world whose memory its bytes are in.
    env: Option<Env>,
    /// What is on its way is told to the queue.
    booked: bool,
    /// Its place among the pumps of its connection; `None`: it hands over what it has.
    place: Option<Place>,
}

impl ContributionPump {
    pub(super) fn new(carrier: SendStream, header: StreamHeader, queue: Arc<Queue>) -> Self {
        Self {
            carrier,
            header,
            header_sent: false,
            queue,
            outbox: Outbox::default(),
            frame: Frame::default(),
            room: FIRST_PAYLOAD,
            env: None,
            booked: false,
            place: None,
        }
    }

    /// Has it send from this world's memory, which a laboratory can spoil.
    #[must_use]
    pub fn in_world(mut self, env: Env) -> Self {
        self.env = Some(env);
        self
    }

    /// Has its bytes counted in the session's memory from when they are written until they are acknowledged. The writer waits
    /// while there is no room.
    #[must_use]
    pub fn sharing(mut self, share: &SendShare) -> Self {
        self.queue.share(share);
        self.booked = true;
        self
    }

    /// Has it hand its bytes over when it is its turn among the pumps of its connection.
    #[must_use]
    pub fn in_lane(mut self, lane: &Arc<Lane>) -> Self {
        self.place = Some(lane.place(self.carrier.id(), self.header.stream));
        self.queue.write_in_turn(lane.desk(self.carrier.id()));
        self
    }

    /// Has its bytes, and those of its stream, go before others of the connection as `rank` says. After
    /// [`in_lane`](Self::in_lane).
    #[must_use]
    pub fn ranked(mut self, rank: Rank) -> Self {
        if let Some(place) = &mut self.place {
            place.set_rank(rank);
        }
        self
    }

    /// Has its bytes counted as QUIC takes them.
    #[must_use]
    pub fn counted(mut self, sent: SentBytes) -> Self {
        self.outbox.count(sent);
        self
    }

    /// Sends the header at once: where no order tells the client of the promise, the header does, and bytes may be late.
    #[must_use]
    pub fn announced(mut self) -> Self {
        self.encode_header();
        self
    }

    /// Id of the QUIC stream.
    pub fn carrier(&self) -> CarrierId {
        CarrierId(self.carrier.id())
    }

    /// Runs until the contribution was delivered or stopped, and returns what the writer was told.
    ///
    /// # Errors
    ///
    /// Why not every byte was delivered.
    pub async fn run(mut self) -> Result<(), ContributionError> {
        let end = poll_fn(|cx| self.poll_run(cx)).await;
        if end.is_err() {
            // Frees the client's stream at once. That the carrier may be gone already is no matter.
            let _ = self.carrier.reset(reset_code(end));
        }
        self.queue.end(end);
        end
    }

    fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ContributionError>> {
        loop {
            if let Poll::Ready(error) = self.queue.poll_stopped(cx) {
                return Poll::Ready(Err(error));
            }
            let sent = self.outbox.poll_send(&mut self.carrier, cx);
            self.book(cx);
            if let Some(place) = &mut self.place {
                place.handed(self.outbox.handed());
            }
            if sent.is_pending() {
                self.leave_turn();
            }
            ready!(sent).map_err(end_of)?;
            let room = match self.poll_turn(cx) {
                Poll::Ready(room) => room,
                Poll::Pending => return self.poll_stopped(cx),
            };
            let Poll::Ready(next) = self.poll_fill(room, cx) else { return self.poll_idle(cx) };
            self.queue.tell_left();
            match next {
                Next::Frame => {}
                Next::Stop(error) => return Poll::Ready(Err(error)),
                Next::Finish if !self.outbox.is_empty() => {}
                Next::Finish => return self.carrier.poll_close(cx).map_err(end_of),
            }
        }
    }

    /// Bytes that may be handed over now. Pending only while there are some.
    fn poll_turn(&self, cx: &Context<'_>) -> Poll<usize> {
        let Some(place) = &self.place else { return Poll::Ready(usize::MAX) };
        match self.queue.first() {
            Some(offset) => place.poll_turn(offset, cx),
            None => {
                place.idle();
                Poll::Ready(usize::MAX)
            }
        }
    }

    /// It is not this carrier's turn. That the client stops it while QUIC has bytes of it is to be heard of: QUIC drops them
    /// then, and the others would wait for them to be sent. Without such bytes it is heard of at its turn.
    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ContributionError>> {
        ready!(self.carrier.poll_flush(cx)).map_err(end_of)?;
        Poll::Pending
    }

    /// QUIC takes no more of this carrier now: others need not wait for it.
    fn leave_turn(&self) {
        if let Some(place) = &self.place {
            place.blocked();
        }
    }

    /// Nothing is to be sent; what QUIC has still to deliver is to be heard of.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ContributionError>> {
        if self.booked {
            ready!(self.carrier.poll_flush(cx)).map_err(end_of)?;
            self.queue.book_outside(0);
        }
        Poll::Pending
    }

    /// Tells the queue what the pump and QUIC hold.
    fn book(&mut self, cx: &mut Context<'_>) {
        if self.booked {
            let on_its_way = unacknowledged(&mut self.carrier, cx) + self.outbox.waiting();
            self.queue.book_outside(on_its_way);
        }
    }

    /// Encodes a batch, of no more than `room` bytes of payload. Pending with an empty outbox only.
    fn poll_fill(&mut self, mut room: usize, cx: &mut Context<'_>) -> Poll<Next> {
        for _ in 0..FRAMES_PER_BATCH {
            if room == 0 {
                break;
            }
            match self.queue.poll_next(self.room.min(room), &mut self.frame, cx) {
                Poll::Ready(Next::Frame) => {
                    room -= self.frame.length;
                    self.encode();
                }
                Poll::Ready(Next::Finish) => {
                    self.encode_header();
                    return Poll::Ready(Next::Finish);
                }
                Poll::Ready(stop) => return Poll::Ready(stop),
                Poll::Pending if self.outbox.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Next::Frame)
    }

    fn encode_header(&mut self) {
        if !self.header_sent {
            self.outbox.push_stream_header(&self.header);
            self.header_sent = true;
        }
    }

    fn encode(&mut self) {
        self.encode_header();
        self.room = (self.room * 2).min(MOST_PAYLOAD);
        let Frame { offset, length, chunks } = &mut self.frame;
        let (offset, length) = (*offset, std::mem::take(length));
        let stream = self.header.stream;
        let pieces = chunks.iter().map(|chunk| &chunk[..]);
        let checksum = data::checksum(stream, offset, false, length, pieces);
        let sent = |env: &Env| env.checksum_sent(checksum);
        let crc32c = Some(self.env.as_ref().map_or(checksum, sent));
        self.outbox.push_header(&DataHeader { stream, offset, fin: false, length, crc32c });
        chunks.drain(..).for_each(|chunk| self.outbox.push(chunk));
    }
}

impl Drop for ContributionPump {
    fn drop(&mut self) {
        self.queue.end(Err(ContributionError::SessionClosed));
    }
}

fn reset_code(end: Result<(), ContributionError>) -> s2n_quic::application::Error {
    let code = match end {
        Err(ContributionError::Stopped { code }) => return code.to_quic(),
        Err(ContributionError::Revoked) => ErrorCode::NotGranted,
        Err(ContributionError::SessionClosed) => ErrorCode::SessionClosed,
        _ => ErrorCode::StreamClosed,
    };
    application::Error::of_kwik(code).to_quic()
}

fn end_of(error: QuicError) -> ContributionError {
    match error {
        QuicError::StreamReset { error, .. } => stopped(error.into()),
        QuicError::ConnectionError { error, .. } => ContributionError::Connection(error.into()),
        _ => ContributionError::SessionClosed,
    }
}

fn stopped(code: application::Error) -> ContributionError {
    match code.kwik_code() {
        Some(ErrorCode::StreamClosed) => ContributionError::StreamClosed,
        _ => ContributionError::Stopped { code },
    }
}
