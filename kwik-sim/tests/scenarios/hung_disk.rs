//! A secondary answers Ping, and its disk does not answer it.

use std::time::Duration;

use kwik_sim::{Action, DiskState};

use crate::common::{Download, assert_graceful, edge, edges, ideal, percent_of, within};

const SIZE: u64 = 32 << 20;

#[test]
fn a_hung_disk_is_not_waited_for() {
    for victim in 0..3 {
        let mut download = Download::new(SIZE, edges(3));
        let read = download.percent(50);
        download.when_read.push((read, Action::Disk(edge(victim), DiskState::Hung)));
        let least = ideal(read, 120) + ideal(SIZE - read, 80);
        let outcome = download.finish(1, Duration::from_secs(20));
        within("completion", outcome.elapsed, percent_of(least, 115));
        assert_eq!(outcome.metrics.paths[1 + victim].state, "live", "the path itself works");
        assert_graceful(&outcome, SIZE);
    }
}
