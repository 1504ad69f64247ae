//! The owner of the very last range dies: each of the three in turn, when hardly anything is missing.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, assert_graceful, edge, edges, ideal, within};

const SIZE: u64 = 32 << 20;

#[test]
fn the_last_range_is_not_waited_for() {
    for victim in 0..3 {
        let mut download = Download::new(SIZE, edges(3));
        download.when_read.push((SIZE - (256 << 10), Action::Crash(edge(victim))));
        let outcome = download.finish(1, Duration::from_secs(20));
        // What nothing costs, and the time to notice: the patience with a head that does not move.
        let bound = ideal(SIZE, 120) + Duration::from_millis(300);
        within("completion", outcome.elapsed, bound);
        assert_graceful(&outcome, SIZE);
    }
}
