//! The receiving half.

mod claims;
mod delay;
mod end;
mod flow;
mod judge;
mod proof;
mod view;

use std::collections::VecDeque;

use bytes::Bytes;
use kwik_proto::{ByteRange, Offset, PathId};

use proof::Proofs;

pub use proof::RangeHash;

use super::source::Sources;
use super::{Counters, EndedWait, Failure, Inserted, Read, ReceiveError, SourceKey};
use crate::conflict::{Conflict, ConflictPolicy, Referee};
use crate::delay::DelayHistogram;
use crate::interval::RangeSet;
use crate::reassembly::Reassembler;
use crate::time::Instant;
use crate::window::{Budget, ReceiveWindow};

/// Ended waits of the reader that are kept for the session to ask for.
const WAITS: usize = 16;

/// How a receiving half starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveConfig {
    /// Whose bytes count where copies differ.
    pub policy: ConflictPolicy,
    /// First offset that may not be sent, as this end's Hello or Welcome told it. Bytes.
    pub initial_window: u64,
}

impl Default for ReceiveConfig {
    fn default() -> Self {
        Self { policy: ConflictPolicy::default(), initial_window: Budget::FLOOR }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The sender ended the half abruptly: what was not read is gone.
    Reset {
        error_code: u64,
    },
    /// The application wants no more.
    Stopped {
        error_code: u64,
        /// It had every byte by then.
        complete: bool,
    },
    /// What is there can be read, then the failure.
    Failed(Failure),
}

/// The receiving half of one KWIK stream: bytes from many carriers in, one ordered stream out.
///
/// Each carrier is a source ([`add_source`](Self::add_source)) whose frames go to [`insert`](Self::insert); an error there is
/// the fault of the path that it names, changes nothing, and leaves all other sources alone. Within the window an
/// insert is never refused or put off: every source can always be drained.
///
/// The final size comes from the primary alone and follows RFC 9000, 4.5. The reader calls [`read`](Self::read) until it is
/// [`Blocked`](Read::Blocked) and is woken when an insert says [`readable`](Inserted::readable).
///
/// Bytes that a read returned, or could have returned had it asked for more, are *settled* and never change, so the
/// result does not depend on how much is read at a time.
///
/// Memory: at most 1.5 times the [window](Self::open_window), plus about 64 bytes for each of at most 256 + W/512 pieces.
/// Who cuts the stream smaller than that pays with [`ReceiveError::Fragmented`].
///
/// ```
/// use bytes::Bytes;
/// use kwik_core::stream::{Read, ReceiveConfig, ReceiveHalf};
/// use kwik_core::time::Instant;
/// use kwik_proto::{Offset, PathId};
///
/// let now = Instant::ZERO;
/// let mut half = ReceiveHalf::new(ReceiveConfig::default());
/// let primary = half.add_source(PathId::PRIMARY, None);
/// let secondary = half.add_source(PathId::new(1), None);
/// let far = half.insert(secondary, Offset::new(5).unwrap(), Bytes::from_static(b" world"), 6, now);
/// assert!(!far.unwrap().readable);
/// let near = half.insert(primary, Offset::ZERO, Bytes::from_static(b"hello"), 5, now);
/// assert!(near.unwrap().readable);
/// half.handle_fin(primary, Offset::new(11).unwrap()).unwrap();
/// assert_eq!(half.read(100, now), Read::Data(Bytes::from_static(b"hello")));
/// assert_eq!(half.read(100, now), Read::Data(Bytes::from_static(b" world")));
/// assert_eq!(half.read(100, now), Read::Finished);
/// ```
#[derive(Debug)]
pub struct ReceiveHalf {
    policy: ConflictPolicy,
    state: State,
    reassembler: Reassembler,
    window: ReceiveWindow,
    sources: Sources,
    referee: Referee,
    proofs: Proofs,
    final_size: Option<Offset>,
    /// The application knows how the half ended.
    told: bool,
    /// Nobody has accepted the stream yet.
    unaccepted: bool,
    /// End of the last byte that the primary itself sent.
    primary_end: Offset,
    /// Bytes below were read or could have been.
    settled_end: Offset,
    /// First settled byte that can still be compared. Never falls.
    memory_start: Offset,
    /// Since when the reader waits.
    waiting: Option<Instant>,
    /// Waits that bytes ended, not yet asked for; the shortest makes room.
    waits: VecDeque<EndedWait>,
    /// Number of pieces at which small ones are joined.
    join_at: usize,
    /// Bytes below could be read at some time: their in-order delay is counted.
    delivered_end: Offset,
    delays: DelayHistogram,
    counters: Counters,
}

impl ReceiveHalf {
    /// A half at the start of its stream.
    pub fn new(config: ReceiveConfig) -> Self {
        let mut half = Self {
            policy: config.policy,
            state: State::Open,
            reassembler: Reassembler::new(),
            window: ReceiveWindow::new(config.initial_window),
            sources: Sources::default(),
            referee: Referee::default(),
            proofs: Proofs::default(),
            final_size: None,
            told: false,
            unaccepted: false,
            primary_end: Offset::ZERO,
            settled_end: Offset::ZERO,
            memory_start: Offset::ZERO,
            waiting: None,
            waits: VecDeque::new(),
            join_at: 0,
            delivered_end: Offset::ZERO,
            delays: DelayHistogram::default(),
            counters: Counters::default(),
        };
        half.window_moved();
        half
    }

