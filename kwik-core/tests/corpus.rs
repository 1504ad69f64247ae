//! The session cores against the fuzzers' corpora, and against inputs made by chance: `fuzz/run.sh` finds new ones.

#![allow(clippy::unwrap_used)]

#[path = "../../fuzz/src/session/mod.rs"]
#[allow(unreachable_pub, reason = "a module of a library in fuzz/")]
mod checks;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        check(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

/// Inputs in the gate; `KWIK_CASES` asks for others, `KWIK_SEED` for one.
fn try_by_chance(check: fn(&[u8])) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("KWIK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("KWIK_CASES").unwrap_or(500),
    };
    for seed in seeds {
        let input = by_chance(seed);
        assert!(catch_unwind(|| check(&input)).is_ok(), "KWIK_SEED={seed}: {input:?}");
    }
}

/// Set-up as it should be, and then up to 1,000 bytes of xorshift64*.
fn by_chance(seed: u64) -> Vec<u8> {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut roll = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    };
    let length = 50 + roll() % 950;
    let set_up = [(roll() % 3) as u8, 1, 1, 1, 1];
    set_up.into_iter().chain((0..length).map(|_| roll() as u8)).collect()
}

#[test]
fn client_corpus_holds() {
    replay("client", checks::check_client);
}

#[test]
fn primary_corpus_holds() {
    replay("primary", checks::check_primary);
}

#[test]
fn secondary_corpus_holds() {
    replay("secondary", checks::check_secondary);
}

#[test]
fn no_input_by_chance_harms_a_client() {
    try_by_chance(checks::check_client);
}

#[test]
fn no_input_by_chance_harms_a_primary() {
    try_by_chance(checks::check_primary);
}

#[test]
fn no_input_by_chance_harms_a_secondary() {
    try_by_chance(checks::check_secondary);
}
