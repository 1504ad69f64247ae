//! The reader's pauses where nothing fails: what a path owes comes in the reader's order.

use std::time::Duration;

use crate::common::{Download, Local, Outcome, for_seeds, link};

const SIZE: u64 = 120 << 20;

/// How many pauses of more than 50 ms, their sum and the longest.
fn pauses(outcome: &Outcome) -> (usize, Duration, Duration) {
    let stalls = outcome.metrics.stalls.iter().map(|stall| stall.duration);
    let delivered: u64 = outcome.metrics.paths.iter().map(|path| path.bytes).sum();
    assert_eq!(outcome.metrics.in_order_delay.bytes(), delivered, "each byte's delay counts once");
    let (sum, longest) = (stalls.clone().sum(), stalls.clone().max().unwrap_or_default());
    println!(
        "smooth: {} pauses, {} ms in all, longest {} ms, peak buffer {}, total {} ms",
        stalls.len(),
        Duration::as_millis(&sum),
        longest.as_millis(),
        outcome.metrics.peak_buffer_bytes,
        outcome.elapsed.as_millis()
    );
    (stalls.len(), sum, longest)
}

#[test]
fn equal_links_bring_the_bytes_in_order() {
    for_seeds(|seed, _| {
        let download = Download {
            primary: link(100, 20),
            local: Local::Share,
            ..Download::new(SIZE, vec![link(100, 20); 2])
        };
        let outcome = download.finish(seed, Duration::from_secs(30));
        let (count, ..) = pauses(&outcome);
        assert!(count <= 3);
    });
}

#[test]
fn unequal_links_bring_the_bytes_in_order() {
    for_seeds(|seed, _| {
        let links = vec![link(60, 20), link(100, 20)];
        let download =
            Download { primary: link(15, 20), local: Local::Share, ..Download::new(SIZE, links) };
        let outcome = download.finish(seed, Duration::from_secs(30));
        let (_, sum, longest) = pauses(&outcome);
        assert!(sum <= Duration::from_millis(1_200) && longest <= Duration::from_millis(200));
    });
}