    /// A carrier on `path` begins to feed the half. `allowed` is what was granted to it; `None`: no bound.
    ///
    /// Several ranges are kept once per path, as the union of what all its carriers were allowed so.
    pub fn add_source(&mut self, path: PathId, allowed: Option<RangeSet>) -> SourceKey {
        self.sources.add(path, allowed, self.reassembler.read_offset())
    }

    /// A carrier ended. What it delivered stays.
    pub fn remove_source(&mut self, source: SourceKey) {
        self.sources.remove(source);
    }

    /// Takes a frame's bytes. Bytes that are already there, or that nobody wants any more, are counted and dropped.
    ///
    /// `allocation` is the size in bytes of the buffer behind `payload`; consecutive payloads of one source that fit into
    /// one buffer of that size together are taken to share it.
    ///
    /// # Errors
    /// Every [`ReceiveError`]. Nothing of the frame was taken then.
    pub fn insert(
        &mut self,
        source: SourceKey,
        offset: Offset,
        payload: Bytes,
        allocation: usize,
        now: Instant,
    ) -> Result<Inserted, ReceiveError> {
        let range =
            self.check(source, offset, &payload).inspect_err(|_| self.counters.refused += 1)?;
        self.counters.frames += 1;
        if self.state != State::Open || self.sources.is_isolated(source) {
            self.counters.unwanted_bytes += range.len();
            self.sources.arrived(source, 0, range.len(), range.end(), now);
            return Ok(Inserted { duplicate_bytes: range.len(), ..Inserted::default() });
        }
        let was_readable = self.is_readable();
        let conflict = self.judge(source.path(), range, &payload)?;
        if self.state != State::Open {
            self.counters.unwanted_bytes += range.len();
            let readable = self.wakes_reader(was_readable);
            let duplicate_bytes = range.len();
            return Ok(Inserted { duplicate_bytes, readable, conflict, ..Inserted::default() });
        }
        self.keep_pieces_few(source.path(), offset)?;
        if source.path().is_primary() {
            self.make_way_for_primary(range);
        }
        let new_bytes = self.place(source, range, payload, allocation, now);
        let duplicate_bytes = range.len() - new_bytes;
        // Before a hash is looked at: what it throws away is taken off again.
        self.sources.arrived(source, new_bytes, duplicate_bytes, range.end(), now);
        let conflict = if new_bytes > 0 { self.prove(range).or(conflict) } else { conflict };
        self.note_delivered(now);
        self.counters.new_bytes += new_bytes;
        self.counters.duplicate_bytes += duplicate_bytes;
        if source.path().is_primary() {
            self.primary_end = self.primary_end.max(range.end());
        }
        if self.waiting.is_some() && self.is_readable() {
            self.note_wait(source.path(), now);
        }
        let readable = self.wakes_reader(was_readable);
        Ok(Inserted { new_bytes, duplicate_bytes, readable, conflict })
    }

