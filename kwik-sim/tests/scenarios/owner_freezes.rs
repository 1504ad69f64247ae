//! A secondary that owes the bytes the reader waits for stops without a word. Each of the three is frozen in turn, so one
//! of them is the owner of the head.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, edge, edges, for_seeds, ideal};

const SIZE: u64 = 32 << 20;

#[test]
fn somebody_else_sends_what_a_frozen_secondary_owes() {
    for_seeds(|seed, victim| {
        let mut download = Download::new(SIZE, edges(3));
        let read = download.percent(50);
        download.when_read.push((read, Action::Freeze(edge(victim))));
        let least = ideal(read, 120) + ideal(SIZE - read, 80);
        let outcome = download.finish(seed, Duration::from_secs(20));
        outcome.assert_complete(least);
        assert!(outcome.lost_by(victim) > 0, "it owed nothing");
        outcome.assert_graceful();
        outcome.assert_even_end(80);
    });
}

#[test]
fn a_secondary_that_thaws_is_used_again() {
    for_seeds(|seed, victim| {
        let mut download = Download::new(64 << 20, edges(3));
        let at = Duration::from_millis;
        download.at.push((at(1_000), Action::Freeze(edge(victim))));
        download.at.push((at(2_000), Action::Thaw(edge(victim))));
        let outcome = download.finish(seed, Duration::from_secs(20));
        // A second of 40 Mbit/s less.
        outcome.assert_complete(ideal((64 << 20) + 5_000_000, 120));
        assert_eq!(outcome.metrics.paths[victim + 1].state, "live");
        assert!(outcome.metrics.paths[victim + 1].bytes > 10 << 20, "it was hardly used");
        outcome.assert_graceful();
        outcome.assert_even_end(120);
    });
}
