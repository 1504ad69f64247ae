//! Every secondary crashes: the primary's own copy is what is left.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, edge, edges, ideal, percent_of, within};

const SIZE: u64 = 32 << 20;

#[test]
fn the_primary_supplies_what_nobody_else_can() {
    let mut download = Download::new(SIZE, edges(3));
    let read = download.percent(30);
    for index in 0..3 {
        download.when_read.push((read, Action::Crash(edge(index))));
    }
    // 120 Mbit/s of the edges, then the primary's 50.
    let least = ideal(read, 120) + ideal(SIZE - read, 50);
    let outcome = download.finish(1, Duration::from_secs(20));
    within("completion", outcome.elapsed, percent_of(least, 115));
    within("longest pause", outcome.pause, Duration::from_millis(500));
}
