//! `kwik demo` shows the main job in one process.

#![allow(clippy::unwrap_used)]

mod common;

use common::{bytes_by_path, kwik, last_object, succeed};

#[test]
fn every_server_of_the_demo_sends_a_part() {
    let dir = tempfile::tempdir().unwrap();
    let output = succeed(kwik(dir.path()).args(["demo", "--size", "64MiB", "--json"]));
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
    let report = last_object(&output.stdout);
    assert_eq!(report["bytes"], 64 << 20);
    let bytes = bytes_by_path(&report);
    assert_eq!(bytes.len(), 4, "{report}");
    assert!(bytes.iter().all(|bytes| *bytes > 0), "{report}");
    assert!(common::names(dir.path()).is_empty(), "the demo leaves nothing behind");
}

#[test]
fn the_demo_runs_without_secondaries_and_with_an_empty_file() {
    let dir = tempfile::tempdir().unwrap();
    for (secondaries, size, bytes) in [("0", "3MiB", 3 << 20), ("2", "0", 0), ("2", "1", 1)] {
        let mut demo = kwik(dir.path());
        demo.args(["demo", "--secondaries", secondaries, "--size", size, "--json"]);
        let report = last_object(&succeed(&mut demo).stdout);
        assert_eq!(report["bytes"], bytes);
        bytes_by_path(&report);
    }
}

#[test]
fn the_demo_tells_people_who_sent_how_much() {
    let dir = tempfile::tempdir().unwrap();
    let output = succeed(kwik(dir.path()).args(["demo", "--size", "8MiB", "--secondaries", "2"]));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("secondary").count(), 2, "{text}");
    assert_eq!(text.matches("primary").count(), 1, "{text}");
    assert!(text.contains("8.0 MiB"), "{text}");
}
