//! A secondary refuses everything: its copy is another version.

use std::time::Duration;

use kwik_sim::{Action, DiskState};

use crate::common::{Download, SIZE, edge, edges};

#[test]
fn a_secondary_that_refuses_everything_costs_nothing() {
    let mut download = Download::new(SIZE, edges(3));
    download.at.push((Duration::ZERO, Action::Disk(edge(1), DiskState::Stale)));
    let outcome = download.finish(1, Duration::from_millis(3_000));
    assert_eq!(outcome.metrics.paths[2].bytes, 0);
    assert!(outcome.metrics.longest_stall <= Duration::from_millis(500));
}
