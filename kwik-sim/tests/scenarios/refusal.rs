//! A secondary refuses everything: its copy is another version.

use std::time::Duration;

use kwik_sim::{Action, DiskState};

use crate::common::{Download, edge, edges, for_seeds, ideal};

const SIZE: u64 = 32 << 20;

#[test]
fn a_secondary_that_refuses_everything_costs_nothing() {
    for_seeds(|seed, victim| {
        let mut download = Download::new(SIZE, edges(3));
        download.at.push((Duration::ZERO, Action::Disk(edge(victim), DiskState::Stale)));
        let outcome = download.finish(seed, Duration::from_secs(20));
        outcome.assert_complete(ideal(SIZE, 80));
        assert_eq!(outcome.metrics.paths[victim + 1].bytes, 0);
        assert!(outcome.lost_by(victim) > 0, "it refused nothing");
        assert!(outcome.excludes(victim, "Stale"), "it is asked again and again");
        outcome.assert_graceful();
        outcome.assert_even_end(80);
    });
}
