//! The sending half.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use kwik_proto::{ByteRange, Offset};

use super::{DelegateError, FinishError, WriteError};
use crate::interval::RangeSet;
use crate::window::SendWindow;

/// How a sending half starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendConfig {
    /// First offset that may not be sent, from the peer's Hello or Welcome. Bytes.
    pub initial_window: u64,
    /// Most bytes that are taken from the application and not yet handed out. Default 4 MiB; lower makes a writer wait
    /// more often, higher holds more memory for a receiver that does not read.
    pub queue: usize,
}

impl Default for SendConfig {
    fn default() -> Self {
        Self { initial_window: 64 << 10, queue: 4 << 20 }
    }
}

/// A frame that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutFrame {
    /// Offset of the first byte.
    pub offset: Offset,
    /// The bytes; empty only with `fin`.
    pub payload: Bytes,
    /// Whether `offset` plus the length of `payload` is the final size.
    pub fin: bool,
}

/// Where the half stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The final size is fixed.
    Finished {
        final_size: Offset,
        /// Whether a frame with `fin` was handed out.
        fin_sent: bool,
    },
    /// The receiver has every byte up to the final size.
    Complete {
        final_size: Offset,
    },
    /// This end reset the half, or the receiver gave it up without completing it.
    Reset {
        final_size: Offset,
        /// This end's code; `None` if the receiver gave up.
        code: Option<u64>,
    },
    Stopped {
        code: u64,
    },
}

/// The sending half of one KWIK stream: what the application wrote and what is due to be sent.
///
/// The application writes in sequence ([`write`](Self::write)), at positions ([`write_at`](Self::write_at)) or leaves ranges
/// to others ([`delegate`](Self::delegate)); the driver collects frames with [`next_frame`](Self::next_frame). Frames come in the order of
/// their offsets, never in that of the writes, and never beyond the window, so that a far write cannot block the head.
///
/// [`finish`](Self::finish) fixes the final size. The half is complete when the receiver said that every byte arrived, whoever
/// sent it. Bytes that were handed out are not kept: the connection below is reliable, or the session is over.
///
/// The queue holds at most [`SendConfig::queue`] bytes; when it is full the writer waits.
///
/// ```
/// use bytes::Bytes;
/// use kwik_core::stream::{SendConfig, SendHalf};
/// use kwik_proto::{ByteRange, Offset};
///
/// let mut half = SendHalf::new(SendConfig::default());
/// half.write(Bytes::from_static(b"head")).unwrap();
/// half.delegate(ByteRange::with_length(half.position(), 1000).unwrap()).unwrap();
/// assert_eq!(half.finish().unwrap().value(), 1004);
/// assert_eq!(half.next_frame(1200).unwrap().payload, "head");
/// let last = half.next_frame(1200).unwrap();
/// assert!(last.fin && last.payload.is_empty());
/// half.handle_progress(Offset::ZERO, Offset::new(1004).unwrap());
/// assert!(half.is_complete());
/// ```
#[derive(Debug)]
pub struct SendHalf {
    window: SendWindow,
    /// Bytes by offset, to be sent. Neither overlap.
    queue: BTreeMap<Offset, Bytes>,
    queued: u64,
    capacity: u64,
    /// Everything that was written or delegated.
    taken: RangeSet,
    /// Where the last sequential write or delegation ended.
    cursor: Offset,
    /// End of the last byte that was handed out or delegated: the final size of a reset.
    committed: Offset,
    state: State,
}

/// Writes below this size are sent together.
const SMALL_WRITE: usize = 1 << 10;
/// Small writes are sent together up to this size.
const JOINED_WRITES: usize = 16 << 10;

impl SendHalf {
    /// A half at the start of its stream.
    pub fn new(config: SendConfig) -> Self {
        Self {
            window: SendWindow::new(config.initial_window),
            queue: BTreeMap::new(),
            queued: 0,
            capacity: config.queue as u64,
            taken: RangeSet::new(),
            cursor: Offset::ZERO,
            committed: Offset::ZERO,
            state: State::Open,
        }
    }

