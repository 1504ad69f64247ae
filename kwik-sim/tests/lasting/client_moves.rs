//! The servers are all well: it is the client whose address changes, or that sleeps.

use std::time::Duration;

use kwik_sim::{Action, CLIENT, for_each_seed};

use crate::scenario::{AFTER_RETURN, Scenario};

#[test]
fn its_address_changes() {
    for_each_seed(5, |seed| {
        let read = Scenario::moment(seed, 50);
        let scenario = Scenario::new(1).at(read, Duration::ZERO, Action::Rebind(CLIENT.into()));
        scenario.finish(seed, Duration::from_secs(30)).assert_pauses(AFTER_RETURN);
    });
}

#[test]
fn its_address_changes_five_times() {
    for_each_seed(5, |seed| {
        let moments = (1..=5).map(|part| Scenario::moment(seed, part * 15));
        let scenario = moments.fold(Scenario::new(2), |scenario, read| {
            scenario.at(read, Duration::ZERO, Action::Rebind(CLIENT.into()))
        });
        scenario.finish(seed, Duration::from_secs(30)).assert_pauses(AFTER_RETURN);
    });
}

fn sleeps(sleep: &Action) {
    for_each_seed(5, |seed| {
        let (read, wakes) = (Scenario::moment(seed, 50), Action::Thaw(CLIENT.into()));
        let scenario = Scenario::new(1).at(read, Duration::ZERO, sleep.clone()).at(
            read,
            Duration::from_secs(60),
            wakes.clone(),
        );
        let outcome = scenario.finish(seed, Duration::from_secs(90));
        outcome.assert_pauses_beyond(&wakes, AFTER_RETURN);
    });
}

#[test]
fn it_sleeps_for_60_s() {
    sleeps(&Action::Sleep(CLIENT.into()));
}

#[test]
fn it_is_stopped_for_60_s() {
    sleeps(&Action::Freeze(CLIENT.into()));
}

#[test]
fn it_sleeps_for_60_s_and_wakes_up_in_another_network() {
    for_each_seed(5, |seed| {
        let (read, wakes) = (Scenario::moment(seed, 50), Action::Thaw(CLIENT.into()));
        let scenario = Scenario::new(2)
            .at(read, Duration::ZERO, Action::Freeze(CLIENT.into()))
            .at(read, Duration::from_secs(30), Action::Rebind(CLIENT.into()))
            .at(read, Duration::from_secs(60), wakes.clone());
        let outcome = scenario.finish(seed, Duration::from_secs(90));
        outcome.assert_pauses_beyond(&wakes, AFTER_RETURN);
    });
}
