//! A secondary resets contributions in the middle of their ranges.

use std::time::Duration;

use crate::common::{Download, Manner, assert_graceful, edges, ideal, percent_of, within};

const SIZE: u64 = 32 << 20;

#[test]
fn r08_1_what_a_reset_contribution_owed_is_sent_by_others() {
    let download = Download {
        manners: vec![Manner::Honest, Manner::BreaksOff(3), Manner::Honest],
        ..Download::new(SIZE, edges(3))
    };
    let outcome = download.finish(1, Duration::from_secs(20));
    // It is asked less and less; the two honest ones are sure.
    within("completion", outcome.elapsed, percent_of(ideal(SIZE, 80), 115));
    assert!(outcome.notes().any(|text| text.contains("Lost") && text.contains("Reset")));
    assert_graceful(&outcome, SIZE);
}
