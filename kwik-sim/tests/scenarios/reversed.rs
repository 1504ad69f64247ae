//! The window is full of ranges that are sent from their ends: the reader needs the bytes that come last.

use std::time::Duration;

use kwik_client::Limits;

use crate::common::{Download, Manner, SIZE, edges, ideal, percent_of, within};

#[test]
fn reversed_ranges_fill_the_window_and_drain() {
    let download = Download {
        manners: vec![Manner::Backwards; 3],
        // What the floors of 104 streams leave is a window of 2 MiB.
        client: |builder| {
            let limits = Limits::new().with_max_streams(2, 2).with_session_budget(13 << 20);
            builder.with_limits(limits)
        },
        ..Download::new(SIZE, edges(3))
    };
    let outcome = download.finish(1, Duration::from_secs(20));
    within("completion", outcome.elapsed, percent_of(ideal(SIZE, 120), 130));
    within("longest pause", outcome.pause, Duration::from_millis(500));
}
