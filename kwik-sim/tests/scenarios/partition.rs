//! A secondary is cut off, and comes back.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, assert_graceful, edge, edges, ideal, percent_of, within};

const SIZE: u64 = 64 << 20;

#[test]
fn a_secondary_that_was_cut_off_comes_back() {
    let mut download = Download::new(SIZE, edges(3));
    let at = Duration::from_millis;
    download.at.push((at(1_000), Action::Partition(edge(2))));
    download.at.push((at(2_000), Action::Heal(edge(2))));
    let outcome = download.finish(1, Duration::from_secs(20));
    // A second of 40 Mbit/s less, and at most as long again until QUIC tries again.
    let least = ideal(SIZE + 10_000_000, 120);
    within("completion", outcome.elapsed, percent_of(least, 115));
    assert_eq!(outcome.metrics.paths[3].state, "live");
    assert!(outcome.metrics.paths[3].bytes > 8 << 20, "it was hardly used again");
    assert_graceful(&outcome, SIZE);
}
