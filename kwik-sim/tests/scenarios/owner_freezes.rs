//! A secondary that owes the bytes the reader waits for stops without a word. Each of the three is frozen in turn, so one
//! of them is the owner of the head.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, assert_graceful, edge, edges, ideal, percent_of, within};

const SIZE: u64 = 32 << 20;

#[test]
fn somebody_else_sends_what_a_frozen_secondary_owes() {
    for victim in 0..3 {
        let mut download = Download::new(SIZE, edges(3));
        let read = download.percent(50);
        download.when_read.push((read, Action::Freeze(edge(victim))));
        let least = ideal(read, 120) + ideal(SIZE - read, 80);
        let outcome = download.finish(1, Duration::from_secs(20));
        within("completion", outcome.elapsed, percent_of(least, 115));
        assert_graceful(&outcome, SIZE);
    }
}

#[test]
fn a_secondary_that_thaws_is_used_again() {
    let mut download = Download::new(64 << 20, edges(3));
    let at = Duration::from_millis;
    download.at.push((at(1_000), Action::Freeze(edge(0))));
    download.at.push((at(2_000), Action::Thaw(edge(0))));
    let outcome = download.finish(1, Duration::from_secs(20));
    // A second of 40 Mbit/s less.
    let least = ideal((64 << 20) + 5_000_000, 120);
    within("completion", outcome.elapsed, percent_of(least, 115));
    assert_eq!(outcome.metrics.paths[1].state, "live");
    assert!(outcome.metrics.paths[1].bytes > 10 << 20, "it was hardly used");
    assert_graceful(&outcome, 64 << 20);
}
