//! Servers that are told to go leave without a pause.

use std::time::Duration;

use kwik_sim::{Action, for_each_seed};

use crate::common::edge;
use crate::scenario::{Scenario, WITH_ANOTHER, primary};

/// A pause that a reader notices, and three round trips of the laboratory's links.
const NOTHING: Duration = Duration::from_millis(200);

fn leaves(scenario: Scenario, name: &str, seed: u64) -> crate::scenario::Outcome {
    let tell = Action::Tell(name.to_owned(), "go".to_owned());
    let scenario = scenario.at(Scenario::moment(seed, 50), Duration::ZERO, tell);
    scenario.finish(seed, Duration::from_secs(30))
}

#[test]
fn a_primary_whose_client_knows_another() {
    for_each_seed(5, |seed| {
        let outcome = leaves(Scenario::new(2), &primary(0), seed);
        // The other one attaches its secondaries first.
        outcome.assert_pauses(WITH_ANOTHER);
        assert_eq!(outcome.sessions, 2, "the client moves");
        outcome.assert_noted(&primary(0), "is gone");
    });
}

/// It refuses a new session, and finishes what it began.
#[test]
fn the_only_primary() {
    for_each_seed(5, |seed| {
        let outcome = leaves(Scenario::new(1), &primary(0), seed);
        outcome.assert_pauses(NOTHING);
        assert_eq!(outcome.sessions, 1);
    });
}

#[test]
fn a_secondary() {
    for_each_seed(5, |seed| {
        let outcome = leaves(Scenario::new(1), &edge(0), seed);
        outcome.assert_pauses(NOTHING);
        assert_eq!(outcome.sessions, 1);
        outcome.assert_noted(&edge(0), "is gone");
    });
}
