//! What a contribution's writer has written and its pump has not sent.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use kwik_proto::{ByteRange, Offset};

use super::{ContributionError, Frame, QUEUE_BYTES};
use crate::lane::Desk;
use crate::stream::{Freed, SendShare, Stake};

/// Shared between writer, pump and control; the lock is held for a few operations on the queue, never across a poll
/// of QUIC.
#[derive(Debug)]
pub(super) struct Queue(Mutex<State>);

#[derive(Debug)]
struct State {
    /// By offset, then by arrival: a far write never blocks the head.
    chunks: BTreeMap<(Offset, u64), Bytes>,
    bytes: usize,
    arrivals: u64,
    /// Where bytes may go at all.
    granted: ByteRange,
    /// Within that, how far they may go now: the client's window.
    window: Offset,
    finished: bool,
    end: Option<Result<(), ContributionError>>,
    writer: Option<Waker>,
    pump: Option<Waker>,
    /// What the contribution holds of its session's memory; `None`: that has no bound.
    stake: Option<Stake>,
    /// Where it asks whether it may write ahead of QUIC; `None`: it may.
    desk: Option<Desk>,
    /// Bytes that left the queue and are not acknowledged.
    outside: u64,
}

/// What the pump is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send the frame.
    Frame,
    /// Everything was sent: end the carrier.
    Finish,
    /// Stop at once.
    Stop(ContributionError),
}

impl Queue {
    pub(super) fn new(granted: ByteRange, window: Offset) -> Self {
        Self(Mutex::new(State {
            chunks: BTreeMap::new(),
            bytes: 0,
            arrivals: 0,
            granted,
            window,
            finished: false,
            end: None,
            writer: None,
            pump: None,
            stake: None,
            desk: None,
            outside: 0,
        }))
    }

    /// Has the contribution's bytes counted in its session's memory, and its writer wait when there is no room.
    pub(super) fn share(&self, share: &SendShare) {
        self.lock().stake = Some(share.stake());
    }

    /// Has its writer wait for its turn among those of its path.
    pub(super) fn write_in_turn(&self, desk: Desk) {
        self.lock().desk = Some(desk);
    }

    /// Tells the path what the pump left to be handed over.
    pub(super) fn tell_left(&self) {
        let state = self.lock();
        let left = state.bytes as u64;
        let woken = state.desk.as_ref().map(|desk| desk.left(left)).unwrap_or_default();
        drop(state);
        woken.wake();
    }

    /// The pump and QUIC hold that many bytes that are not acknowledged.
    pub(super) fn book_outside(&self, bytes: u64) {
        let mut state = self.lock();
        state.outside = bytes;
        let freed = state.book();
        drop(state);
        freed.wake();
    }