    /// The frame's range, if the source may send it.
    fn check(
        &self,
        key: SourceKey,
        offset: Offset,
        payload: &Bytes,
    ) -> Result<ByteRange, ReceiveError> {
        let (path, max_offset) = (key.path(), self.window.max_offset());
        let Some(range) = ByteRange::with_length(offset, payload.len() as u64) else {
            return Err(ReceiveError::FlowControl { path, offset: Offset::MAX, max_offset });
        };
        let known = self.sources.find(key).is_some();
        if !known {
            return Err(ReceiveError::SourceRemoved { path, range });
        }
        if range.end() > max_offset {
            return Err(ReceiveError::FlowControl { path, offset: range.end(), max_offset });
        }
        // Who was ordered to send may not have heard of a reset yet, and may go on to the window: nobody wants that, and it
        // is no fault.
        let bound = path.is_primary() || self.state == State::Open;
        if bound && self.final_size.is_some_and(|final_size| range.end() > final_size) {
            return Err(ReceiveError::FinalSize { path, offset: range.end() });
        }
        if !self.sources.allows(key, range, self.reassembler.read_offset()) {
            return Err(ReceiveError::NotGranted { path, range });
        }
        Ok(range)
    }

    /// Gives the reassembler what may be filled: from a secondary everything but disputed ranges.
    fn place(
        &mut self,
        key: SourceKey,
        range: ByteRange,
        payload: Bytes,
        allocation: usize,
        now: Instant,
    ) -> u64 {
        let Some(source) = self.sources.find_mut(key) else { return 0 };
        let (path, hint) = (key.path(), &mut source.hint);
        if path.is_primary() || !self.referee.disputed().overlaps(range) {
            return self.reassembler.insert(hint, path, range.start(), payload, allocation, now);
        }
        let mut new = 0;
        for part in self.referee.disputed().missing_in(range) {
            let from = usize::try_from(part.start().since(range.start())).unwrap_or(payload.len());
            let to = usize::try_from(part.end().since(range.start())).unwrap_or(payload.len());
            let piece = payload.slice(from..to);
            new += self.reassembler.insert(hint, path, part.start(), piece, allocation, now);
        }
        new
    }

    /// Joins small pieces when there are too many, and refuses the path with the most if that does not help.
    fn keep_pieces_few(&mut self, path: PathId, offset: Offset) -> Result<(), ReceiveError> {
        if self.reassembler.fragments() < self.join_at {
            return Ok(());
        }
        self.reassembler.join_small();
        let (left, most) = (self.reassembler.fragments(), self.most_pieces());
        self.join_at = most.max(left + left / 8);
        if left > most - most / 8 && self.is_worst(path) {
            self.counters.refused += 1;
            self.join_at = left;
            return Err(ReceiveError::Fragmented { path, offset });
        }
        Ok(())
    }

    /// Whether no path holds more pieces.
    fn is_worst(&self, path: PathId) -> bool {
        let own = self.reassembler.fragments_of(path);
        self.sources.path_bytes().all(|(other, _)| self.reassembler.fragments_of(other) <= own)
    }

    fn most_pieces(&self) -> usize {
        usize::try_from(256 + self.window.size() / 512).unwrap_or(usize::MAX)
    }

