//! Whose fault a pause was, and what ended it.
#![allow(clippy::unwrap_used)]

use kwik_proto::Offset;

use super::*;

const P: PathId = PathId::new(1);
const Q: PathId = PathId::new(2);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Instant {
    Instant::from_start(ms(millis))
}

fn offset(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(offset(start), offset(end)).unwrap()
}

fn stream() -> StreamId {
    StreamId::from_wire(0).unwrap()
}

fn wait(at_offset: u64, since: u64, until: u64, by: PathId) -> EndedWait {
    EndedWait { offset: offset(at_offset), since: at(since), until: at(until), by }
}

#[test]
fn a_pause_names_who_caused_and_who_ended_it() {
    let mut stalls = Stalls::default();
    stalls.waiting(stream(), range(100, 200), Some(P), at(0));
    stalls.waiting(stream(), range(100, 150), Some(Q), at(60));
    stalls.ended(stream(), wait(0, 0, 40, P));
    assert_eq!(stalls.kept(), [], "bytes before the wait do not end it");
    stalls.ended(stream(), wait(100, 0, 80, Q));
    let [stall] = stalls.kept() else { panic!() };
    assert_eq!((stall.path, stall.ended_by, stall.duration), (Some(P), Some(Q), ms(80)));
    assert_eq!(stall.range, range(100, 200), "what was missing when it began");
}

#[test]
fn fifty_milliseconds_are_not_noticed() {
    let mut stalls = Stalls::default();
    stalls.waiting(stream(), range(200, 300), None, at(100));
    stalls.ended(stream(), wait(200, 100, 150, Q));
    assert_eq!((stalls.kept().len(), stalls.longest()), (0, ms(50)));
}

#[test]
fn who_owed_the_bytes_longest_is_to_blame() {
    let table = [
        // (from 0 to 20, to 90, to 100)
        (None, Some(P), Some(Q), Some(P)),
        (Some(Q), None, Some(P), None),
        (Some(P), Some(Q), Some(P), Some(Q)),
    ];
    for (first, second, third, culprit) in table {
        let mut stalls = Stalls::default();
        for (owner, since) in [(first, 0), (second, 20), (third, 90)] {
            stalls.waiting(stream(), range(0, 100), owner, at(since));
        }
        stalls.ended(stream(), wait(0, 0, 100, Q));
        assert_eq!(stalls.kept()[0].path, culprit);
    }
}

#[test]
fn a_pause_that_no_bytes_end_is_kept_too() {
    let mut stalls = Stalls::default();
    stalls.waiting(stream(), range(0, 100), Some(P), at(0));
    stalls.abandoned(stream(), at(10_000));
    let [stall] = stalls.kept() else { panic!() };
    assert_eq!((stall.path, stall.ended_by, stall.duration), (Some(P), None, ms(10_000)));
    stalls.abandoned(stream(), at(20_000));
    assert_eq!(stalls.kept().len(), 1);
}

#[test]
fn a_wait_that_nobody_told_is_no_pause() {
    let mut stalls = Stalls::default();
    stalls.ended(stream(), wait(0, 0, 100, P));
    stalls.waiting(stream(), range(500, 600), Some(P), at(100));
    stalls.ended(stream(), wait(0, 0, 200, P));
    assert_eq!((stalls.kept(), stalls.longest()), (&[][..], Duration::ZERO));
}

#[test]
fn the_longest_pauses_are_kept_in_order() {
    let mut stalls = Stalls::default();
    for index in 0..100u64 {
        let start = index * 1000;
        stalls.waiting(stream(), range(index, index + 1), None, at(start));
        stalls.ended(stream(), wait(index, start, start + 60 + index, P));
    }
    let kept = stalls.kept();
    assert_eq!(kept.len(), 64);
    assert!(kept.iter().all(|stall| stall.duration >= ms(96)));
    assert!(kept.is_sorted_by_key(|stall| stall.since));
}

#[test]
fn nobody_owes_what_the_client_sleeps_through() {
    for (asleep, culprit) in [(200, None), (30, Some(P))] {
        let mut stalls = Stalls::default();
        stalls.waiting(stream(), range(100, 200), Some(P), at(0));
        stalls.slept(stream(), ms(asleep), at(40 + asleep));
        stalls.ended(stream(), wait(100, 0, 45 + asleep, P));
        assert_eq!(stalls.kept()[0].path, culprit, "asleep for {asleep} ms");
        assert_eq!(stalls.kept()[0].duration, ms(45 + asleep));
    }
}

#[test]
fn a_pause_says_why_its_bytes_were_reported_missing() {
    let mut stalls = Stalls::default();
    stalls.reported(stream(), range(100, 200), GapReason::Reset);
    stalls.waiting(stream(), range(100, 200), Some(P), at(0));
    stalls.reported(stream(), range(150, 200), GapReason::Corrupt);
    stalls.reported(StreamId::from_wire(4).unwrap(), range(100, 200), GapReason::Stale);
    stalls.reported(stream(), range(50, 101), GapReason::Late);
    stalls.ended(stream(), wait(100, 0, 80, Q));
    stalls.waiting(stream(), range(300, 400), Some(P), at(100));
    stalls.ended(stream(), wait(300, 100, 180, P));
    let reported: Vec<_> = stalls.kept().iter().map(|stall| stall.reported).collect();
    assert_eq!(reported, [Some(GapReason::Late), None]);
}
