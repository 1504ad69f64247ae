//! A secondary answers Ping, and its disk does not answer it.

use std::time::Duration;

use kwik_sim::{Action, DiskState};

use crate::common::{Download, SIZE, edge, edges};

#[test]
fn a_hung_disk_is_not_waited_for() {
    let mut download = Download::new(SIZE, edges(3));
    let half = download.percent(50);
    download.when_read.push((half, Action::Disk(edge(1), DiskState::Hung)));
    let outcome = download.finish(1, Duration::from_millis(4_000));
    assert_eq!(outcome.metrics.paths[2].state, "live", "the path itself works");
    assert!(outcome.metrics.longest_stall <= Duration::from_millis(1_000));
}
