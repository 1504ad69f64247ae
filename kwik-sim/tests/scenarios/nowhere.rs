//! Nobody has the data, and the primary has no copy.

use std::time::Duration;

use kwik_sim::{Action, DiskState};

use crate::common::{Download, HEAD, Local, SIZE, edge, edges, for_seeds, ideal, within};

/// Nobody has the data; the reader's patience is `timeout`. The error, and when it came.
fn nobody_has_it(
    seed: u64,
    timeout: fn(kwik_client::Builder) -> kwik_client::Builder,
) -> (String, Duration) {
    let mut download = Download::new(SIZE, edges(3));
    download.local = Local::None;
    download.client = timeout;
    for index in 0..3 {
        download.at.push((Duration::ZERO, Action::Disk(edge(index), DiskState::Stale)));
    }
    let failure = download.run(seed, Duration::from_secs(15)).unwrap_err();
    println!("{}", failure.cause);
    (failure.cause.to_string(), failure.report.elapsed)
}

#[test]
fn r06_4_a_gap_is_waited_for_and_then_named() {
    for_seeds(|seed, _| {
        let default = nobody_has_it(seed, |builder| builder);
        let short = nobody_has_it(seed, |builder| builder.with_gap_timeout(Duration::from_secs(2)));
        for ((text, elapsed), timeout) in [(default, 10), (short, 2)] {
            // As much as was ever asked for: the client knows of no more.
            let named = format!("stream 0, offset {HEAD}, length ");
            let length = text.split_once(&named).map(|(_, length)| length.parse::<u64>());
            assert!(length.is_some_and(|length| length.unwrap() >= 256 << 10), "{text}");
            assert!(elapsed >= Duration::from_secs(timeout), "it was not waited for");
            within("error", elapsed, Duration::from_secs(timeout) + Duration::from_millis(300));
        }
    });
}

#[test]
fn r06_4_a_gap_is_asked_for_again() {
    for_seeds(|seed, _| {
        let mut download = Download::new(SIZE, edges(2));
        download.local = Local::None;
        // One has nothing, and the other cannot read for a while.
        let at = Duration::from_millis;
        download.at.push((at(0), Action::Disk(edge(0), DiskState::Stale)));
        download.at.push((at(600), Action::Disk(edge(1), DiskState::Hung)));
        download.at.push((at(2_600), Action::Disk(edge(1), DiskState::Healthy)));
        let outcome = download.finish(seed, Duration::from_secs(20));
        outcome.assert_complete(ideal(SIZE, 40) + Duration::from_secs(2));
        outcome.assert_frugal();
        outcome.assert_even_end(40);
    });
}
