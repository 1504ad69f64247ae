use std::time::Duration;

use super::{BUCKETS, DelayHistogram, bucket_of, end_of};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn quantiles_count_bytes_not_frames() {
    let mut delays = DelayHistogram::default();
    (0..1000).for_each(|_| delays.record(millis(90), 1));
    delays.record(Duration::ZERO, 99_000);
    assert_eq!(delays.summary().p99, Duration::ZERO);
    delays.record(millis(90), 1);
    let summary = delays.summary();
    assert_eq!((summary.p50, summary.p99, summary.max), (Duration::ZERO, millis(90), millis(90)));
    assert_eq!(delays.bytes(), 100_001);
}

#[test]
fn a_quantile_is_an_upper_bound_by_an_eighth_at_most() {
    for micros in [64, 65, 71, 72, 100, 127, 128, 1_000, 49_999, 50_000, 1_234_567, 60_000_000] {
        let delay = Duration::from_micros(micros);
        let mut delays = DelayHistogram::default();
        delays.record(delay, 10);
        delays.record(Duration::from_secs(100), 1);
        let found = delays.quantile(500);
        assert!(found > delay && found <= delay * 9 / 8, "{delay:?}: {found:?}");
    }
}

#[test]
fn buckets_follow_each_other() {
    let ends: Vec<Duration> = (0..BUCKETS as usize).map(end_of).collect();
    assert!(ends.is_sorted_by(|a, b| a < b));
    for (bucket, end) in ends.iter().enumerate().take(BUCKETS as usize - 1) {
        assert_eq!(bucket_of(*end), Some(bucket + 1));
        assert_eq!(bucket_of(*end - Duration::from_nanos(1)), Some(bucket));
    }
}

#[test]
fn no_delay_is_too_long_and_no_number_too_large() {
    let mut delays = DelayHistogram::default();
    delays.record(Duration::MAX, u64::MAX);
    delays.record(Duration::MAX, u64::MAX);
    delays.record(Duration::ZERO, u64::MAX);
    delays.add(&delays.clone());
    assert_eq!(delays.summary().max, Duration::MAX);
    assert_eq!(delays.buckets.len(), BUCKETS as usize);
    assert_eq!(DelayHistogram::default().summary().p99, Duration::ZERO);
}

#[test]
fn bytes_that_come_in_order_take_no_memory() {
    let mut delays = DelayHistogram::default();
    delays.record(Duration::from_micros(63), 1 << 40);
    delays.record(Duration::from_millis(9), 0);
    assert_eq!(delays.buckets.capacity(), 0);
}

#[test]
fn sums_are_those_of_the_parts() {
    let (mut one, mut other, mut both) =
        (DelayHistogram::default(), DelayHistogram::default(), DelayHistogram::default());
    for n in 1..200 {
        let part = if n % 3 == 0 { &mut one } else { &mut other };
        part.record(millis(n), n);
        both.record(millis(n), n);
    }
    one.add(&other);
    assert_eq!(one, both);
}
