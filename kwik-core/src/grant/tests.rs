#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;

const EDGE: PathId = PathId::new(1);
const OTHER: PathId = PathId::new(2);

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(at(start), at(end)).unwrap()
}

fn stream(wire: u64) -> StreamId {
    StreamId::from_wire(wire).unwrap()
}

fn granted(ranges: &[(u64, Option<u64>)]) -> Grants {
    let mut grants = Grants::default();
    for &(start, end) in ranges {
        assert_eq!(grants.record(EDGE, stream(0), at(start), end.map(at)), Recorded::Kept);
    }
    grants
}

#[test]
fn a_range_is_allowed_if_all_of_it_was_granted_to_that_path_and_stream() {
    let grants = granted(&[(100, Some(200)), (200, Some(300)), (400, Some(500))]);
    let allowed = |start, end| grants.allows(EDGE, stream(0), range(start, end));
    assert!(allowed(100, 300), "grants that touch are one");
    assert!(allowed(150, 160) && allowed(499, 500) && allowed(350, 350));
    assert!(!allowed(99, 101) && !allowed(250, 450) && !allowed(300, 301) && !allowed(0, 1));
    assert!(!grants.allows(OTHER, stream(0), range(100, 101)));
    assert!(!grants.allows(EDGE, stream(4), range(100, 101)));
}

#[test]
fn a_grant_without_an_end_allows_everything_from_its_start() {
    let grants = granted(&[(0, Some(10)), (1_000, None), (500, None), (700, None)]);
    let allowed = |start, end| grants.allows(EDGE, stream(0), range(start, end));
    assert!(allowed(500, Offset::MAX.value()) && allowed(0, 10));
    assert!(!allowed(499, 501) && !allowed(10, 11));
}

#[test]
fn bounded_and_open_grants_join() {
    let grants = granted(&[(100, Some(500)), (500, None)]);
    assert!(grants.allows(EDGE, stream(0), range(100, 9_999)));
    assert!(!grants.allows(EDGE, stream(0), range(99, 9_999)));
}

#[test]
fn only_bounded_grants_move_the_known_end() {
    let mut grants = granted(&[(0, Some(100)), (5_000, None)]);
    assert_eq!(grants.known_end(stream(0)), at(100));
    grants.record(OTHER, stream(0), at(100), Some(at(300)));
    grants.record(EDGE, stream(0), at(0), Some(at(50)));
    grants.record(OTHER, stream(0), at(0), None);
    assert_eq!(grants.known_end(stream(0)), at(300));
    assert_eq!(grants.known_end(stream(4)), Offset::ZERO);
}

#[test]
fn an_end_goes_to_all_and_a_window_to_those_whose_grants_reach_above_it() {
    let (third, fourth) = (PathId::new(3), PathId::new(4));
    let mut grants = granted(&[(0, Some(1000))]);
    grants.grant(OTHER, stream(0), at(0), None);
    grants.grant(third, stream(0), at(0), Some(at(150)));
    grants.grant(fourth, stream(4), at(0), None);
    assert_eq!(grants.paths_for(stream(0)), [EDGE, OTHER, third]);
    assert_eq!(grants.handle_window(stream(0), at(100)), [OTHER, third], "no delegation's path");
    assert_eq!(grants.handle_window(stream(0), at(100)), [], "no news");
    assert_eq!(grants.handle_window(stream(0), at(200)), [OTHER, third]);
    assert_eq!(grants.handle_window(stream(0), at(300)), [OTHER], "the third knows all it can use");
    grants.grant(third, stream(0), at(500), Some(at(600)));
    assert!(grants.tell_window(third, stream(0), at(300)), "a new grant reaches above it");
    assert!(!grants.tell_window(third, stream(0), at(300)));
}

#[test]
fn a_path_dialled_again_knows_no_window() {
    let mut grants = Grants::default();
    for id in [0, 4] {
        grants.grant(EDGE, stream(id), at(0), None);
        assert!(grants.tell_window(EDGE, stream(id), at(100)));
    }
    grants.forget_windows(EDGE);
    assert_eq!(grants.streams_of(EDGE), [stream(0), stream(4)]);
    assert!(grants.tell_window(EDGE, stream(0), at(100)));
    assert!(grants.tell_window(EDGE, stream(4), at(100)));
}

#[test]
fn a_path_or_a_stream_that_is_over_leaves_nothing() {
    let mut grants = Grants::default();
    for (path, id) in [(EDGE, 0), (EDGE, 4), (OTHER, 0)] {
        grants.grant(path, stream(id), at(0), Some(at(10)));
    }
    grants.forget(stream(4));
    assert_eq!(grants.streams_of(EDGE), [stream(0)]);
    grants.forget_path(EDGE);
    assert_eq!((grants.streams_of(EDGE), grants.paths_for(stream(0))), (vec![], vec![OTHER]));
    assert!(!grants.allows(EDGE, stream(0), range(0, 10)));
    grants.forget(stream(0));
    assert_eq!((grants.streams(), grants.by_path.len()), (0, 0));
}

#[test]
fn nothing_backwards_or_empty_is_a_grant() {
    let last = Offset::MAX.value();
    let grants = granted(&[(100, Some(100)), (100, Some(50)), (last, None)]);
    assert_eq!((grants.streams(), grants.known_end(stream(0))), (0, Offset::ZERO));
    assert!(grants.allowed(EDGE, stream(0)).is_empty());
}

