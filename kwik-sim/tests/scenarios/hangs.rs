//! Servers that hang where nobody sees it: on one order in so many, on all of them, or nearly.

use std::time::Duration;

use crate::common::{Download, Local, Manner, edges, for_seeds, ideal, redundancy, within};

const SIZE: u64 = 24 << 20;

/// The bucket of redundant bytes pays for a few of the hung ranges; the others are moved. Each may cost the reader a pause,
/// none of them the stream.
#[test]
fn what_hangs_alone_is_asked_of_another() {
    for_seeds(|seed, _| {
        for every in [3, 8] {
            let mut download = Download::new(SIZE, edges(3));
            download.manners = vec![Manner::Hangs(every), Manner::Hangs(every)];
            let outcome = download.finish(seed, Duration::from_secs(60));
            println!("one in {every}");
            // Two of three hang, and the second that is asked for a head may be one of them: the patience with the first (190 ms
            // with a queue in the way) and twice that with the second, an order's round trip and a frame's time for each.
            within("longest pause", outcome.pause, Duration::from_millis(3 * 190 + 2 * (20 + 13)));
            within("completion", outcome.elapsed, ideal(SIZE, 40) * 6 / 5);
            let redundant = outcome.metrics.redundant_bytes;
            assert!(redundant <= redundancy(SIZE), "{redundant} redundant bytes");
        }
    });
}

/// The only secondary sends a byte now and then; the primary has the content, and was never measured.
#[test]
fn who_sends_single_bytes_does_not_keep_the_reader() {
    for_seeds(|seed, _| {
        let size = 4 << 20;
        let mut download = Download::new(size, edges(1));
        download.manners = vec![Manner::Drips];
        let outcome = download.finish(seed, Duration::from_secs(60));
        // Each of its ranges is found out by itself.
        within("completion", outcome.elapsed, Duration::from_secs(20));
    });
}

/// Nobody sends anything, and all say that they will.
#[test]
fn nobody_keeps_the_reader_for_ever_with_promises() {
    for_seeds(|seed, _| {
        let mut download = Download::new(SIZE, edges(2));
        download.local = Local::None;
        download.client = |builder| builder.with_gap_timeout(Duration::from_secs(2));
        download.manners = vec![Manner::Hangs(1), Manner::Hangs(1)];
        let failure = download.run(seed, Duration::from_secs(60)).unwrap_err();
        println!("{}", failure.cause);
        assert!(failure.cause.to_string().contains("offset 65536"), "{}", failure.cause);
        // Two timeouts, once the second of them was late as well: it has twice the half second of the first.
        within("error", failure.report.elapsed, Duration::from_secs(4 + 1));
    });
}