    /// Takes bytes for the [position](Self::position), as many from the front of `data` as there is room for, and returns
    /// how many: 0 means wait until frames were handed out.
    ///
    /// # Errors
    /// [`WriteError::Finished`], [`WriteError::Reset`], [`WriteError::Stopped`].
    pub fn write(&mut self, mut data: Bytes) -> Result<usize, WriteError> {
        self.check_open()?;
        let position = self.position();
        let limit = self.taken.iter_in(rest_of_stream(position)).next();
        let limit = limit.map_or(Offset::MAX, ByteRange::start);
        let room = (self.capacity() as u64).min(limit.since(position));
        data.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        let len = data.len();
        if let Some(range) = ByteRange::with_length(position, len as u64) {
            self.take(range, data);
            self.cursor = range.end();
        }
        Ok(len)
    }

    /// Bytes that the queue has room for.
    pub fn capacity(&self) -> usize {
        usize::try_from(self.capacity.saturating_sub(self.queued)).unwrap_or(usize::MAX)
    }

    /// Takes all of `data` for the given offset, or nothing. Does not move the [position](Self::position), except past
    /// bytes that are written.
    ///
    /// # Errors
    /// [`WriteError::BeyondWindow`], [`WriteError::Overlap`], [`WriteError::QueueFull`] when `data` is larger than
    /// [`capacity`](Self::capacity), and those of [`write`](Self::write).
    pub fn write_at(&mut self, offset: Offset, data: Bytes) -> Result<(), WriteError> {
        self.check_open()?;
        let max_offset = self.window.max_offset();
        let end = offset.saturating_add(data.len() as u64);
        let range = match ByteRange::with_length(offset, data.len() as u64) {
            Some(range) if end <= max_offset => range,
            _ => return Err(WriteError::BeyondWindow { end, max_offset }),
        };
        if let Some(range) = self.taken.iter_in(range).next() {
            return Err(WriteError::Overlap { range });
        }
        if data.len() > self.capacity() {
            return Err(WriteError::QueueFull);
        }
        self.take(range, data);
        Ok(())
    }

    fn take(&mut self, range: ByteRange, data: Bytes) {
        self.taken.insert(range);
        self.queued += range.len();
        if !data.is_empty() {
            self.queue.insert(range.start(), data);
        }
    }

    fn check_open(&self) -> Result<(), WriteError> {
        match self.state {
            State::Open => Ok(()),
            State::Finished { .. } | State::Complete { .. } => Err(WriteError::Finished),
            State::Reset { .. } => Err(WriteError::Reset),
            State::Stopped { code } => Err(WriteError::Stopped { code }),
        }
    }

    /// Where the next sequential write goes: the first free offset at or after the end of the last one and of the last
    /// delegation.
    pub fn position(&self) -> Offset {
        match self.taken.iter_in(rest_of_stream(self.cursor)).next() {
            Some(range) if range.start() == self.cursor => range.end(),
            _ => self.cursor,
        }
    }

    /// First offset that may not be sent.
    pub fn max_offset(&self) -> Offset {
        self.window.max_offset()
    }

    /// Leaves a range to others. It starts at or after the [position](Self::position), which moves to its end, and overlaps
    /// nothing. A hole before it can still be filled with [`write_at`](Self::write_at). It may reach beyond the window:
    /// the scheduler orders no byte of it before the window has moved there.
    ///
    /// # Errors
    /// [`DelegateError`]; nothing changed then.
    pub fn delegate(&mut self, range: ByteRange) -> Result<(), DelegateError> {
        let position = self.position();
        if self.state != State::Open {
            return Err(DelegateError::Closed);
        }
        if range.is_empty() {
            return Err(DelegateError::Empty);
        }
        if range.start() < position {
            return Err(DelegateError::BehindPosition { range, position });
        }
        if let Some(range) = self.taken.iter_in(range).next() {
            return Err(DelegateError::Overlap { range });
        }
        self.taken.insert(range);
        self.cursor = range.end();
        self.committed = self.committed.max(range.end());
        Ok(())
    }

