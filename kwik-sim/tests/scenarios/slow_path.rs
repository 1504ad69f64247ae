//! One path is ten times slower than the others.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, assert_graceful, edge, edges, ideal, link, percent_of, within};

const SIZE: u64 = 32 << 20;

#[test]
fn a_slow_path_never_holds_the_head() {
    let download = Download::new(SIZE, vec![link(40, 20), link(40, 20), link(4, 20)]);
    let outcome = download.finish(1, Duration::from_secs(20));
    within("completion", outcome.elapsed, percent_of(ideal(SIZE, 84), 115));
    assert_graceful(&outcome, SIZE);
}

#[test]
fn a_path_that_slows_down_loses_its_work() {
    let mut download = Download::new(SIZE, edges(3));
    let read = download.percent(40);
    download.when_read.push((read, Action::Link(edge(1), link(4, 20))));
    let least = ideal(read, 120) + ideal(SIZE - read, 84);
    let outcome = download.finish(1, Duration::from_secs(20));
    within("completion", outcome.elapsed, percent_of(least, 115));
    assert_graceful(&outcome, SIZE);
}
