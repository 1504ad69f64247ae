//! The primary dies, and another one lives.

use std::time::Duration;

use kwik_sim::{Action, for_each_seed};

use crate::scenario::{Scenario, WITH_ANOTHER, primary};

fn dies_at(percent: u64) {
    for_each_seed(5, |seed| {
        let read = Scenario::moment(seed, percent);
        let scenario = Scenario::new(2).at(read, Duration::ZERO, Action::Crash(primary(0)));
        let outcome = scenario.finish(seed, Duration::from_secs(30));
        outcome.assert_pauses(WITH_ANOTHER);
        if percent < 99 {
            assert_eq!(outcome.sessions, 2);
        }
    });
}

#[test]
fn at_1_percent() {
    dies_at(1);
}

#[test]
fn at_50_percent() {
    dies_at(50);
}

#[test]
fn at_99_percent() {
    dies_at(99);
}

/// Its host is there and its link is not: no QUIC stack ever says anything.
#[test]
fn its_link_goes_silent_at_50_percent() {
    for_each_seed(5, |seed| {
        let read = Scenario::moment(seed, 50);
        let scenario = Scenario::new(2).at(read, Duration::ZERO, Action::Partition(primary(0)));
        scenario.finish(seed, Duration::from_secs(30)).assert_pauses(WITH_ANOTHER);
    });
}

/// Its host stops: what it was sent waits for it.
#[test]
fn it_freezes_at_50_percent() {
    for_each_seed(5, |seed| {
        let read = Scenario::moment(seed, 50);
        let scenario = Scenario::new(2).at(read, Duration::ZERO, Action::Freeze(primary(0)));
        scenario.finish(seed, Duration::from_secs(30)).assert_pauses(WITH_ANOTHER);
    });
}
