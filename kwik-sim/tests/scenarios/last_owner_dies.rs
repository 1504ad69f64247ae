//! The owner of the very last range dies while it owes it, when hardly anything else is missing.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, Outcome, edge, edges, for_seeds, ideal, within};

const SIZE: u64 = 64 << 20;
/// What is missing at most when the last range is ordered: each edge has about 280 KB outstanding.
const MISSING: u64 = 3 * (280 << 10);

/// When somebody was first ordered the last byte.
fn ordered_last(outcome: &Outcome) -> Duration {
    let last = |text: &str| {
        let range = text.strip_prefix("ordered ").and_then(|range| range.split_once(".."));
        range.is_some_and(|(_, end)| end == SIZE.to_string())
    };
    let mut notes = outcome.timed_notes();
    notes.find(|(_, text)| last(text)).map(|(at, _)| at).unwrap()
}

#[test]
fn the_last_range_is_not_waited_for() {
    for_seeds(|seed, _| {
        let bound = Duration::from_secs(20);
        // Until something is done, equal seeds go equal ways.
        let quiet = Download::new(SIZE, edges(3)).finish(seed, bound);
        let (owner, at) = (quiet.owner_of(SIZE - 1), ordered_last(&quiet));
        let mut download = Download::new(SIZE, edges(3));
        download.at.push((at + Duration::from_millis(1), Action::Crash(edge(owner))));
        let outcome = download.finish(seed, bound);
        println!("died at {at:?}, cost {:?}", outcome.elapsed.saturating_sub(quiet.elapsed));
        outcome.assert_complete(ideal(SIZE - MISSING, 120) + ideal(MISSING, 80));
        assert_eq!(outcome.owner_of(SIZE - 1), owner);
        // Often the end game had the range copied by then.
        assert!(!outcome.has_sent(owner, SIZE - 1), "it had sent the last range");
        // Patience with a queue in the way (60 ms), the order to another (20 ms) and its first frame (30 ms) and a half: a
        // path is Suspect after 250 ms only.
        within("longest pause", outcome.pause, Duration::from_millis(165));
        outcome.assert_graceful();
    });
}
