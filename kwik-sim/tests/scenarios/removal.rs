//! The primary takes a secondary out while it sends.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, assert_graceful, edge, edges, ideal, percent_of, within};

const SIZE: u64 = 32 << 20;

#[test]
fn a_secondary_that_is_taken_out_mid_range_is_not_missed() {
    for victim in 0..3 {
        let mut download = Download::new(SIZE, edges(3));
        let read = download.percent(50);
        download.when_read.push((read, Action::Revoke(edge(victim))));
        let least = ideal(read, 120) + ideal(SIZE - read, 80);
        let outcome = download.finish(1, Duration::from_secs(20));
        within("completion", outcome.elapsed, percent_of(least, 115));
        assert!(outcome.notes().any(|text| text.contains("removed: true")));
        assert_graceful(&outcome, SIZE);
    }
}
