//! Every secondary crashes: the primary's own copy is what is left.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, SIZE, edge, edges};

#[test]
fn the_primary_supplies_what_nobody_else_can() {
    let mut download = Download::new(SIZE, edges(3));
    for index in 0..3 {
        download.when_read.push((download.percent(30), Action::Crash(edge(index))));
    }
    // 11 MiB over the primary's 50 Mbit/s.
    let outcome = download.finish(1, Duration::from_millis(5_000));
    assert!(outcome.metrics.longest_stall <= Duration::from_millis(1_000));
}
