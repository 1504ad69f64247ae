//! One of three secondaries crashes: each of the three, early, in the middle and at the end.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, edge, edges, for_seeds, ideal};

/// Long enough for the start, a fixed cost, to fit into the 15 %.
const SIZE: u64 = 32 << 20;

/// 40 Mbit/s each: 120 before, 80 after. The bound is 1.15 times what that capacity allows.
fn crash_at(percent: u64) {
    for_seeds(|seed, victim| {
        let mut download = Download::new(SIZE, edges(3));
        let read = download.percent(percent);
        download.when_read.push((read, Action::Crash(edge(victim))));
        let least = ideal(read, 120) + ideal(SIZE - read, 80);
        let outcome = download.finish(seed, Duration::from_secs(20));
        outcome.assert_complete(least);
        outcome.assert_graceful();
        if percent < 99 {
            assert!(outcome.lost_by(victim) > 0, "it owed nothing");
            outcome.assert_even_end(80);
        }
    });
}

#[test]
fn a_crash_at_10_percent() {
    crash_at(10);
}

#[test]
fn a_crash_at_50_percent() {
    crash_at(50);
}

#[test]
fn a_crash_at_99_percent() {
    crash_at(99);
}
