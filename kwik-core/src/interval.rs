//! Sets and maps of byte ranges: what is held, what is missing, who sent what.

mod map;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use kwik_proto::{ByteRange, Offset};

pub use map::RangeMap;

/// A set of bytes of one stream half, kept as ordered ranges that neither overlap nor touch.
///
/// Every operation costs the logarithm of the number of ranges, plus the ranges that it joins or cuts; appending to the
/// last range costs one look at it. There is no cap of its own: who fills a set from the network bounds what it puts in.
///
/// ```
/// use kwik_core::interval::RangeSet;
/// use kwik_proto::{ByteRange, Offset};
///
/// let range = |start, end| {
///     ByteRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap()
/// };
/// let mut held = RangeSet::new();
/// held.insert(range(0, 10));
/// held.insert(range(20, 30));
/// assert_eq!(held.missing_in(range(5, 40)).collect::<Vec<_>>(), [range(10, 20), range(30, 40)]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// End by start, both in bytes.
    ranges: BTreeMap<Offset, Offset>,
    /// Bytes in all ranges.
    total: u64,
}

impl RangeSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { ranges: BTreeMap::new(), total: 0 }
    }

    /// Adds the bytes of `range`; returns how many of them were not in the set before.
    pub fn insert(&mut self, range: ByteRange) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let before = self.total;
        if !self.append(range) {
            self.join(range);
        }
        self.total - before
    }

    /// Adds a range that starts at or beyond the end of all others; `false` if this one does not.
    fn append(&mut self, range: ByteRange) -> bool {
        if let Some(mut last) = self.ranges.last_entry() {
            if range.start() < *last.get() {
                return false;
            }
            if range.start() == *last.get() {
                *last.get_mut() = range.end();
                self.total += range.len();
                return true;
            }
        }
        self.ranges.insert(range.start(), range.end());
        self.total += range.len();
        true
    }

    /// Adds a range and swallows all that it overlaps or touches.
    fn join(&mut self, range: ByteRange) {
        let (mut start, mut end) = (range.start(), range.end());
        while let Some((&other, &other_end)) = self.ranges.range(..=end).next_back() {
            if other_end < range.start() {
                break;
            }
            start = start.min(other);
            end = end.max(other_end);
            self.ranges.remove(&other);
            self.total -= other_end.since(other);
        }
        self.ranges.insert(start, end);
        self.total += end.since(start);
    }

    /// Takes the bytes of `range` out; returns how many of them were in the set.
    pub fn remove(&mut self, range: ByteRange) -> u64 {
        let before = self.total;
        while let Some((&start, &end)) = self.ranges.range(..range.end()).next_back() {
            if end <= range.start() || range.is_empty() {
                break;
            }
            self.ranges.remove(&start);
            self.total -= end.since(start);
            self.put_back(start, range.start());
            self.put_back(range.end(), end);
        }
        before - self.total
    }

    fn put_back(&mut self, start: Offset, end: Offset) {
        if start < end {
            self.ranges.insert(start, end);
            self.total += end.since(start);
        }
    }

    /// Whether the byte at `offset` is in the set.
    pub fn contains(&self, offset: Offset) -> bool {
        self.ranges.range(..=offset).next_back().is_some_and(|(_, &end)| offset < end)
    }

    /// Whether every byte of `range` is in the set. An empty range is in every set.
    pub fn covers(&self, range: ByteRange) -> bool {
        range.is_empty() || self.missing_in(range).next().is_none()
    }

    /// Whether at least one byte of `range` is in the set.
    pub fn overlaps(&self, range: ByteRange) -> bool {
        !range.is_empty()
            && self
                .ranges
                .range(..range.end())
                .next_back()
                .is_some_and(|(_, &end)| end > range.start())
    }

    /// The ranges in order. None is empty, none touches the next.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = ByteRange> + '_ {
        self.ranges.iter().filter_map(|(&start, &end)| ByteRange::new(start, end))
    }

    /// The parts of the set within `range`, in order.
    pub fn iter_in(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        let from = match self.ranges.range(..=range.start()).next_back() {
            Some((&start, &end)) if end > range.start() => start,
            _ => range.start(),
        };
        self.ranges
            .range(from..range.end().max(from))
            .filter_map(move |(&start, &end)| ByteRange::new(start, end)?.intersection(range))
    }

    /// The parts of `range` that are not in the set, in order.
    pub fn missing_in(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        let mut next = range.start();
        let mut held = self.iter_in(range);
        std::iter::from_fn(move || {
            while next < range.end() {
                let (stop, resume) = match held.next() {
                    Some(part) => (part.start(), part.end()),
                    None => (range.end(), range.end()),
                };
                let gap = ByteRange::new(next, stop);
                next = resume;
                if let Some(gap) = gap.filter(|gap| !gap.is_empty()) {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// What both sets have in common.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut common = Self::new();
        for range in self.iter() {
            for part in other.iter_in(range) {
                common.insert(part);
            }
        }
        common
    }

    /// The range with the lowest offsets.
    pub fn first(&self) -> Option<ByteRange> {
        self.iter().next()
    }

    /// The range with the highest offsets.
    pub fn last(&self) -> Option<ByteRange> {
        self.iter().next_back()
    }

    /// Number of bytes in the set.
    pub const fn total_len(&self) -> u64 {
        self.total
    }

    /// Number of ranges.
    pub fn count(&self) -> usize {
        self.ranges.len()
    }

    /// Whether the set has no bytes.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.ranges.clear();
        self.total = 0;
    }
}

impl From<ByteRange> for RangeSet {
    fn from(range: ByteRange) -> Self {
        Self::from_iter([range])
    }
}

impl FromIterator<ByteRange> for RangeSet {
    fn from_iter<I: IntoIterator<Item = ByteRange>>(ranges: I) -> Self {
        let mut set = Self::new();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

impl Extend<ByteRange> for RangeSet {
    fn extend<I: IntoIterator<Item = ByteRange>>(&mut self, ranges: I) {
        for range in ranges {
            self.insert(range);
        }
    }
}
