//! A second without any path.

use std::time::Duration;

use kwik_sim::{Action, CLIENT};

use crate::common::{Download, edges, for_seeds, ideal, percent_of, within};

const SIZE: u64 = 32 << 20;

#[test]
fn a_second_without_a_network_costs_little_more_than_a_second() {
    for_seeds(|seed, _| {
        let mut download = Download::new(SIZE, edges(3));
        let at = Duration::from_millis;
        download.at.push((at(1_000), Action::Partition(CLIENT.into())));
        download.at.push((at(2_000), Action::Heal(CLIENT.into())));
        let outcome = download.finish(seed, Duration::from_secs(20));
        // QUIC tries again at most twice the outage after it began.
        let bound = percent_of(ideal(SIZE, 120), 115) + at(2_000);
        within("completion", outcome.elapsed, bound);
        assert!(outcome.pause >= at(1_000), "there was a network");
        within("longest pause", outcome.pause, at(2_000));
        assert!(outcome.metrics.paths.iter().all(|path| path.state == "live"), "{outcome:?}");
        outcome.assert_frugal();
        outcome.assert_even_end(120);
    });
}
