//! A second without any path.

use std::time::Duration;

use kwik_sim::{Action, CLIENT};

use crate::common::{Download, SIZE, edges};

#[test]
fn a_second_without_a_network_costs_little_more_than_a_second() {
    let mut download = Download::new(SIZE, edges(3));
    let at = Duration::from_millis;
    download.at.push((at(600), Action::Partition(CLIENT.into())));
    download.at.push((at(1_600), Action::Heal(CLIENT.into())));
    let outcome = download.finish(1, Duration::from_millis(5_000));
    assert!(outcome.metrics.paths.iter().all(|path| path.state == "live"), "{outcome:?}");
}
