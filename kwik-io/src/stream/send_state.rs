//! What is behind the lock of a shared send half.

use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use kwik_core::stream::{OutFrame, SendConfig, SendHalf, WriteError};
use kwik_proto::Offset;

use super::{Error, Freed, Result, Stake, application, connection};
use crate::session::Ending;

#[derive(Debug)]
pub(super) struct State {
    pub(super) half: SendHalf,
    /// Bytes that are queued before a writer waits. The half itself has no such limit: as in s2n-quic, the chunk that
    /// crosses the line is taken whole.
    queue: u64,
    /// The code that the application reset the half with.
    pub(super) reset: Option<application::Error>,
    /// The code that the receiver stopped the half with.
    pub(super) stopped: Option<application::Error>,
    pub(super) failed: Option<connection::Error>,
    pub(super) ending: Ending,
    /// Frames went to QUIC that it may not have delivered yet.
    pub(super) in_flight: bool,
    /// The application waits until nothing is in flight.
    pub(super) flush_wanted: bool,
    /// The frame with `fin` went to the pump.
    pub(super) fin_handed_out: bool,
    /// QUIC delivered everything that the pump gave it, `fin` included.
    pub(super) fin_delivered: bool,
    /// Others send some of the bytes, so that QUIC's word on this carrier is not the whole.
    pub(super) delegated: bool,
    /// The pump was told to send something, and with it the carrier's header.
    pub(super) begun: bool,
    /// What the half holds of its session's memory; `None`: that has no bound.
    pub(super) stake: Option<Stake>,
    /// Bytes that left the half and are not acknowledged.
    pub(super) outside: u64,
    /// The session's task knows that bytes are on their way.
    pub(super) watched: bool,
    /// The window at which the session's task was told last that the half is blocked.
    pub(super) told_blocked: Option<Offset>,
    pub(super) writer: Waiting,
    pub(super) pump: Waiting,
    /// Whether the pump, when it waits, waits for frames. Otherwise QUIC is full, and it wakes the pump itself: a write
    /// that did as well would cost a wake-up across threads for each chunk.
    pub(super) pump_hungry: bool,
    /// Among the streams of its connection.
    pub(super) priority: i32,
}

/// What the pump is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendStep {
    /// Send the frames, behind the header if that did not go out yet. There may be none: bytes that others send begin a
    /// stream too, and its reader has to accept it before the window moves.
    Frames,
    /// Nothing to send; the application waits until what was sent is delivered.
    Flush,
    /// The frame with `fin` is out: end the carrier.
    Finish,
    /// End the carrier abruptly.
    Reset(application::Error),
    /// The session is over.
    Over,
}

/// A task that waits for a change. Taken under the lock, woken after it.
#[derive(Debug, Default)]
pub(super) struct Waiting(Option<Waker>);

impl Waiting {
    pub(super) fn set(&mut self, cx: &Context<'_>) {
        match &mut self.0 {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    pub(super) fn wake(self) {
        if let Some(waker) = self.0 {
            waker.wake();
        }
    }
}

impl State {
    pub(super) fn new(config: SendConfig) -> Self {
        Self {
            half: SendHalf::new(SendConfig { queue: usize::MAX, ..config }),
            queue: config.queue as u64,
            reset: None,
            stopped: None,
            failed: None,
            ending: Ending::default(),
            in_flight: false,
            flush_wanted: false,
            fin_handed_out: false,
            fin_delivered: false,
            delegated: false,
            begun: false,
            stake: None,
            outside: 0,
            watched: false,
            told_blocked: None,
            writer: Waiting::default(),
            pump: Waiting::default(),
            pump_hungry: false,
            priority: 0,
        }
    }

    /// The pump, if there being frames is news to it.
    pub(super) fn take_hungry_pump(&mut self) -> Waiting {
        if self.pump_hungry { self.pump.take() } else { Waiting::default() }
    }

    /// Everything arrived: by the receiver's word, or by QUIC's where nobody else sends.
    pub(super) fn is_complete(&self) -> bool {
        self.half.is_complete() || (self.fin_delivered && !self.delegated)
    }

    /// Whether the half ended abruptly.
    pub(super) fn is_over(&self) -> bool {
        self.reset.is_some() || self.stopped.is_some()
    }

    /// Fails once the half ended abruptly or the session is over.
    pub(super) fn check_alive(&self) -> Result<()> {
        if self.is_over() {
            return Err(self.reset_error());
        }
        let over = self.failed.or_else(|| self.ending.error());
        over.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Whether `length` more bytes may be written at all.
    pub(super) fn check_writable(&self, length: usize) -> Result<()> {
        self.check_alive()?;
        if self.half.final_size().is_some() {
            return Err(Error::SendAfterFinish);
        }
        match self.half.position().checked_add(length as u64) {
            Some(_) => Ok(()),
            None => Err(Error::MaxStreamDataSizeExceeded),
        }
    }

    /// The first code that ended the half.
    pub(super) fn reset_error(&self) -> Error {
        let code = self.reset.or(self.stopped);
        Error::stream_reset(code.unwrap_or(application::Error::UNKNOWN))
    }

    /// Bytes that the queue takes before a writer waits.
    pub(super) fn capacity(&self) -> usize {
        let queue = self.queue.saturating_sub(self.half.queued_bytes());
        let room = self.stake.as_ref().map_or(queue, |stake| stake.room().min(queue));
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// Books what the half holds now. Who waited for what it held before is to be woken.
    pub(super) fn book(&mut self) -> Freed {
        let held = self.half.queued_bytes().saturating_add(self.outside);
        self.stake.as_mut().map(|stake| stake.hold(held)).unwrap_or_default()
    }

    /// Moves bytes out of `data` up to the next that was written or delegated before. Whether there were any.
    pub(super) fn take(&mut self, data: &mut Bytes) -> Result<bool> {
        if data.is_empty() {
            return Ok(false);
        }
        match self.half.write(data.clone()) {
            Ok(taken) => {
                data.advance(taken);
                Ok(taken > 0)
            }
            Err(WriteError::Finished) => Err(Error::SendAfterFinish),
            Err(_) => Err(self.reset_error()),
        }
    }

    pub(super) fn wait_writer<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.writer.set(cx);
        Poll::Pending
    }

    /// Waits for [`capacity`](Self::capacity).
    pub(super) fn wait_capacity<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if let Some(stake) = &self.stake {
            // It may be others of the session that have to make room, and they may have since the last look.
            stake.wait(cx);
            if self.capacity() > 0 {
                cx.waker().wake_by_ref();
            }
        }
        self.wait_writer(cx)
    }

    /// Why the pump has to give up what it holds.
    pub(super) fn abrupt_end(&self) -> Option<SendStep> {
        let code = self.reset.or(self.stopped);
        match (code, self.failed) {
            (Some(code), _) => Some(SendStep::Reset(code)),
            (None, Some(_)) => Some(SendStep::Over),
            (None, None) => None,
        }
    }

    pub(super) fn take_frames(
        &mut self,
        max_bytes: usize,
        max_payload: usize,
        frames: &mut Vec<OutFrame>,
    ) {
        let mut left = max_bytes;
        while left > 0
            && !self.fin_handed_out
            && let Some(frame) = self.half.next_frame(max_payload.min(left))
        {
            left -= frame.payload.len();
            self.outside += frame.payload.len() as u64;
            self.fin_handed_out = frame.fin;
            frames.push(frame);
        }
    }
}
