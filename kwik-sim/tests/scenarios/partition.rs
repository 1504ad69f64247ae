//! A secondary is cut off, and comes back.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, SIZE, edge, edges};

#[test]
fn a_secondary_that_was_cut_off_comes_back() {
    let mut download = Download::new(4 * SIZE, edges(3));
    let at = Duration::from_millis;
    download.at.push((at(1_000), Action::Partition(edge(2))));
    download.at.push((at(3_000), Action::Heal(edge(2))));
    let outcome = download.finish(1, Duration::from_millis(8_000));
    assert!(outcome.metrics.longest_stall <= Duration::from_millis(500));
    assert_eq!(outcome.metrics.paths[3].state, "live");
}
