//! A secondary becomes unavailable: the primary is told which bytes are missing, and why.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, edge, edges, for_seeds, ideal};

const SIZE: u64 = 32 << 20;

#[test]
fn r08_2_the_primary_is_told_what_an_unavailable_secondary_owed() {
    for gone in [Action::Crash, Action::Freeze, Action::Partition] {
        for_seeds(|seed, victim| {
            println!("{:?}", gone(edge(victim)));
            let mut download = Download::new(SIZE, edges(3));
            let read = download.percent(30);
            download.when_read.push((read, gone(edge(victim))));
            let outcome = download.finish(seed, Duration::from_secs(20));
            outcome.assert_complete(ideal(read, 120) + ideal(SIZE - read, 80));
            outcome.assert_graceful();
            outcome.assert_even_end(80);
            assert!(outcome.lost_by(victim) > 0, "the primary was not told");
            // Its streams are closed at the client.
            assert_eq!(outcome.metrics.paths[victim + 1].contributions, 0);
        });
    }
}
