//! All servers are restarted, one after the other, during one download.

use std::time::Duration;

use kwik_sim::{Action, for_each_seed};

use crate::common::edge;
use crate::scenario::{Scenario, WITH_ANOTHER, primary};

/// From its death to its next life.
const AWAY: Duration = Duration::from_millis(400);

#[test]
fn two_primaries_and_two_secondaries() {
    for_each_seed(5, |seed| {
        let servers = [primary(0), edge(0), primary(1), edge(1)];
        let moments = servers.into_iter().zip([10, 30, 50, 70]);
        let scenario = moments.fold(Scenario::new(2), |scenario, (name, percent)| {
            let read = Scenario::moment(seed, percent);
            let dead = scenario.at(read, Duration::ZERO, Action::Crash(name.clone()));
            dead.at(read, AWAY, Action::Restart(name))
        });
        scenario.finish(seed, Duration::from_secs(60)).assert_pauses(WITH_ANOTHER);
    });
}
