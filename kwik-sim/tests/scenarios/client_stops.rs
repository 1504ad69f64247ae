//! The client itself is stopped for two seconds.

use std::time::Duration;

use kwik_sim::{Action, CLIENT};

use crate::common::{Download, edges, for_seeds, ideal, percent_of, within};

const SIZE: u64 = 32 << 20;

#[test]
fn a_client_that_was_stopped_condemns_nobody() {
    for_seeds(|seed, _| {
        let mut download = Download::new(SIZE, edges(3));
        let at = Duration::from_millis;
        download.at.push((at(1_000), Action::Freeze(CLIENT.into())));
        download.at.push((at(3_000), Action::Thaw(CLIENT.into())));
        let outcome = download.finish(seed, Duration::from_secs(20));
        // The stop, and at most as long again until QUIC's servers try again.
        within("completion", outcome.elapsed, percent_of(ideal(SIZE, 120), 115) + at(4_000));
        assert!(outcome.pause >= at(2_000), "it was not stopped while it read");
        assert!(outcome.metrics.paths.iter().all(|path| path.state == "live"), "{outcome:?}");
        for condemned in ["PathDown", "Gone", "Suspect"] {
            assert!(!outcome.notes().any(|text| text.contains(condemned)), "{condemned}");
        }
        let blamed =
            |stall: &&kwik_client::Stall| stall.duration >= at(1_000) && stall.path.is_some();
        assert_eq!(outcome.metrics.stalls.iter().find(blamed), None, "a server is to blame");
        outcome.assert_frugal();
        outcome.assert_even_end(120);
    });
}
