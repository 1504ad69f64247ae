//! Values attached to ranges of bytes.

use std::collections::BTreeMap;

use kwik_proto::{ByteRange, Offset};

/// A value for each of some bytes of a stream half: who sent them, who owns them.
///
/// Ranges that touch and carry the same value are one range. Appending to the last range costs one look at it; any other
/// operation costs the logarithm of the number of ranges, plus the ranges that it cuts or covers.
///
/// ```
/// use kwik_core::interval::RangeMap;
/// use kwik_proto::{ByteRange, Offset};
///
/// let range = |start, end| {
///     ByteRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap()
/// };
/// let mut senders = RangeMap::new();
/// senders.insert(range(0, 10), 'a');
/// senders.insert(range(10, 20), 'a');
/// senders.insert(range(5, 8), 'b');
/// let all: Vec<_> = senders.iter().collect();
/// assert_eq!(all, [(range(0, 5), 'a'), (range(5, 8), 'b'), (range(8, 20), 'a')]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeMap<V> {
    ranges: BTreeMap<Offset, (Offset, V)>,
}

impl<V> Default for RangeMap<V> {
    fn default() -> Self {
        Self { ranges: BTreeMap::new() }
    }
}

impl<V: Copy + Eq> RangeMap<V> {
    /// The empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives every byte of `range` this value, whatever it had before.
    pub fn insert(&mut self, range: ByteRange, value: V) {
        if range.is_empty() || self.append(range, value) {
            return;
        }
        self.remove(range);
        let (mut start, mut end) = (range.start(), range.end());
        if let Some((&before, &(before_end, held))) = self.ranges.range(..start).next_back()
            && before_end == start
            && held == value
        {
            start = before;
        }
        if let Some(&(after_end, held)) = self.ranges.get(&end)
            && held == value
        {
            self.ranges.remove(&end);
            end = after_end;
        }
        self.ranges.insert(start, (end, value));
    }

    /// Adds a range at or beyond the end of all others; `false` if this one is not.
    fn append(&mut self, range: ByteRange, value: V) -> bool {
        if let Some(mut last) = self.ranges.last_entry() {
            let (end, held) = last.get_mut();
            if range.start() < *end {
                return false;
            }
            if range.start() == *end && *held == value {
                *end = range.end();
                return true;
            }
        }
        self.ranges.insert(range.start(), (range.end(), value));
        true
    }

    /// Takes the values of the bytes of `range` away.
    pub fn remove(&mut self, range: ByteRange) {
        while let Some((&start, &(end, value))) = self.ranges.range(..range.end()).next_back() {
            if end <= range.start() || range.is_empty() {
                break;
            }
            self.ranges.remove(&start);
            self.put_back(start, range.start(), value);
            self.put_back(range.end(), end, value);
        }
    }

    fn put_back(&mut self, start: Offset, end: Offset, value: V) {
        if start < end {
            self.ranges.insert(start, (end, value));
        }
    }

    /// The range that the byte at `offset` lies in, with its value.
    pub fn at(&self, offset: Offset) -> Option<(ByteRange, V)> {
        let (&start, &(end, value)) = self.ranges.range(..=offset).next_back()?;
        (offset < end).then_some((ByteRange::new(start, end)?, value))
    }

    /// All ranges in order, with their values.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ByteRange, V)> + '_ {
        self.ranges
            .iter()
            .filter_map(|(&start, &(end, value))| Some((ByteRange::new(start, end)?, value)))
    }

    /// The parts of the map within `range`, in order, with their values.
    pub fn iter_in(&self, range: ByteRange) -> impl Iterator<Item = (ByteRange, V)> + '_ {
        let from = match self.at(range.start()) {
            Some((first, _)) => first.start(),
            None => range.start(),
        };
        self.ranges.range(from..range.end().max(from)).filter_map(move |(&start, &(end, value))| {
            Some((ByteRange::new(start, end)?.intersection(range)?, value))
        })
    }

    /// Number of ranges.
    pub fn count(&self) -> usize {
        self.ranges.len()
    }

    /// Whether no byte has a value.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Takes all values away.
    pub fn clear(&mut self) {
        self.ranges.clear();
    }
}
