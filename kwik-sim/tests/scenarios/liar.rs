//! A secondary sends wrong bytes with a right checksum.

use std::time::Duration;

use kwik_sim::{Action, DiskState};

use crate::common::{Download, assert_graceful, edge, edges, ideal, percent_of, within};

const SIZE: u64 = 24 << 20;

#[test]
fn r08_3_a_liar_is_found_out_by_the_hashes_that_the_primary_names() {
    for liar in 0..3 {
        let mut download = Download { proof: true, ..Download::new(SIZE, edges(3)) };
        let read = download.percent(30);
        download.when_read.push((read, Action::Disk(edge(liar), DiskState::Lying)));
        let outcome = download.finish(1, Duration::from_secs(20));
        let least = ideal(read, 120) + ideal(SIZE - read, 80);
        within("completion", outcome.elapsed, percent_of(least, 120));
        assert_graceful(&outcome, SIZE);
        let excluded = format!("Excluded {{ stream: StreamId(0), path: PathId({})", liar + 1);
        let conflict = |text: &str| text.contains(&excluded) && text.contains("Conflict");
        assert!(outcome.notes().any(conflict), "it was asked again");
        let others = |index: usize| outcome.metrics.paths[index + 1].bytes > SIZE / 4;
        assert!((0..3).filter(|index| *index != liar).all(others), "others were cut off");
    }
}

/// Where nobody lies, the hashes cost little.
#[test]
fn proof_of_every_range_costs_little() {
    let download = Download { proof: true, ..Download::new(SIZE, edges(3)) };
    let outcome = download.finish(1, Duration::from_secs(20));
    within("completion", outcome.elapsed, percent_of(ideal(SIZE, 120), 120));
    assert_graceful(&outcome, SIZE);
}