    /// Fixes the final size, as the end of all that was written and delegated, and returns it. May be called again.
    ///
    /// # Errors
    /// [`FinishError::Hole`] if bytes before the end were neither; the half stays open then.
    pub fn finish(&mut self) -> Result<Offset, FinishError> {
        match self.state {
            State::Finished { final_size, .. } | State::Complete { final_size } => {
                return Ok(final_size);
            }
            State::Reset { .. } => return Err(FinishError::Reset),
            State::Stopped { code } => return Err(FinishError::Stopped { code }),
            State::Open => {}
        }
        let final_size = self.taken.last().map_or(Offset::ZERO, ByteRange::end);
        if let Some(all) = ByteRange::new(Offset::ZERO, final_size)
            && let Some(range) = self.taken.missing_in(all).next()
        {
            return Err(FinishError::Hole { range });
        }
        self.state = State::Finished { final_size, fin_sent: false };
        Ok(final_size)
    }

    /// The final size, once it is fixed. Where the receiver stopped the half that is the end of what was sent or delegated.
    pub fn final_size(&self) -> Option<Offset> {
        match self.state {
            State::Finished { final_size, .. }
            | State::Complete { final_size }
            | State::Reset { final_size, .. } => Some(final_size),
            State::Stopped { .. } => Some(self.reached()),
            State::Open => None,
        }
    }

    /// The frame with the lowest offset that is due and within the window, with at most `max_payload` bytes; `None` if
    /// there is none, or `max_payload` is 0. Small writes that touch come together.
    pub fn next_frame(&mut self, max_payload: usize) -> Option<OutFrame> {
        let Some((&offset, _)) = self.queue.first_key_value() else { return self.empty_fin() };
        let room = self.window.room_at(offset).min(max_payload as u64);
        let payload = self.take_payload(usize::try_from(room).unwrap_or(usize::MAX))?;
        let end = offset.saturating_add(payload.len() as u64);
        self.queued -= payload.len() as u64;
        self.committed = self.committed.max(end);
        Some(OutFrame { offset, payload, fin: self.mark_fin(end) })
    }

    /// The frame that names the final size where the tail was delegated, or is already on its way.
    fn empty_fin(&mut self) -> Option<OutFrame> {
        let State::Finished { final_size, .. } = self.state else { return None };
        let is_due = final_size <= self.window.max_offset() && self.mark_fin(final_size);
        is_due.then(|| OutFrame { offset: final_size, payload: Bytes::new(), fin: true })
    }

    /// Whether a frame that ends at `end` carries `fin`; from then on it was sent.
    fn mark_fin(&mut self, end: Offset) -> bool {
        match &mut self.state {
            State::Finished { final_size, fin_sent } if *final_size == end && !*fin_sent => {
                *fin_sent = true;
                true
            }
            _ => false,
        }
    }

    /// The first bytes of the queue, at most `max`.
    fn take_payload(&mut self, max: usize) -> Option<Bytes> {
        if max == 0 {
            return None;
        }
        let (offset, mut first) = self.queue.pop_first()?;
        if first.len() > max {
            let rest = first.split_off(max);
            self.queue.insert(offset.saturating_add(max as u64), rest);
            return Some(first);
        }
        let next = offset.saturating_add(first.len() as u64);
        if first.len() >= SMALL_WRITE || !self.queue.contains_key(&next) {
            return Some(first);
        }
        Some(self.join_small(first, next, max.min(JOINED_WRITES)))
    }

    /// Joins `first` with the small writes from `next` on that touch one another.
    fn join_small(&mut self, first: Bytes, mut next: Offset, max: usize) -> Bytes {
        let mut joined = BytesMut::from(first);
        while let Some(write) = self.queue.get(&next) {
            if write.len() >= SMALL_WRITE || joined.len() + write.len() > max {
                break;
            }
            joined.extend_from_slice(write);
            let end = next.saturating_add(write.len() as u64);
            self.queue.remove(&next);
            next = end;
        }
        joined.freeze()
    }

