//! The window is full of ranges that are sent from their ends: the reader needs the bytes that come last.

use std::time::Duration;

use kwik_client::Limits;

use crate::common::{Download, Manner, edges, for_seeds, ideal};

/// The start takes 0.15 s: a fixed cost.
const SIZE: u64 = 64 << 20;
/// What the floors of 104 streams leave of a budget of 13 MiB.
const WINDOW: u64 = 2 << 20;

#[test]
fn reversed_ranges_fill_the_window_and_drain() {
    for_seeds(|seed, _| {
        let download = Download {
            manners: vec![Manner::Backwards; 3],
            client: |builder| {
                let limits = Limits::new().with_max_streams(2, 2).with_session_budget(13 << 20);
                builder.with_limits(limits)
            },
            ..Download::new(SIZE, edges(3))
        };
        let outcome = download.finish(seed, Duration::from_secs(20));
        let peak = outcome.metrics.peak_buffer_bytes;
        println!("{peak} bytes held at a time, window {WINDOW}");
        // A path sends one range after the other, so that no more is held than what others send while one range comes, and
        // what lies behind it: that is what can fill half of the window, not all of it.
        assert!(peak >= WINDOW / 2, "the window was not needed: {peak} bytes held");
        // The first byte comes last of its range, which has at most a twelfth of the window for three sources: on one link.
        outcome.assert_complete(ideal(SIZE, 120) + ideal(WINDOW / 12, 40));
        outcome.assert_graceful();
    });
}
