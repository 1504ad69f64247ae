//! One path is ten times slower than the others.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, SIZE, edge, edges, link};

#[test]
fn a_slow_path_never_holds_the_head() {
    let download = Download::new(SIZE, vec![link(40, 20), link(40, 20), link(4, 20)]);
    let outcome = download.finish(1, Duration::from_millis(3_000));
    assert!(outcome.metrics.longest_stall <= Duration::from_millis(500));
}

#[test]
fn a_path_that_slows_down_loses_its_work() {
    let mut download = Download::new(SIZE, edges(3));
    download.when_read.push((download.percent(40), Action::Link(edge(1), link(4, 20))));
    let outcome = download.finish(1, Duration::from_millis(3_500));
    assert!(outcome.metrics.longest_stall <= Duration::from_millis(1_000));
}