    /// The receiver moved its window; `false` if that is old news.
    pub fn extend_window(&mut self, max_offset: Offset) -> bool {
        self.window.extend(max_offset)
    }

    /// The window that binds, if bytes wait for it.
    pub fn is_blocked(&self) -> Option<Offset> {
        let (&offset, _) = self.queue.first_key_value()?;
        let max_offset = self.window.max_offset();
        (offset >= max_offset).then_some(max_offset)
    }

    /// Where the next frame's bytes go, if there are bytes within the window.
    pub fn due(&self) -> Option<Offset> {
        let (&offset, _) = self.queue.first_key_value()?;
        (offset < self.window.max_offset()).then_some(offset)
    }

    /// The receiver told what it has: every byte below `contiguous_end` arrived, whoever sent it.
    pub fn handle_progress(&mut self, read_offset: Offset, contiguous_end: Offset) {
        if let State::Finished { final_size, .. } = self.state
            && contiguous_end.max(read_offset) >= final_size
        {
            self.complete(final_size);
        }
    }

    fn complete(&mut self, final_size: Offset) {
        self.state = State::Complete { final_size };
        self.drop_queue();
    }

    /// The receiver wants no more.
    pub fn handle_stop(&mut self, code: u64) {
        if matches!(self.state, State::Open | State::Finished { .. }) {
            self.state = State::Stopped { code };
            self.drop_queue();
        }
    }

    /// Ends the half abruptly with the application's code; returns its final size for the frame that says so: the end of
    /// what was sent or delegated. Once the half is complete or reset this changes nothing.
    pub fn reset(&mut self, code: u64) -> Offset {
        self.give_up(Some(code))
    }

    /// Where bytes may have been sent: nobody was ordered to send past the window.
    fn reached(&self) -> Offset {
        self.committed.min(self.window.max_offset())
    }

    fn give_up(&mut self, code: Option<u64>) -> Offset {
        let final_size = match self.state {
            State::Complete { final_size } | State::Reset { final_size, .. } => return final_size,
            State::Finished { final_size, fin_sent: true } => final_size,
            _ => self.reached(),
        };
        self.state = State::Reset { final_size, code };
        self.drop_queue();
        final_size
    }

    /// The code that this end reset the half with.
    pub fn reset_code(&self) -> Option<u64> {
        match self.state {
            State::Reset { code, .. } => code,
            _ => None,
        }
    }

    /// The receiver is done with the half: it has every byte, or gave it up.
    pub fn handle_closed(&mut self, complete: bool) {
        match self.state {
            State::Finished { final_size, .. } if complete => self.complete(final_size),
            State::Open | State::Finished { .. } => {
                self.give_up(None);
            }
            State::Complete { .. } | State::Reset { .. } | State::Stopped { .. } => {}
        }
    }

    fn drop_queue(&mut self) {
        self.queue.clear();
        self.queued = 0;
    }

    /// Whether everything written was handed out, and `fin` as well.
    pub fn is_all_sent(&self) -> bool {
        match self.state {
            State::Finished { fin_sent, .. } => fin_sent && self.queue.is_empty(),
            State::Complete { .. } => true,
            State::Open | State::Reset { .. } | State::Stopped { .. } => false,
        }
    }

    /// Whether the receiver has every byte.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete { .. })
    }

    /// Whether nothing more will be sent: complete, reset or stopped.
    pub fn is_closed(&self) -> bool {
        !matches!(self.state, State::Open | State::Finished { .. })
    }

    /// Bytes that were written and not yet handed out.
    pub fn queued_bytes(&self) -> u64 {
        self.queued
    }
}

fn rest_of_stream(start: Offset) -> ByteRange {
    ByteRange::new(start, Offset::MAX).unwrap_or_default()
}