    /// Takes from `data`, whose last byte goes to just below `end`, what the window has room for, once the queue is below
    /// its cap. Ready when nothing is left.
    pub(super) fn poll_write(
        &self,
        end: Offset,
        data: &mut Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ContributionError>> {
        let mut state = self.lock();
        state.check_open()?;
        let range = state.check(end, data.len())?;
        ready!(state.poll_room(range.start(), cx));
        let fits = state.window.value().saturating_sub(range.start().value());
        let fits = usize::try_from(fits).unwrap_or(usize::MAX).min(data.len());
        let pump = state.insert(range.start(), data.split_to(fits));
        let freed = state.book();
        let queued = state.bytes as u64;
        let woken = state.desk.as_ref().map(|desk| desk.wrote(queued)).unwrap_or_default();
        if !data.is_empty() {
            state.writer = Some(cx.waker().clone());
        }
        drop(state);
        freed.wake();
        woken.wake();
        wake(pump);
        if data.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Waits until a write at `offset` would be taken.
    pub(super) fn poll_ready(
        &self,
        offset: Offset,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ContributionError>> {
        let mut state = self.lock();
        state.check_open()?;
        state.poll_room(offset, cx).map(Ok)
    }

    /// No more writes.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        state.finished = true;
        let (pump, desk) = (state.pump.take(), state.desk.clone());
        drop(state);
        if let Some(desk) = desk {
            desk.withdraw();
        }
        wake(pump);
    }

    /// Waits for the end that [`Queue::end`] sets.
    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<Result<(), ContributionError>> {
        let mut state = self.lock();
        match state.end {
            Some(end) => Poll::Ready(end),
            None => {
                state.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Where the next bytes go, if there are any.
    pub(super) fn first(&self) -> Option<Offset> {
        self.lock().chunks.first_key_value().map(|((offset, _), _)| *offset)
    }

    /// The next frame of at most `max` bytes goes into `frame`, which must be empty.
    pub(super) fn poll_next(
        &self,
        max: usize,
        frame: &mut Frame,
        cx: &mut Context<'_>,
    ) -> Poll<Next> {
        let mut state = self.lock();
        if let Some(Err(error)) = state.end {
            return Poll::Ready(Next::Stop(error));
        }
        if state.fill(max, frame) {
            let writer = if state.bytes < QUEUE_BYTES { state.writer.take() } else { None };
            drop(state);
            wake(writer);
            return Poll::Ready(Next::Frame);
        }
        if state.finished {
            state.pump = Some(cx.waker().clone());
            return Poll::Ready(Next::Finish);
        }
        state.pump = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the contribution was stopped; the pump asks while QUIC keeps it waiting.
    pub(super) fn poll_stopped(&self, cx: &mut Context<'_>) -> Poll<ContributionError> {
        let mut state = self.lock();
        match state.end {
            Some(Err(error)) => Poll::Ready(error),
            _ => {
                state.pump = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The contribution is over. The first end stays.
    pub(super) fn end(&self, end: Result<(), ContributionError>) {
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        state.end = Some(end);
        state.chunks.clear();
        (state.bytes, state.outside) = (0, 0);
        let wakers = (state.writer.take(), state.pump.take());
        let freed = state.book();
        drop(state);
        freed.wake();
        wake(wakers.0);
        wake(wakers.1);
    }

    /// Bytes may go up to `end`, if that is further than before, and no further than was granted.
    pub(super) fn extend(&self, end: Offset) {
        let mut state = self.lock();
        if end > state.window {
            state.window = end;
            let writer = state.writer.take();
            drop(state);
            wake(writer);
        }
    }

    /// Where bytes may go now.
    pub(super) fn allowed(&self) -> ByteRange {
        self.lock().allowed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether there can be further writes.
    fn check_open(&self) -> Result<(), ContributionError> {
        match self.end {
            Some(end) => Err(end.err().unwrap_or(ContributionError::Finished)),
            None if self.finished => Err(ContributionError::Finished),
            None => Ok(()),
        }
    }

    /// Waits until there is room: in the queue, in the session's memory, and among what the path has waiting.
    fn poll_room(&mut self, offset: Offset, cx: &mut Context<'_>) -> Poll<()> {
        let full = self.bytes >= QUEUE_BYTES || self.has_no_room();
        let turn = self.desk.as_ref().filter(|_| !full).map(|desk| desk.poll_may(offset, cx));
        if !full && turn.is_none_or(|turn| turn.is_ready()) {
            return Poll::Ready(());
        }
        // Also where it is not its turn: it is to hear of the end.
        self.writer = Some(cx.waker().clone());
        if !full {
            return Poll::Pending;
        }
        if let Some(stake) = &self.stake {
            // It may be others of the session that have to make room, and they may have since the last look.
            stake.wait(cx);
            if self.bytes < QUEUE_BYTES && !self.has_no_room() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    fn has_no_room(&self) -> bool {
        self.stake.as_ref().is_some_and(|stake| stake.room() == 0)
    }

    /// Books what the contribution holds now. Who waited for what it held before is to be woken.
    fn book(&mut self) -> Freed {
        let held = self.outside.saturating_add(self.bytes as u64);
        self.stake.as_mut().map(|stake| stake.hold(held)).unwrap_or_default()
    }

    /// Where bytes go whose last one goes to just below `end`.
    fn check(&self, end: Offset, length: usize) -> Result<ByteRange, ContributionError> {
        let start = end.value().saturating_sub(length as u64);
        let range = Offset::new(start).and_then(|start| ByteRange::new(start, end));
        let range = range.expect("what is below an offset is an offset");
        if self.granted.covers(range) && range.len() == length as u64 {
            return Ok(range);
        }
        Err(ContributionError::OutsideGrant { range, allowed: self.granted })
    }

    fn allowed(&self) -> ByteRange {
        let (start, end) = (self.granted.start(), self.granted.end());
        let window = self.window.clamp(start, end);
        ByteRange::new(start, window).expect("what is clamped to a range lies within it")
    }

    fn insert(&mut self, offset: Offset, data: Bytes) -> Option<Waker> {
        if data.is_empty() {
            return None;
        }
        self.bytes += data.len();
        self.arrivals += 1;
        self.chunks.insert((offset, self.arrivals), data);
        self.pump.take()
    }

    /// Moves chunks that follow each other into one frame. Whether there was any.
    fn fill(&mut self, max: usize, frame: &mut Frame) -> bool {
        while let Some(mut entry) = self.chunks.first_entry() {
            let offset = entry.key().0;
            let end = frame.offset.saturating_add(frame.length as u64);
            let room = max - frame.length;
            if room == 0 || (frame.length > 0 && offset != end) {
                break;
            }
            if frame.length == 0 {
                frame.offset = offset;
            }
            let take = room.min(entry.get().len());
            let chunk = entry.get_mut().split_to(take);
            let rest = entry.remove();
            self.bytes -= take;
            self.outside += take as u64;
            frame.length += take;
            frame.chunks.push(chunk);
            if !rest.is_empty() {
                let arrival = self.arrivals + 1;
                self.arrivals = arrival;
                self.chunks.insert((offset.saturating_add(take as u64), arrival), rest);
            }
        }
        frame.length > 0
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
