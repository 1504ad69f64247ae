//! One of three secondaries crashes.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, SIZE, edge, edges};

fn crash_at(percent: u64) {
    let mut download = Download::new(SIZE, edges(3));
    download.when_read.push((download.percent(percent), Action::Crash(edge(1))));
    let outcome = download.finish(percent, Duration::from_millis(3_000));
    assert!(outcome.metrics.longest_stall <= Duration::from_millis(500));
}

#[test]
fn a_crash_at_10_percent() {
    crash_at(10);
}

#[test]
fn a_crash_at_50_percent() {
    crash_at(50);
}

#[test]
fn a_crash_at_99_percent() {
    crash_at(99);
}
