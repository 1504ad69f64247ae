//! The fuzzers' corpus, replayed: `fuzz/run.sh` finds new inputs.

#![allow(clippy::unwrap_used)]

#[path = "../../fuzz/src/codec.rs"]
#[allow(unreachable_pub, reason = "a module of a library in fuzz/")]
mod checks;

use std::fs;
use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        println!("{}", path.display());
        check(&input);
        // All in one piece, and byte by byte.
        let rest = input.get(1..).unwrap_or_default();
        check(&[&[0], rest].concat());
        check(&[&[1], rest].concat());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn control_corpus_holds() {
    replay("control", checks::check_control);
}

#[test]
fn data_corpus_holds() {
    replay("data", checks::check_data);
}
