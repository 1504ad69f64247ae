//! A secondary answers Ping, and its disk does not answer it.

use std::time::Duration;

use kwik_sim::{Action, DiskState};

use crate::common::{Download, edge, edges, for_seeds, ideal};

const SIZE: u64 = 32 << 20;

#[test]
fn a_hung_disk_is_not_waited_for() {
    for_seeds(|seed, victim| {
        let mut download = Download::new(SIZE, edges(3));
        let read = download.percent(50);
        download.when_read.push((read, Action::Disk(edge(victim), DiskState::Hung)));
        let least = ideal(read, 120) + ideal(SIZE - read, 80);
        let outcome = download.finish(seed, Duration::from_secs(20));
        outcome.assert_complete(least);
        assert_eq!(outcome.metrics.paths[1 + victim].state, "live", "the path itself works");
        assert!(outcome.lost_by(victim) > 0, "it owed nothing");
        outcome.assert_graceful();
        outcome.assert_even_end(80);
    });
}
