//! One path is ten times slower than the others.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, edge, edges, for_seeds, ideal, link};

/// One packet that the slow path loses at the end takes 60 ms: more than the last 1 % of 32 MiB may.
const SIZE: u64 = 64 << 20;

#[test]
fn a_slow_path_never_holds_the_head() {
    for_seeds(|seed, slow| {
        let mut links = edges(3);
        links[slow] = link(4, 20);
        let outcome = Download::new(SIZE, links).finish(seed, Duration::from_secs(20));
        // Who is late is on trial, with one small range at a time: the two others are sure.
        outcome.assert_complete(ideal(SIZE, 80));
        outcome.assert_graceful();
        outcome.assert_even_end(80);
    });
}

#[test]
fn a_path_that_slows_down_loses_its_work() {
    for_seeds(|seed, victim| {
        let mut download = Download::new(SIZE, edges(3));
        let read = download.percent(40);
        download.when_read.push((read, Action::Link(edge(victim), link(4, 20))));
        let least = ideal(read, 120) + ideal(SIZE - read, 84);
        let outcome = download.finish(seed, Duration::from_secs(20));
        outcome.assert_complete(least);
        outcome.assert_graceful();
        outcome.assert_even_end(84);
    });
}
