//! Eight secondaries join and leave all the time: four are in at any moment, one changes every 200 ms.

use std::time::Duration;

use crate::common::{Download, edges, for_seeds, ideal, within};

const SIZE: u64 = 64 << 20;
const EVERY: Duration = Duration::from_millis(200);
/// What a link carries in the time for which a secondary is in.
const STAY: u64 = 4_000_000;

#[test]
fn eight_secondaries_join_and_leave_all_the_time() {
    for_seeds(|seed, _| {
        // Somebody new has a handshake and a slow start before its link is full, and what that costs it pays alone as well.
        let alone = Download::new(STAY, edges(1)).finish(seed, Duration::from_secs(5)).elapsed;
        let churn = Some(EVERY);
        let download = Download { churn, ..Download::new(SIZE, edges(8)) };
        let outcome = download.finish(seed, Duration::from_secs(30));
        outcome.assert_complete(ideal(SIZE, 160).mul_f64(alone.div_duration_f64(4 * EVERY)));
        within("longest pause", outcome.pause, Duration::from_millis(500));
        outcome.assert_frugal();
    });
}
