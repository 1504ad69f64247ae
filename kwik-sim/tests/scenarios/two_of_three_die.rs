//! Two of three secondaries crash, one after the other.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, SIZE, edge, edges};

#[test]
fn two_of_three_die() {
    let mut download = Download::new(SIZE, edges(3));
    for (percent, index) in [(20, 0), (40, 2)] {
        download.when_read.push((download.percent(percent), Action::Crash(edge(index))));
    }
    let outcome = download.finish(1, Duration::from_millis(5_000));
    assert!(outcome.metrics.longest_stall <= Duration::from_millis(500));
}
