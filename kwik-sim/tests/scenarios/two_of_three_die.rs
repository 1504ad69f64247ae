//! Two of three secondaries crash, one after the other.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, assert_graceful, edge, edges, ideal, percent_of, within};

const SIZE: u64 = 32 << 20;

#[test]
fn two_of_three_die() {
    let mut download = Download::new(SIZE, edges(3));
    let (first, second) = (download.percent(20), download.percent(40));
    download.when_read.push((first, Action::Crash(edge(0))));
    download.when_read.push((second, Action::Crash(edge(2))));
    // 120, then 80, then 40 Mbit/s.
    let least = ideal(first, 120) + ideal(second - first, 80) + ideal(SIZE - second, 40);
    let outcome = download.finish(1, Duration::from_secs(20));
    within("completion", outcome.elapsed, percent_of(least, 115));
    assert_graceful(&outcome, SIZE);
}
