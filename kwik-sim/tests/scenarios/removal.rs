//! The primary takes a secondary out while it sends, or while it cannot.

use std::time::Duration;

use kwik_sim::{Action, DiskState, Event};

use crate::common::{Download, Outcome, edge, edges, for_seeds, ideal};

const SIZE: u64 = 32 << 20;

/// What is done to it after the first half was read, each with what was read since.
fn without(seed: u64, victim: usize, actions: &[(u64, Action)]) -> Outcome {
    let mut download = Download::new(SIZE, edges(3));
    let read = download.percent(50);
    let actions = actions.iter().map(|(since, action)| (read + since, action.clone()));
    download.when_read.extend(actions);
    let least = ideal(read, 120) + ideal(SIZE - read, 80);
    let outcome = download.finish(seed, Duration::from_secs(20));
    outcome.assert_complete(least);
    let removed = format!("{} removed: true", edge(victim));
    let (at, _) = outcome.timed_notes().find(|(_, text)| *text == removed).unwrap();
    // An order that was on its way arrives after the removal by a round trip at most, with two full queues.
    let late = at + Duration::from_millis(50);
    assert!(
        !since(&outcome, victim, late).any(|text| text.starts_with("ordered ")),
        "it is asked for more"
    );
    outcome.assert_graceful();
    outcome.assert_even_end(80);
    outcome
}

/// What a secondary noted from then on.
fn since(outcome: &Outcome, index: usize, from: Duration) -> impl Iterator<Item = &str> {
    outcome.report.events.iter().filter_map(move |(at, event)| match event {
        Event::Note { host, text } if *host == edge(index) && *at >= from => Some(text.as_str()),
        _ => None,
    })
}

#[test]
fn a_secondary_that_is_taken_out_mid_range_is_not_missed() {
    for_seeds(|seed, victim| {
        let outcome = without(seed, victim, &[(0, Action::Revoke(edge(victim)))]);
        assert_eq!(outcome.metrics.paths.last().unwrap().state, "gone");
        // What it accepted it sends. It may not hear so: the close may overtake the acknowledgement of the last bytes.
        assert_eq!(outcome.lost_by(victim), 0, "it was not waited for");
    });
}

/// What it was asked for stands still when it is taken out: it may drain for five seconds, and nobody waits for it.
#[test]
fn a_secondary_that_is_taken_out_while_its_disk_hangs_is_not_waited_for() {
    for_seeds(|seed, victim| {
        let hung = Action::Disk(edge(victim), DiskState::Hung);
        // The reader may take a megabyte at once: time for an order that meets the hung disk.
        let actions = [(0, hung), (2 << 20, Action::Revoke(edge(victim)))];
        let outcome = without(seed, victim, &actions);
        assert!(outcome.lost_by(victim) > 0, "it owed nothing");
        // Or gone, with what nobody needs any more.
        assert!(
            outcome.metrics.paths.iter().any(|path| path.state != "live"),
            "it was not removed"
        );
    });
}
