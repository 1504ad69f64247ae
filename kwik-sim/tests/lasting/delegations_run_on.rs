//! What the secondaries accepted before the primary died still reaches the reader.

use std::time::Duration;

use kwik_sim::{Action, Event, for_each_seed};

use crate::common::Local;
use crate::scenario::{Scenario, primary};

/// Where the bytes end that were read and ordered without a hole when the primary died.
fn ordered(events: &[(Duration, Event)], died: Duration, read: u64) -> u64 {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for (at, event) in events {
        if let Event::Note { text, .. } = event
            && let Some((start, end)) =
                text.strip_prefix("ordered ").and_then(|range| range.split_once(".."))
            && *at <= died
        {
            ranges.push((start.parse().unwrap(), end.parse().unwrap()));
        }
    }
    ranges.sort_unstable();
    ranges.iter().fold(read, |end, range| if range.0 <= end { end.max(range.1) } else { end })
}

#[test]
fn accepted_delegations_arrive_while_the_primary_is_away() {
    for_each_seed(5, |seed| {
        let read = Scenario::moment(seed, 30);
        let mut scenario = Scenario::new(1).at(read, Duration::ZERO, Action::Crash(primary(0))).at(
            read,
            Duration::from_secs(5),
            Action::Restart(primary(0)),
        );
        scenario.local = Local::None;
        let outcome = scenario.finish(seed, Duration::from_secs(60));
        let died = outcome.time_of(&Action::Crash(primary(0))).unwrap();
        let back = outcome.time_of(&Action::Restart(primary(0))).unwrap();
        let due = ordered(&outcome.report.events, died, read);
        assert!(due > read + (128 << 10), "nothing was ordered: {read}, {due}");
        let pause = outcome.pauses.iter().find(|pause| pause.start < back && back < pause.end);
        let pause = pause.unwrap_or_else(|| panic!("no pause: {:?}", outcome.pauses));
        println!("{} of {} ordered bytes", pause.offset - read, due - read);
        assert!(pause.offset >= due, "{} of {due} had come", pause.offset);
    });
}
