//! A secondary becomes unavailable: the primary is told which bytes are missing, and why.

use std::time::Duration;

use kwik_sim::Action;

use crate::common::{Download, assert_graceful, edge, edges, ideal, percent_of, within};

const SIZE: u64 = 24 << 20;

#[test]
fn r08_2_the_primary_is_told_what_an_unavailable_secondary_owed() {
    for gone in [Action::Crash(edge(1)), Action::Freeze(edge(1)), Action::Partition(edge(1))] {
        println!("{gone:?}");
        let mut download = Download::new(SIZE, edges(3));
        let read = download.percent(30);
        download.when_read.push((read, gone));
        let outcome = download.finish(1, Duration::from_secs(20));
        let least = ideal(read, 120) + ideal(SIZE - read, 80);
        within("completion", outcome.elapsed, percent_of(least, 115));
        assert_graceful(&outcome, SIZE);
        let told = |text: &&str| text.contains("Lost {") && text.contains("path: PathId(2)");
        let lost: Vec<&str> = outcome.notes().filter(told).collect();
        println!("{lost:#?}");
        assert!(!lost.is_empty(), "the primary was not told");
        // Its streams are closed at the client.
        assert_eq!(outcome.metrics.paths[2].contributions, 0);
    }
}
