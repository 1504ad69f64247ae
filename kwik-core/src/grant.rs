//! What was ever granted, and to whom.

use std::collections::{BTreeMap, BTreeSet};

use kwik_proto::{ByteRange, Offset, PathId, StreamId};

use crate::interval::RangeSet;

/// What a path may send of one stream, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    ranges: RangeSet,
    /// Everything from here on.
    open_from: Option<Offset>,
    /// Everything below here was read by the application: no byte of it can do harm.
    read_offset: Offset,
}

impl Allowed {
    /// Whether every byte of `range` is allowed.
    pub fn allows(&self, range: ByteRange) -> bool {
        let open_from = self.open_from.unwrap_or(Offset::MAX);
        let start = range.start().max(self.read_offset);
        let end = range.end().min(open_from);
        ByteRange::new(start, end).is_none_or(|rest| self.ranges.covers(rest))
    }

    /// Whether nothing was granted.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.open_from.is_none()
    }

    /// The bounded ranges above what was read, in order.
    pub fn ranges(&self) -> impl Iterator<Item = ByteRange> + '_ {
        self.ranges.iter()
    }

    /// From the first byte allowed to the last; `None` if nothing was granted.
    pub fn hull(&self) -> Option<ByteRange> {
        let first = self.ranges.first().map(ByteRange::start);
        let start = [first, self.open_from].into_iter().flatten().min()?;
        let end = match self.open_from {
            Some(_) => Offset::MAX,
            None => self.ranges.last()?.end(),
        };
        ByteRange::new(start, end)
    }

    /// Every byte allowed, those that were read already among them.
    pub fn bytes(&self) -> RangeSet {
        let read = ByteRange::new(Offset::ZERO, self.read_offset);
        let open = self.open_from.and_then(|from| ByteRange::new(from, Offset::MAX));
        self.ranges.iter().chain(read).chain(open).collect()
    }

    /// Start of the part without an end.
    pub fn open_from(&self) -> Option<Offset> {
        self.open_from
    }
}

/// What [`Grants::record`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It counts from now on.
    Kept,
    /// There was no room: the path may not use it.
    Full,
}

/// Everything that was ever granted in a session: the rule "was it ever granted to this path".
///
/// A grant is never taken back here: revoking stops *sending*, and bytes that were under way may still arrive from a
/// path that is revoked or gone. It ends with its stream ([`Grants::forget`]).
///
/// Ranges below the reader's offset are dropped ([`Grants::handle_read`]), so what is kept is bounded by the window.
/// Both ends keep one: the client judges contributions by it, a secondary what its application opens without a
/// delegation, and the primary what a new connection of a path is granted again.
///
/// ```
/// use kwik_core::grant::Grants;
/// use kwik_proto::{ByteRange, Offset, PathId, StreamId};
///
/// let at = |offset| Offset::new(offset).unwrap();
/// let (edge, stream) = (PathId::new(1), StreamId::from_wire(0).unwrap());
/// let mut grants = Grants::default();
/// grants.record(edge, stream, at(100), Some(at(200)));
/// assert!(grants.allows(edge, stream, ByteRange::new(at(150), at(200)).unwrap()));
/// assert!(!grants.allows(edge, stream, ByteRange::new(at(150), at(201)).unwrap()));
/// assert_eq!(grants.known_end(stream), at(200));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Grants {
    streams: BTreeMap<StreamId, StreamGrants>,
    /// Where each path has grants.
    by_path: BTreeMap<PathId, BTreeSet<StreamId>>,
    /// Separate ranges of all paths and streams.
    held: usize,
    refused: u64,
}

#[derive(Clone, Debug, Default)]
struct StreamGrants {
    paths: BTreeMap<PathId, PathGrants>,
    known_end: Offset,
    read_offset: Offset,
}

#[derive(Clone, Debug, Default)]
struct PathGrants {
    ranges: RangeSet,
    open_from: Option<Offset>,
    /// End of what it may send as the window moves; a delegation is credit of its own.
    reach: Offset,
    /// The window that it was told.
    told: Offset,
}

impl Grants {
    /// Separate ranges kept per path and stream: 4,096, a window of 256 MiB in ranges of 64 KiB. The primary pays: a
    /// grant beyond it does not count, and what is sent on it is refused.
    pub const MAX_RANGES: usize = 4096;
    /// Separate ranges kept in all, but for those of [`LEAST_RANGES`](Self::LEAST_RANGES): 65,536. The primary pays
    /// likewise.
    pub const MAX_HELD: usize = 65_536;
    /// Separate ranges that a path has room for on each stream, whatever others took: 16. A secondary is not told what
    /// was read, so old streams may have filled the rest.
    pub const LEAST_RANGES: usize = 16;
    /// Streams with grants at a time: 8,192. The primary pays likewise.
    pub const MAX_STREAMS: usize = 8192;

