//! The reader is slower than any path: nobody is to blame, and memory stays bounded.

use std::time::Duration;

use crate::common::{Download, edges, for_seeds, percent_of, within};

const SIZE: u64 = 12 << 20;
const RATE: u64 = 2 << 20;

#[test]
fn a_slow_reader_gets_its_bytes_at_its_own_pace() {
    for_seeds(|seed, _| {
        let download = Download { reader: Some(RATE), ..Download::new(SIZE, edges(3)) };
        let outcome = download.finish(seed, Duration::from_secs(20));
        let pace = Duration::from_secs(SIZE / RATE);
        within("completion", outcome.elapsed, percent_of(pace, 102));
        within("longest pause", outcome.pause, Duration::from_millis(500));
        outcome.assert_frugal();
        // What the start costs, and nothing after it.
        assert!(outcome.metrics.repairs <= 2, "{:?}", outcome.metrics);
        assert!(outcome.metrics.paths.iter().all(|path| path.state == "live"));
        let peak = outcome.metrics.peak_buffer_bytes;
        assert!(peak <= 6 << 20, "{peak} bytes were held: more than 1.5 times the window of 4 MiB");
    });
}
