//! A secondary refuses everything: its copy is another version.

use std::time::Duration;

use kwik_sim::{Action, DiskState};

use crate::common::{Download, assert_graceful, edge, edges, ideal, percent_of, within};

const SIZE: u64 = 32 << 20;

#[test]
fn a_secondary_that_refuses_everything_costs_nothing() {
    let mut download = Download::new(SIZE, edges(3));
    download.at.push((Duration::ZERO, Action::Disk(edge(1), DiskState::Stale)));
    let outcome = download.finish(1, Duration::from_secs(20));
    within("completion", outcome.elapsed, percent_of(ideal(SIZE, 80), 115));
    assert_eq!(outcome.metrics.paths[2].bytes, 0);
    assert_graceful(&outcome, SIZE);
}