    /// The primary grants `start..end` of a stream to a path, without an end if `end` is `None`. A range that is
    /// empty or runs backwards is nothing.
    pub fn record(
        &mut self,
        path: PathId,
        stream: StreamId,
        start: Offset,
        end: Option<Offset>,
    ) -> Recorded {
        let recorded = self.try_record(path, stream, start, end);
        if recorded == Recorded::Full {
            self.refused = self.refused.saturating_add(1);
        }
        recorded
    }

    fn try_record(
        &mut self,
        path: PathId,
        stream: StreamId,
        start: Offset,
        end: Option<Offset>,
    ) -> Recorded {
        if end.unwrap_or(Offset::MAX) <= start {
            return Recorded::Kept;
        }
        if !self.streams.contains_key(&stream) && self.streams.len() >= Self::MAX_STREAMS {
            return Recorded::Full;
        }
        self.by_path.entry(path).or_default().insert(stream);
        let grants = self.streams.entry(stream).or_default();
        let read_offset = grants.read_offset;
        let on_path = grants.paths.entry(path).or_default();
        let Some(range) = end.and_then(|end| ByteRange::new(start, end)) else {
            on_path.open_from = Some(on_path.open_from.map_or(start, |known| known.min(start)));
            return Recorded::Kept;
        };
        let count = on_path.ranges.count();
        let full = count >= Self::MAX_RANGES
            || (self.held >= Self::MAX_HELD && count >= Self::LEAST_RANGES);
        if full && !on_path.joins(range) {
            return Recorded::Full;
        }
        grants.known_end = grants.known_end.max(range.end());
        if let Some(unread) = ByteRange::new(range.start().max(read_offset), range.end()) {
            on_path.ranges.insert(unread);
            self.held = self.held + on_path.ranges.count() - count;
        }
        Recorded::Kept
    }

    /// As [`record`](Self::record), for who is not told what was read: where there is no room, the lowest ranges go.
    /// Whoever granted keeps no more than [`MAX_RANGES`](Self::MAX_RANGES) unread ones, so these were read.
    pub fn record_newest(
        &mut self,
        path: PathId,
        stream: StreamId,
        start: Offset,
        end: Option<Offset>,
    ) -> Recorded {
        if self.try_record(path, stream, start, end) == Recorded::Kept {
            return Recorded::Kept;
        }
        if let Some(on_path) = self.on_path(path, stream)
            && let Some(lowest) = on_path.ranges.first().filter(|lowest| lowest.end() < start)
        {
            on_path.ranges.remove(lowest);
            self.held -= 1;
        }
        self.record(path, stream, start, end)
    }

    /// As [`record`](Self::record), for a grant without a delegation: its holder needs the stream's window as far as the
    /// grant reaches.
    pub fn grant(
        &mut self,
        path: PathId,
        stream: StreamId,
        start: Offset,
        end: Option<Offset>,
    ) -> Recorded {
        let recorded = self.record(path, stream, start, end);
        if recorded == Recorded::Kept
            && let Some(on_path) = self.on_path(path, stream)
        {
            on_path.reach = on_path.reach.max(end.unwrap_or(Offset::MAX));
        }
        recorded
    }

    fn on_path(&mut self, path: PathId, stream: StreamId) -> Option<&mut PathGrants> {
        self.streams.get_mut(&stream)?.paths.get_mut(&path)
    }

    /// The stream's window moved to `max_offset`: who has to be told, since a grant of theirs reaches above what they
    /// were told before.
    pub fn handle_window(&mut self, stream: StreamId, max_offset: Offset) -> Vec<PathId> {
        let Some(grants) = self.streams.get_mut(&stream) else { return Vec::new() };
        let told = |(path, on_path): (&PathId, &mut PathGrants)| {
            on_path.is_told(max_offset).then_some(*path)
        };
        grants.paths.iter_mut().filter_map(told).collect()
    }

    /// Whether a path has to be told that the stream's window is at `max_offset`; from then on it knows.
    pub fn tell_window(&mut self, path: PathId, stream: StreamId, max_offset: Offset) -> bool {
        self.on_path(path, stream).is_some_and(|on_path| on_path.is_told(max_offset))
    }

    /// A new connection of the path: its server knows no window.
    pub fn forget_windows(&mut self, path: PathId) {
        for stream in self.streams_of(path) {
            if let Some(on_path) = self.on_path(path, stream) {
                on_path.told = Offset::ZERO;
            }
        }
    }

