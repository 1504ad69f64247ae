//! A secondary that owes the bytes the reader waits for stops without a word.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, SIZE, edge, edges};

#[test]
fn somebody_else_sends_what_a_frozen_secondary_owes() {
    let mut download = Download::new(SIZE, edges(3));
    download.when_read.push((download.percent(50), Action::Freeze(edge(0))));
    let outcome = download.finish(1, Duration::from_millis(3_000));
    assert!(outcome.metrics.longest_stall <= Duration::from_millis(500));
}

#[test]
fn a_secondary_that_thaws_is_used_again() {
    let mut download = Download::new(4 * SIZE, edges(3));
    let at = Duration::from_millis;
    download.at.push((at(1_000), Action::Freeze(edge(0))));
    download.at.push((at(2_000), Action::Thaw(edge(0))));
    let outcome = download.finish(1, Duration::from_millis(7_000));
    assert_eq!(outcome.metrics.paths[1].state, "live");
    assert!(outcome.metrics.paths[1].bytes > SIZE / 2);
}
