#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use kwik_proto::{ByteRange, Offset};
use proptest::prelude::*;

use super::{RangeMap, RangeSet};

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap()
}

fn bytes(range: ByteRange) -> std::ops::Range<u64> {
    range.start().value()..range.end().value()
}

fn set(ranges: &[(u64, u64)]) -> RangeSet {
    ranges.iter().map(|&(start, end)| range(start, end)).collect()
}

#[test]
fn touching_ranges_become_one() {
    assert_eq!(set(&[(0, 5), (10, 15), (5, 10)]).iter().collect::<Vec<_>>(), [range(0, 15)]);
}

#[test]
fn insert_counts_new_bytes_only() {
    let mut held = set(&[(0, 5), (10, 15)]);
    assert_eq!(held.insert(range(3, 12)), 5);
    assert_eq!(held.insert(range(3, 12)), 0);
    assert_eq!(held.insert(range(7, 7)), 0);
    assert_eq!(held.total_len(), 15);
}

#[test]
fn remove_cuts_a_range_in_two() {
    let mut held = set(&[(0, 10)]);
    assert_eq!(held.remove(range(3, 6)), 3);
    assert_eq!(held.iter().collect::<Vec<_>>(), [range(0, 3), range(6, 10)]);
    assert_eq!(held.remove(range(5, 5)), 0);
}

#[test]
fn gaps_within_a_range_are_found() {
    let held = set(&[(2, 4), (6, 8)]);
    let gaps: Vec<_> = held.missing_in(range(3, 10)).collect();
    assert_eq!(gaps, [range(4, 6), range(8, 10)]);
    assert_eq!(held.missing_in(range(6, 8)).count(), 0);
    assert_eq!(held.missing_in(range(5, 5)).count(), 0);
    assert_eq!(RangeSet::new().missing_in(range(1, 3)).collect::<Vec<_>>(), [range(1, 3)]);
}

#[test]
fn empty_range_is_covered_and_overlaps_nothing() {
    let held = set(&[(2, 4)]);
    assert!(held.covers(range(9, 9)));
    assert!(!held.overlaps(range(3, 3)));
}

proptest! {
    #[test]
    fn set_does_what_a_set_of_bytes_does(
        ops in prop::collection::vec((any::<bool>(), 0..64_u64, 0..16_u64), 1..40),
        (from, len) in (0..64_u64, 0..32_u64),
    ) {
        let (mut set, mut model) = (RangeSet::new(), BTreeSet::new());
        for (insert, start, len) in ops {
            let part = range(start, start + len);
            let before = model.len();
            if insert {
                model.extend(bytes(part));
                prop_assert_eq!(set.insert(part), (model.len() - before) as u64);
            } else {
                model.retain(|byte| !bytes(part).contains(byte));
                prop_assert_eq!(set.remove(part), (before - model.len()) as u64);
            }
            prop_assert_eq!(set.iter().flat_map(bytes).collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.total_len(), model.len() as u64);
            let ranges: Vec<_> = set.iter().collect();
            prop_assert!(ranges.windows(2).all(|two| two[0].end() < two[1].start()));
        }
        let part = range(from, from + len);
        let missing: Vec<u64> = set.missing_in(part).flat_map(bytes).collect();
        prop_assert_eq!(missing, bytes(part).filter(|byte| !model.contains(byte)).collect::<Vec<_>>());
        let held: Vec<u64> = set.iter_in(part).flat_map(bytes).collect();
        prop_assert_eq!(&held, &bytes(part).filter(|byte| model.contains(byte)).collect::<Vec<_>>());
        prop_assert_eq!(set.overlaps(part), !held.is_empty());
        prop_assert_eq!(set.covers(part), held.len() as u64 == len);
        prop_assert_eq!(set.contains(part.start()), model.contains(&from));
        let common = set.intersection(&RangeSet::from_iter([part]));
        prop_assert_eq!(common.iter().flat_map(bytes).collect::<Vec<_>>(), held);
    }

    #[test]
    fn map_does_what_a_map_of_bytes_does(
        ops in prop::collection::vec((prop::option::of(0..3_u8), 0..64_u64, 0..16_u64), 1..40),
        (from, len) in (0..64_u64, 0..32_u64),
    ) {
        let (mut map, mut model) = (RangeMap::new(), BTreeMap::new());
        for (value, start, len) in ops {
            let part = range(start, start + len);
            match value {
                Some(value) => {
                    model.extend(bytes(part).map(|byte| (byte, value)));
                    map.insert(part, value);
                }
                None => {
                    model.retain(|byte, _| !bytes(part).contains(byte));
                    map.remove(part);
                }
            }
            let flat = map.iter().flat_map(|(range, value)| bytes(range).map(move |byte| (byte, value)));
            prop_assert_eq!(flat.collect::<Vec<_>>(), model.clone().into_iter().collect::<Vec<_>>());
            let ranges: Vec<_> = map.iter().collect();
            prop_assert!(ranges.windows(2).all(|two| two[0].0.end() < two[1].0.start() || two[0].1 != two[1].1));
        }
        let part = range(from, from + len);
        let held = map.iter_in(part).flat_map(|(range, value)| bytes(range).map(move |byte| (byte, value)));
        let expected: Vec<_> = bytes(part).filter_map(|byte| Some((byte, *model.get(&byte)?))).collect();
        prop_assert_eq!(held.collect::<Vec<_>>(), expected);
        prop_assert_eq!(map.at(part.start()).map(|(_, value)| value), model.get(&from).copied());
    }
}
