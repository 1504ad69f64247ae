//! Two of three secondaries crash, one after the other.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, edge, edges, for_seeds, ideal};

const SIZE: u64 = 32 << 20;

#[test]
fn two_of_three_die() {
    for_seeds(|seed, survivor| {
        let mut download = Download::new(SIZE, edges(3));
        let (first, second) = (download.percent(20), download.percent(40));
        let victims = [(survivor + 1) % 3, (survivor + 2) % 3];
        download.when_read.push((first, Action::Crash(edge(victims[0]))));
        download.when_read.push((second, Action::Crash(edge(victims[1]))));
        // 120, then 80, then 40 Mbit/s.
        let least = ideal(first, 120) + ideal(second - first, 80) + ideal(SIZE - second, 40);
        let outcome = download.finish(seed, Duration::from_secs(20));
        outcome.assert_complete(least);
        assert!(victims.iter().all(|&victim| outcome.lost_by(victim) > 0), "one owed nothing");
        outcome.assert_graceful();
        outcome.assert_even_end(40);
    });
}
