//! Which of the ranges that the client holds the next report names, where one report has no room for all.

use std::collections::BTreeSet;

use kwik_proto::frame::HeldRange;
use kwik_proto::{Offset, PathId};

/// Ranges in one StreamProgress, at most.
const MAX_HELD: usize = 32;

/// The nearest to the head are named each time: what is missing between them is what the reader waits for next.
const NEAREST: usize = 8;

/// Whose turn it is. Every range is named within as many reports as it takes to name all, so that the primary, which
/// forgets none, gets to know of all; a report that a newer one replaced on its way out costs one more round.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Where the last turn ended.
    next: Offset,
    /// Ranges to be named until all were since the last change.
    left: usize,
}

impl Turns {
    /// Something changed: all are to be named.
    pub(super) fn start(&mut self, all: &[HeldRange]) {
        self.left = all.len();
    }

    /// Whether all were named since the last change.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The ranges of the next report, in order: the nearest, those of `urgent` paths, and of the others those that follow the
    /// last ones.
    pub(super) fn next(&mut self, all: &[HeldRange], urgent: &BTreeSet<PathId>) -> Vec<HeldRange> {
        if all.len() <= MAX_HELD {
            self.left = 0;
            return all.to_vec();
        }
        let (near, all) = all.split_at(NEAREST);
        self.left = self.left.min(all.len());
        let is_urgent = |held: &&HeldRange| urgent.contains(&held.path);
        let mut named = near.to_vec();
        named.extend(all.iter().filter(is_urgent).take(MAX_HELD - NEAREST));
        let turn = all.partition_point(|held| held.range.start() < self.next);
        let (before, after) = all.split_at(turn);
        let others = after.iter().chain(before).filter(|held| !is_urgent(held));
        for held in others.take(MAX_HELD - named.len()) {
            named.push(*held);
            self.next = held.range.end();
            self.left = self.left.saturating_sub(1);
        }
        named.sort_by_key(|held| held.range.start());
        named
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use kwik_proto::ByteRange;

    use super::*;

    /// A hundred ranges, every tenth of them from path 7.
    fn held() -> Vec<HeldRange> {
        let range = |n: u64| ByteRange::with_length(Offset::new(10 * n).unwrap(), 5).unwrap();
        (1..=100)
            .map(|n| HeldRange {
                range: range(n),
                path: PathId::new(if n % 10 == 0 { 7 } else { 1 }),
            })
            .collect()
    }

    #[test]
    fn every_range_has_its_turn() {
        let (all, mut turns) = (held(), Turns::default());
        turns.start(&all);
        let mut named = BTreeSet::new();
        for _ in 0..4 {
            assert!(!turns.is_over());
            let next = turns.next(&all, &BTreeSet::new());
            assert!(next.len() <= MAX_HELD && next.is_sorted_by_key(|held| held.range.start()));
            assert_eq!(next[..NEAREST], all[..NEAREST]);
            named.extend(next.iter().map(|held| held.range.start()));
        }
        assert!(turns.is_over());
        assert_eq!(named.len(), 100);
    }

    #[test]
    fn a_path_that_stops_goes_first() {
        let (all, mut turns) = (held(), Turns::default());
        for _ in 0..5 {
            let next = turns.next(&all, &BTreeSet::from([PathId::new(7)]));
            assert_eq!(next.len(), MAX_HELD);
            assert_eq!(next.iter().filter(|held| held.path == PathId::new(7)).count(), 10);
        }
    }
}
