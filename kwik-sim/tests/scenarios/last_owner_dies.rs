//! The owner of the very last range dies while it owes it, when hardly anything else is missing.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, edge, edges, for_seeds, ideal};

const SIZE: u64 = 32 << 20;
/// Missing when it dies: the last range was ordered by then, for each edge has about 280 KB outstanding.
const MISSING: u64 = 640 << 10;

#[test]
fn the_last_range_is_not_waited_for() {
    for_seeds(|seed, _| {
        let bound = Duration::from_secs(20);
        // Until something is done, equal seeds go equal ways.
        let owner = Download::new(SIZE, edges(3)).finish(seed, bound).owner_of(SIZE - 1);
        let mut download = Download::new(SIZE, edges(3));
        let read = SIZE - MISSING;
        download.when_read.push((read, Action::Crash(edge(owner))));
        let outcome = download.finish(seed, bound);
        outcome.assert_complete(ideal(read, 120) + ideal(MISSING, 80));
        assert_eq!(outcome.owner_of(SIZE - 1), owner);
        // Often the end game had the range copied by then.
        assert!(!outcome.has_sent(owner, SIZE - 1), "it had sent the last range");
        outcome.assert_graceful();
    });
}
