//! The hashes that are awaited on a stream, by where their ranges lie.

use std::collections::BTreeMap;

use kwik_proto::{ByteRange, Offset};

use super::proof::RangeHash;
use crate::reassembly::Reassembler;

/// A range whose hash the primary named.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) range: ByteRange,
    /// `None`: the reader was past its beginning when the hash came, so it says nothing about the rest.
    pub(super) hash: Option<RangeHash>,
    /// The part of the range that was read: proven by another claim.
    pub(super) read: Option<Box<blake3::Hasher>>,
    /// End of that part.
    pub(super) read_end: Offset,
}

impl Claim {
    pub(super) fn rest(&self) -> ByteRange {
        ByteRange::new(self.read_end, self.range.end()).unwrap_or_default()
    }

    pub(super) fn holds(&self, reassembler: &Reassembler) -> bool {
        let Some(hash) = self.hash else { return false };
        let mut hasher = self.read.as_deref().cloned().unwrap_or_default();
        for (_, _, bytes) in reassembler.held_in(self.rest()) {
            hasher.update(bytes);
        }
        // Nobody learns anything from the time that it takes to compare hashes of public content.
        *hasher.finalize().as_bytes() == hash
    }

    /// `bytes` from `offset` on leave.
    fn handle_read(&mut self, offset: Offset, bytes: &[u8], end: Offset) {
        if self.hash.is_some() {
            let from = usize::try_from(self.read_end.since(offset)).unwrap_or(usize::MAX);
            let to = usize::try_from(self.range.end().since(offset)).unwrap_or(usize::MAX);
            let part = bytes.get(from..to.min(bytes.len())).unwrap_or_default();
            self.read.get_or_insert_default().update(part);
        }
        self.read_end = end.min(self.range.end());
    }
}

/// Names a claim. In the order of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClaimKey {
    start: Offset,
    end: Offset,
    number: u64,
}

impl ClaimKey {
    /// Claims of one class are at least `2^class` bytes long and less than twice that.
    fn class(self) -> u32 {
        self.end.since(self.start).max(1).ilog2()
    }
}

/// Claims by class, and there by where they begin.
///
/// Those that touch a range begin less than the longest of their class before it, so that one look at each class there is finds
/// them: a primary that leaves thousands of ranges unfinished does not have all of them looked at for every frame.
#[derive(Debug, Default)]
pub(super) struct Claims {
    classes: BTreeMap<u32, BTreeMap<ClaimKey, Claim>>,
    next: u64,
}

impl Claims {
    pub(super) fn len(&self) -> usize {
        self.classes.values().map(BTreeMap::len).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Whether that very claim is there.
    pub(super) fn has(&self, range: ByteRange, hash: Option<RangeHash>) -> bool {
        let first = ClaimKey { start: range.start(), end: range.end(), number: 0 };
        let last = ClaimKey { number: u64::MAX, ..first };
        let class = self.classes.get(&first.class());
        class.is_some_and(|class| class.range(first..=last).any(|(_, claim)| claim.hash == hash))
    }

    pub(super) fn insert(&mut self, claim: Claim) {
        let (start, end) = (claim.range.start(), claim.range.end());
        let key = ClaimKey { start, end, number: self.next };
        self.next += 1;
        self.classes.entry(key.class()).or_default().insert(key, claim);
    }

    pub(super) fn get(&self, key: ClaimKey) -> Option<&Claim> {
        self.classes.get(&key.class())?.get(&key)
    }

    pub(super) fn remove(&mut self, key: ClaimKey) {
        if let Some(class) = self.classes.get_mut(&key.class()) {
            class.remove(&key);
            if class.is_empty() {
                self.classes.remove(&key.class());
            }
        }
    }

    /// The claims that `range` has a part of.
    pub(super) fn touching(
        &self,
        range: ByteRange,
    ) -> impl Iterator<Item = (ClaimKey, &Claim)> + '_ {
        self.classes.iter().flat_map(move |(class, claims)| {
            let longest = 2_u64.saturating_pow(class + 1);
            let start = range.start().value().saturating_sub(longest);
            let first = key_at(Offset::new(start).unwrap_or(Offset::ZERO));
            let near = claims.range(first..key_at(range.end()));
            let touched = near.filter(move |(_, claim)| claim.range.intersection(range).is_some());
            touched.map(|(key, claim)| (*key, claim))
        })
    }

    /// `bytes` from `offset` to `end` leave: claims that end there are over. None ends before `offset`.
    pub(super) fn handle_read(&mut self, offset: Offset, bytes: &[u8], end: Offset) {
        let mut over = Vec::new();
        for claims in self.classes.values_mut() {
            for (key, claim) in claims.range_mut(..key_at(end)) {
                claim.handle_read(offset, bytes, end);
                if claim.range.end() <= end {
                    over.push(*key);
                }
            }
        }
        over.into_iter().for_each(|key| self.remove(key));
    }
}

/// Before every claim that begins there.
fn key_at(start: Offset) -> ClaimKey {
    ClaimKey { start, end: Offset::ZERO, number: 0 }
}
