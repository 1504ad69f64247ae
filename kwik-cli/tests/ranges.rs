//! Parts of a file.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Fleet, content, fail, last_object, names, succeed};

const SIZE: usize = 5 << 20;

#[test]
fn a_range_is_written_as_it_is_to_a_file_and_to_standard_output() {
    let content = content(SIZE);
    let fleet = Fleet::start(2, &[("f", &content)]);
    fleet.warm_up("f");
    for (range, expected) in [
        ("0-0", &content[..1]),
        ("100-199", &content[100..200]),
        ("1000000-", &content[1_000_000..]),
        ("-1", &content[SIZE - 1..]),
        ("-3000000", &content[SIZE - 3_000_000..]),
        ("7-99999999999", &content[7..]),
    ] {
        let output = succeed(fleet.get("f").args(["--range", range, "-o", "-", "--quiet"]));
        assert!(output.stdout == expected, "{range}: {} bytes", output.stdout.len());
        let output =
            succeed(fleet.get("f").args([&format!("--range={range}"), "-o", "part", "--json"]));
        assert!(fs::read(fleet.dir.path().join("part")).unwrap() == expected, "{range}");
        let report = last_object(&output.stdout);
        assert_eq!((&report["bytes"], &report["resumed_at"]), (&expected.len().into(), &0.into()));
        assert_eq!(report["blake3"], blake3::hash(expected).to_hex().as_str());
        assert_eq!(report["range"]["size"], SIZE);
        assert_eq!(report["range"]["blake3"], blake3::hash(&content).to_hex().as_str());
        common::bytes_by_path(&report);
    }
}

#[test]
fn a_range_that_is_not_there_is_refused() {
    let fleet = Fleet::start(0, &[("f", b"content"), ("empty", b"")]);
    let before = names(fleet.dir.path());
    for (file, range) in [("f", "7-"), ("f", "100-200"), ("empty", "0-"), ("empty", "-5")] {
        let line = fail(fleet.get(file).args(["--range", range, "-o", "out"]), 5);
        assert!(line.contains(range) && line.contains("bytes"), "{line}");
    }
    for range in ["", "-", "5", "5-3", "-0", "a-b", "1-2-3", "18446744073709551616-"] {
        let line = fail(fleet.get("f").args(["--range", range]), 2);
        assert!(line.contains("--range"), "{line}");
    }
    fail(fleet.get("f").args(["--range", "0-1", "--range", "2-3"]), 2);
    let url = fleet.primary.url("empty");
    let line = fail(fleet.get("f").args([&url, "--range", "0-1"]), 2);
    assert!(line.contains("--range"), "{line}");
    assert_eq!(names(fleet.dir.path()), before);
}

#[test]
fn a_part_of_a_file_is_not_continued_as_the_whole() {
    let content = content(SIZE);
    let fleet = Fleet::start(0, &[("f", &content)]);
    let dir = fleet.dir.path();
    // Ends by itself in the middle, with what came kept.
    let mut get = fleet.get("f");
    get.args(["--range", "1000000-", "-o", "out", "--max-rate", "1MB", "--max-time", "2500ms"]);
    let output = get.output().unwrap();
    assert_eq!(output.status.code(), Some(8));
    assert!(dir.join("out.part.kwik").exists(), "{:?}", names(dir));
    let mut again = fleet.get("f");
    again.args(["--range", "1000000-", "-o", "out", "--json"]);
    let report = last_object(&succeed(&mut again).stdout);
    assert!(report["resumed_at"].as_u64().unwrap() > 0, "{report}");
    assert!(fs::read(dir.join("out")).unwrap() == content[1_000_000..]);
    fs::remove_file(dir.join("out")).unwrap();
    get.output().unwrap();
    assert!(dir.join("out.part.kwik").exists());
    succeed(fleet.get("f").args(["-o", "out"]));
    assert!(fs::read(dir.join("out")).unwrap() == content);
}
