//! A secondary resets contributions in the middle of their ranges.

use std::time::Duration;

use crate::common::{Download, Manner, edges, for_seeds, ideal};

const SIZE: u64 = 32 << 20;

#[test]
fn r08_1_what_a_reset_contribution_owed_is_sent_by_others() {
    for_seeds(|seed, victim| {
        let mut manners = vec![Manner::Honest; 3];
        manners[victim] = Manner::BreaksOff(3);
        let download = Download { manners, ..Download::new(SIZE, edges(3)) };
        let outcome = download.finish(seed, Duration::from_secs(20));
        // It is asked less and less; the two honest ones are sure.
        outcome.assert_complete(ideal(SIZE, 80));
        assert!(outcome.notes().any(|text| text.contains("Lost") && text.contains("Reset")));
        outcome.assert_graceful();
        outcome.assert_even_end(80);
    });
}