    /// The streams that the path has grants for, in order.
    pub fn streams_of(&self, path: PathId) -> Vec<StreamId> {
        self.by_path.get(&path).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    /// Whether every byte of `range` was ever granted to the path. Bytes that were read already are always allowed.
    pub fn allows(&self, path: PathId, stream: StreamId, range: ByteRange) -> bool {
        let Some(grants) = self.streams.get(&stream) else { return false };
        let Some(on_path) = grants.paths.get(&path) else { return false };
        let open_from = on_path.open_from.unwrap_or(Offset::MAX);
        let start = range.start().max(grants.read_offset);
        ByteRange::new(start, range.end().min(open_from))
            .is_none_or(|rest| on_path.ranges.covers(rest))
    }

    /// As [`allows`](Self::allows), without grants that have no end.
    pub fn allows_bounded(&self, path: PathId, stream: StreamId, range: ByteRange) -> bool {
        let Some(grants) = self.streams.get(&stream) else { return false };
        let Some(on_path) = grants.paths.get(&path) else { return false };
        let start = range.start().max(grants.read_offset);
        ByteRange::new(start, range.end()).is_none_or(|rest| on_path.ranges.covers(rest))
    }

    /// What the path may send of the stream now: a copy, for who sends or receives it elsewhere.
    pub fn allowed(&self, path: PathId, stream: StreamId) -> Allowed {
        let grants = self.streams.get(&stream);
        let read_offset = grants.map_or(Offset::ZERO, |grants| grants.read_offset);
        match grants.and_then(|grants| grants.paths.get(&path)) {
            Some(PathGrants { ranges, open_from, .. }) => {
                Allowed { ranges: ranges.clone(), open_from: *open_from, read_offset }
            }
            None => Allowed::default(),
        }
    }

    /// The paths that have any grant for the stream, by number.
    pub fn paths_for(&self, stream: StreamId) -> Vec<PathId> {
        let grants = self.streams.get(&stream);
        grants.map(|grants| grants.paths.keys().copied().collect()).unwrap_or_default()
    }

    /// End of every bounded range ever granted on the stream. Grants without an end promise nothing.
    pub fn known_end(&self, stream: StreamId) -> Offset {
        self.streams.get(&stream).map_or(Offset::ZERO, |grants| grants.known_end)
    }

    /// The application read up to `read_offset`: what was granted below it need not be kept.
    pub fn handle_read(&mut self, stream: StreamId, read_offset: Offset) {
        let Some(grants) = self.streams.get_mut(&stream) else { return };
        grants.read_offset = grants.read_offset.max(read_offset);
        let Some(read) = ByteRange::new(Offset::ZERO, grants.read_offset) else { return };
        for on_path in grants.paths.values_mut() {
            let count = on_path.ranges.count();
            on_path.ranges.remove(read);
            self.held -= count - on_path.ranges.count();
        }
    }

    /// The stream is over.
    pub fn forget(&mut self, stream: StreamId) {
        let Some(grants) = self.streams.remove(&stream) else { return };
        for (path, on_path) in &grants.paths {
            self.held -= on_path.ranges.count();
            self.leave(*path, stream);
        }
    }

    /// The path is out of the session, and nothing of it is under way.
    pub fn forget_path(&mut self, path: PathId) {
        for stream in self.by_path.remove(&path).unwrap_or_default() {
            let grants = self.streams.get_mut(&stream);
            if let Some(on_path) = grants.and_then(|grants| grants.paths.remove(&path)) {
                self.held -= on_path.ranges.count();
            }
        }
    }

    fn leave(&mut self, path: PathId, stream: StreamId) {
        if let Some(streams) = self.by_path.get_mut(&path) {
            streams.remove(&stream);
            if streams.is_empty() {
                self.by_path.remove(&path);
            }
        }
    }

    /// Streams with grants.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Separate ranges kept, over all paths and streams.
    pub fn ranges(&self) -> usize {
        self.held
    }

    /// Grants that found no room.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

impl PathGrants {
    /// Whether a window at `max_offset` is news to it that it can use.
    fn is_told(&mut self, max_offset: Offset) -> bool {
        let news = self.reach > self.told && max_offset > self.told;
        if news {
            self.told = max_offset;
        }
        news
    }

    /// Whether adding `range` makes no further range: it overlaps or touches one.
    fn joins(&self, range: ByteRange) -> bool {
        let before = Offset::new(range.start().value().saturating_sub(1)).unwrap_or(Offset::ZERO);
        ByteRange::new(before, range.end().saturating_add(1))
            .is_some_and(|wider| self.ranges.overlaps(wider))
    }
}

#[cfg(test)]
mod tests;
