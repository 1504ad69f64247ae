//! Every secondary crashes: the primary's own copy is what is left.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, edge, edges, for_seeds, ideal};

const SIZE: u64 = 32 << 20;

#[test]
fn the_primary_supplies_what_nobody_else_can() {
    for_seeds(|seed, _| {
        let mut download = Download::new(SIZE, edges(3));
        let read = download.percent(30);
        for index in 0..3 {
            download.when_read.push((read, Action::Crash(edge(index))));
        }
        // 120 Mbit/s of the edges, then the primary's 50.
        let least = ideal(read, 120) + ideal(SIZE - read, 50);
        let outcome = download.finish(seed, Duration::from_secs(20));
        outcome.assert_complete(least);
        outcome.assert_graceful();
        outcome.assert_even_end(50);
        assert!((0..3).all(|index| outcome.lost_by(index) > 0), "each of them owed something");
        assert!(outcome.metrics.paths[0].bytes > SIZE / 2, "the primary sent the rest");
    });
}