    /// The next bytes, at most `max`, without a copy. (With a `max` of 0 the data is empty.)
    ///
    /// After a failure the bytes before it can still be read; after a reset nothing can.
    pub fn read(&mut self, max: usize, now: Instant) -> Read {
        let read = self.read_next(max, now);
        let at_end = matches!(read, Read::Data(_))
            && self.final_size == Some(self.reassembler.read_offset());
        self.told |=
            at_end || matches!(read, Read::Reset { .. } | Read::Failed(_) | Read::Finished);
        read
    }

    fn read_next(&mut self, max: usize, now: Instant) -> Read {
        if let State::Reset { error_code } | State::Stopped { error_code, .. } = self.state {
            return Read::Reset { error_code };
        }
        self.note_delivered(now);
        let offset = self.reassembler.read_offset();
        let end = self.readable_end();
        if end > offset {
            let most = usize::try_from(end.since(offset)).unwrap_or(usize::MAX);
            return Read::Data(self.take(max.min(most), offset));
        }
        if let State::Failed(failure) = self.state {
            return Read::Failed(failure);
        }
        if self.final_size == Some(offset) {
            return Read::Finished;
        }
        self.waiting.get_or_insert(now);
        Read::Blocked
    }

    fn take(&mut self, max: usize, offset: Offset) -> Bytes {
        self.settled_end = self.settled_end.max(self.readable_end());
        self.waiting = None;
        let path = self.reassembler.next_path();
        let bytes = self.reassembler.read(max).unwrap_or_default();
        self.window.consumed(bytes.len() as u64);
        self.note_read(offset, &bytes);
        if let (ConflictPolicy::Reject, Some(path)) = (self.policy, path) {
            let reach = Referee::reach(self.window.size());
            let start = self.settled_end.value().saturating_sub(reach);
            self.memory_start = self.memory_start.max(Offset::ZERO.saturating_add(start));
            self.referee.remember(offset, path, &bytes, self.memory_start);
        }
        bytes
    }

    /// Whether the reader finds anything but [`Read::Blocked`].
    fn is_readable(&self) -> bool {
        let offset = self.reassembler.read_offset();
        self.state != State::Open || self.readable_end() > offset || self.final_size == Some(offset)
    }

    /// Bytes of `path` are what the reader waits for, if it does.
    fn note_wait(&mut self, path: PathId, now: Instant) {
        let Some(since) = self.waiting.take() else { return };
        if self.waits.len() == WAITS {
            let shortest = (0..WAITS).min_by_key(|&at| self.waits[at].duration());
            self.waits.remove(shortest.unwrap_or_default());
        }
        let offset = self.reassembler.read_offset();
        self.waits.push_back(EndedWait { offset, since, until: now, by: path });
    }

    fn wakes_reader(&mut self, was_readable: bool) -> bool {
        let wakes = !was_readable && self.is_readable();
        if wakes {
            self.waiting = None;
        }
        wakes
    }

    /// Throws away the bytes of a path that are neither settled nor proven and takes nothing more from it; returns what is
    /// missing again. Does nothing to the primary.
    pub fn isolate(&mut self, path: PathId) -> RangeSet {
        if path.is_primary() {
            return RangeSet::new();
        }
        self.sources.isolate(path);
        self.referee.withdraw(path);
        let open = rest_of_stream(self.settled_end);
        let sent = self.reassembler.sent_by(path).filter_map(|range| range.intersection(open));
        // What was proven is right, whoever sent it. Thrown away it would come back with nobody left to prove it.
        let sent: RangeSet = sent.flat_map(|range| self.proofs.unproven_in(range)).collect();
        for range in sent.iter() {
            self.discard(path, range);
        }
        sent
    }

    fn discard(&mut self, path: PathId, range: ByteRange) {
        let bytes = self.reassembler.discard(range);
        self.counters.discarded_bytes += bytes;
        self.sources.discarded(path, bytes);
    }

    fn announce(&mut self, conflict: Conflict) {
        self.counters.conflicts += 1;
        self.referee.announce(conflict);
    }
}

fn rest_of_stream(start: Offset) -> ByteRange {
    ByteRange::new(start, Offset::MAX).unwrap_or_default()
}
