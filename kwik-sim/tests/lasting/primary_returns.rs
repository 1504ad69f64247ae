//! The only primary dies, and is started again.

use std::time::Duration;

use kwik_sim::{Action, for_each_seed};

use crate::scenario::{AFTER_RETURN, Scenario, primary};

fn returns_after(percent: u64, seconds: u64) {
    for_each_seed(5, |seed| {
        let (read, back) = (Scenario::moment(seed, percent), Action::Restart(primary(0)));
        let scenario = Scenario::new(1).at(read, Duration::ZERO, Action::Crash(primary(0))).at(
            read,
            Duration::from_secs(seconds),
            back.clone(),
        );
        let outcome = scenario.finish(seed, Duration::from_secs(60));
        outcome.assert_pauses_beyond(&back, AFTER_RETURN);
        if percent < 99 {
            assert_eq!(outcome.sessions, 2);
        }
    });
}

#[test]
fn from_1_percent_after_1_s() {
    returns_after(1, 1);
}

#[test]
fn from_1_percent_after_5_s() {
    returns_after(1, 5);
}

#[test]
fn from_1_percent_after_20_s() {
    returns_after(1, 20);
}

#[test]
fn from_50_percent_after_1_s() {
    returns_after(50, 1);
}

#[test]
fn from_50_percent_after_5_s() {
    returns_after(50, 5);
}

#[test]
fn from_50_percent_after_20_s() {
    returns_after(50, 20);
}

#[test]
fn from_99_percent_after_1_s() {
    returns_after(99, 1);
}

#[test]
fn from_99_percent_after_5_s() {
    returns_after(99, 5);
}

#[test]
fn from_99_percent_after_20_s() {
    returns_after(99, 20);
}
