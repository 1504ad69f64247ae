//! Eight secondaries join and leave all the time: four are in at any moment, one changes every 200 ms.

use std::time::Duration;

use crate::common::{Download, edges, for_seeds, ideal, within};

const SIZE: u64 = 64 << 20;

#[test]
fn eight_secondaries_join_and_leave_all_the_time() {
    for_seeds(|seed, _| {
        let churn = Some(Duration::from_millis(200));
        let download = Download { churn, ..Download::new(SIZE, edges(8)) };
        let outcome = download.finish(seed, Duration::from_secs(30));
        // A newcomer's handshake and slow start take the first 100 ms of its 800: three and a half of the four send.
        outcome.assert_complete(ideal(SIZE, 140));
        within("longest pause", outcome.pause, Duration::from_millis(500));
        outcome.assert_frugal();
    });
}
