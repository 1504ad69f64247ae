//! A secondary is cut off, and comes back.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, edge, edges, for_seeds, ideal};

const SIZE: u64 = 64 << 20;

#[test]
fn a_secondary_that_was_cut_off_comes_back() {
    for_seeds(|seed, victim| {
        let mut download = Download::new(SIZE, edges(3));
        let at = Duration::from_millis;
        download.at.push((at(1_000), Action::Partition(edge(victim))));
        download.at.push((at(2_000), Action::Heal(edge(victim))));
        let outcome = download.finish(seed, Duration::from_secs(20));
        // A second of 40 Mbit/s less, and at most as long again until QUIC tries again.
        outcome.assert_complete(ideal(SIZE + 10_000_000, 120));
        assert!(outcome.lost_by(victim) > 0, "it owed nothing");
        assert_eq!(outcome.metrics.paths[victim + 1].state, "live");
        assert!(outcome.metrics.paths[victim + 1].bytes > 8 << 20, "it was hardly used again");
        outcome.assert_graceful();
        outcome.assert_even_end(120);
    });
}