#[test]
fn what_was_read_is_not_kept_and_never_blamed() {
    let mut grants = granted(&[(0, Some(10)), (20, Some(30)), (40, Some(50))]);
    grants.handle_read(stream(0), at(25));
    assert_eq!(grants.ranges(), 2);
    let allowed = |start, end| grants.allows(EDGE, stream(0), range(start, end));
    assert!(allowed(0, 30), "a late duplicate");
    assert!(!allowed(0, 31) && !allowed(30, 40));
    assert_eq!(grants.known_end(stream(0)), at(50));
    assert!(!grants.allows(OTHER, stream(0), range(0, 1)), "who was never granted stays so");
}

#[test]
fn separate_ranges_have_a_bound() {
    let mut grants = Grants::default();
    for n in 0..Grants::MAX_RANGES as u64 {
        grants.record(EDGE, stream(0), at(n * 10), Some(at(n * 10 + 5)));
    }
    let mut record = |start, end| grants.record(EDGE, stream(0), at(start), Some(at(end)));
    assert_eq!(record(1_000_000, 1_000_001), Recorded::Full);
    assert_eq!(record(5, 10), Recorded::Kept, "what joins two needs no room");
    assert_eq!(record(1_000_000, 1_000_001), Recorded::Kept);
    assert_eq!(grants.refused(), 1);
}

/// Grants with ranges of one byte on streams of `each` ranges, until there are as many as may be.
fn full(each: u64) -> Grants {
    let mut grants = Grants::default();
    for n in 0..Grants::MAX_HELD as u64 {
        let (id, place) = (n / each * 4, n % each * 10);
        let kept = grants.record(EDGE, stream(id), at(place), Some(at(place + 1)));
        assert_eq!(kept, Recorded::Kept);
    }
    grants
}

#[test]
fn all_ranges_together_have_a_bound_and_each_stream_its_sixteen() {
    let mut grants = full(1_024);
    let fresh = stream(400_000);
    let mut record =
        |path, place: u64| grants.record(path, fresh, at(place * 10), Some(at(place * 10 + 1)));
    for path in [EDGE, OTHER] {
        let kept = (0..20).filter(|&place| record(path, place) == Recorded::Kept).count();
        assert_eq!(kept, Grants::LEAST_RANGES);
    }
    let beyond = grants.record(EDGE, stream(0), at(1_000_000), Some(at(1_000_001)));
    assert_eq!(beyond, Recorded::Full, "a stream that has more than its sixteen");
    assert_eq!(grants.ranges(), Grants::MAX_HELD + 32);
}

#[test]
fn what_is_over_makes_room_for_others() {
    let full = full(1_024);
    for (what, room) in [("read", 100), ("over", 1_024), ("gone", 65_536)] {
        let mut grants = full.clone();
        match what {
            "read" => grants.handle_read(stream(4), at(1_000)),
            "over" => grants.forget(stream(4)),
            _ => grants.forget_path(EDGE),
        }
        assert_eq!(grants.ranges(), Grants::MAX_HELD - room, "{what}");
        let again = grants.record(EDGE, stream(0), at(1_000_000), Some(at(1_000_001)));
        assert_eq!(again, Recorded::Kept);
    }
}

#[test]
fn who_is_not_told_what_was_read_drops_its_own_lowest_ranges() {
    let mut grants = full(1_024);
    for place in 2_000..3_000 {
        let kept = grants.record_newest(EDGE, stream(8), at(place * 10), Some(at(place * 10 + 1)));
        assert_eq!(kept, Recorded::Kept);
    }
    assert_eq!((grants.ranges(), grants.refused()), (Grants::MAX_HELD, 0));
}

#[test]
fn streams_have_a_bound_and_end() {
    let mut grants = Grants::default();
    let record = |grants: &mut Grants, n| grants.record(EDGE, stream(n), at(0), None);
    for n in 0..Grants::MAX_STREAMS as u64 {
        record(&mut grants, n);
    }
    assert_eq!(record(&mut grants, 99_999), Recorded::Full);
    grants.forget(stream(0));
    assert_eq!(record(&mut grants, 99_999), Recorded::Kept);
    assert!(!grants.allows(EDGE, stream(0), range(0, 1)));
}

proptest! {
    /// Against a plain list of bytes, which imports nothing of the sets.
    #[test]
    fn grants_are_what_a_list_of_bytes_says(
        steps in prop::collection::vec((0_u8..4, 0_u64..64, 1_u64..24), 0..40),
        asked in prop::collection::vec((0_u64..64, 0_u64..64), 1..20),
    ) {
        let (mut grants, mut bytes, mut read) = (Grants::default(), [false; 128], 0);
        for (kind, start, length) in steps {
            match kind {
                0 if length == 23 => {
                    grants.record(EDGE, stream(0), at(start), None);
                    bytes[start as usize..].fill(true);
                }
                3 => {
                    read = read.max(start / 4);
                    grants.handle_read(stream(0), at(read));
                }
                _ => {
                    grants.record(EDGE, stream(0), at(start), Some(at(start + length)));
                    bytes[start as usize..(start + length) as usize].fill(true);
                }
            }
            if grants.streams() == 0 {
                read = 0;
            }
        }
        let allowed = grants.allowed(EDGE, stream(0));
        prop_assert_eq!(grants.ranges(), allowed.ranges().count());
        for (one, other) in asked {
            let (start, end) = (one.min(other), one.max(other));
            let said = grants.allows(EDGE, stream(0), range(start, end));
            prop_assert_eq!(said, allowed.allows(range(start, end)) && grants.streams() > 0);
            if grants.streams() > 0 {
                let wanted = (start.max(read)..end).all(|byte| bytes[byte as usize]);
                prop_assert_eq!(said, wanted, "{}..{} read {}", start, end, read);
            }
        }
    }
}
