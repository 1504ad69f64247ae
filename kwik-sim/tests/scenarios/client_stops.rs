//! The client itself is stopped for two seconds.

use std::time::Duration;

use kwik_sim::{Action, CLIENT};

use crate::common::{Download, SIZE, edges};

#[test]
fn a_client_that_was_stopped_condemns_nobody() {
    let mut download = Download::new(SIZE, edges(3));
    let at = Duration::from_millis;
    download.at.push((at(600), Action::Freeze(CLIENT.into())));
    download.at.push((at(2_600), Action::Thaw(CLIENT.into())));
    let outcome = download.finish(1, Duration::from_millis(6_000));
    assert!(outcome.metrics.paths.iter().all(|path| path.state == "live"), "{outcome:?}");
    let gone = outcome.notes().any(|text| text.contains("Gone"));
    assert!(!gone, "a path was given up");
}
