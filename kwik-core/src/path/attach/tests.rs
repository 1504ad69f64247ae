#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

const RTT: Duration = Duration::from_millis(20);

#[test]
fn dials_start_one_round_trip_apart() {
    let mut rate = AttachRate::new(8);
    let starts = [0; 4].map(|_| rate.reserve(RTT, at(100)));
    assert_eq!(starts, [100, 120, 140, 160].map(|ms| Some(at(ms))));
    assert_eq!(rate.reserve(RTT, at(500)), Some(at(500)), "no spacing is owed after a pause");
}

#[test]
fn a_flood_is_refused_and_comes_back_slowly() {
    let mut rate = AttachRate::new(4);
    assert_eq!((0..100).filter_map(|_| rate.reserve(RTT, at(0))).count(), 4);
    assert_eq!(rate.reserve(RTT, at(249)), None);
    assert!(rate.reserve(RTT, at(250)).is_some());
    assert_eq!(rate.reserve(RTT, at(250)), None);
    assert_eq!((0..100).filter_map(|_| rate.reserve(RTT, at(60_000))).count(), 4);
}

#[test]
fn spacing_has_a_least_and_a_most() {
    let mut rate = AttachRate::new(8);
    rate.reserve(Duration::ZERO, at(0));
    assert_eq!(rate.reserve(Duration::MAX, at(0)), Some(at(1)));
    assert_eq!(rate.reserve(RTT, at(0)), Some(at(1_001)));
}
