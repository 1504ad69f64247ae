//! A secondary sends wrong bytes with a right checksum, or right bytes with a wrong one.

use std::time::Duration;

use kwik_client::{ErrorCode, Fault};
use kwik_sim::{Action, DiskState};

use crate::common::{Download, Outcome, edge, edges, for_seeds, ideal};

/// What a liar has under way when it is found out, half a megabyte, is a fixed cost.
const SIZE: u64 = 64 << 20;

/// Something is done to one of three at 30 %.
fn with(proof: bool, seed: u64, victim: usize, action: fn(String) -> Action) -> Outcome {
    let mut download = Download { proof, ..Download::new(SIZE, edges(3)) };
    let read = download.percent(30);
    download.when_read.push((read, action(edge(victim))));
    let outcome = download.finish(seed, Duration::from_secs(20));
    outcome.assert_complete(ideal(read, 120) + ideal(SIZE - read, 80));
    outcome.assert_graceful();
    let others = |index: usize| outcome.metrics.paths[index + 1].bytes > SIZE / 4;
    assert!((0..3).filter(|index| *index != victim).all(others), "others were cut off");
    outcome
}

#[test]
fn r08_3_a_liar_is_found_out_by_the_hashes_that_the_primary_names() {
    for_seeds(|seed, victim| {
        let outcome = with(true, seed, victim, |edge| Action::Disk(edge, DiskState::Lying));
        assert!(outcome.excludes(victim, "Conflict"), "it was asked again");
    });
}

/// The checksum is what finds it out, so it needs no proof.
#[test]
fn r08_3_corrupt_bytes_are_thrown_away_and_asked_of_others() {
    for_seeds(|seed, victim| {
        let outcome = with(false, seed, victim, Action::Corrupt);
        assert!(outcome.excludes(victim, "Corrupt"), "it was asked again and again");
        let address = outcome.metrics.paths[victim + 1].address;
        let faults = outcome.metrics.faults.into_iter();
        let (own, others): (Vec<Fault>, Vec<Fault>) =
            faults.partition(|fault| fault.address == address);
        println!("{own:?}");
        assert!(own.iter().any(|fault| fault.code == ErrorCode::Checksum), "{own:?}");
        assert!(others.is_empty(), "others were blamed: {others:?}");
    });
}

/// Bad memory for a moment: it is taken on trial again, and trusted again.
#[test]
fn r08_3_who_sent_corrupt_bytes_once_is_used_again() {
    for_seeds(|seed, victim| {
        let mut download = Download::new(SIZE, edges(3));
        let at = Duration::from_millis;
        download.at.push((at(1_000), Action::Corrupt(edge(victim))));
        download.at.push((at(1_300), Action::Mend(edge(victim))));
        let outcome = download.finish(seed, Duration::from_secs(20));
        outcome.assert_complete(ideal(SIZE, 120));
        outcome.assert_graceful();
        outcome.assert_even_end(120);
        assert!(!outcome.excludes(victim, "Corrupt"), "once is no habit");
        assert!(!outcome.metrics.faults.is_empty(), "nothing was corrupt");
        assert!(outcome.metrics.paths[victim + 1].bytes > SIZE / 6, "it was hardly used again");
    });
}

/// Where nobody lies, the hashes cost little.
#[test]
fn proof_of_every_range_costs_little() {
    for_seeds(|seed, _| {
        let download = Download { proof: true, ..Download::new(SIZE, edges(3)) };
        let outcome = download.finish(seed, Duration::from_secs(20));
        outcome.assert_complete(ideal(SIZE, 120));
        outcome.assert_graceful();
    });
}
