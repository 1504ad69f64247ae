//! Servers that are told to stop: what is open is finished, real processes and real signals.

#![allow(clippy::unwrap_used)]

mod common;

use common::stream::Download;
use common::{Fleet, Server, content, fail, kwik, root, succeed};
use rustix::process::Signal;

const SIZE: usize = 64 << 20;
/// Longer than any test waits: what ends, ends because nothing is open any more.
const GRACE: [&str; 2] = ["--grace", "1h"];
/// More than what is buffered on the way, so that something is still to be sent when the signal comes.
const BEGUN: usize = 4 << 20;

#[test]
fn a_primary_that_is_told_to_stop_finishes_what_it_sends_and_takes_nothing_new() {
    let content = content(SIZE);
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path(), "root-primary", &[("f", &content)]);
    let primary = Server::start(dir.path(), "primary", &root, &GRACE);
    let mut fleet = Fleet { dir, primary, secondaries: Vec::new() };
    let mut download = Download::start(&fleet, "f");
    download.read(BEGUN);
    fleet.primary.send(Signal::TERM);
    let mut late = fleet.get("f");
    let line = fail(late.args(["-o", "late", "--timeout", "2s", "--connect-timeout", "2s"]), 4);
    assert!(line.contains("closed by the peer") || line.contains("goes away"), "at once: {line}");
    download.succeed(&content);
    assert_eq!(fleet.primary.wait(), Some(0));
}

#[test]
fn a_secondary_that_is_told_to_stop_costs_no_byte() {
    let content = content(SIZE);
    let mut fleet = Fleet::start(2, &[("f", &content)]);
    fleet.warm_up("f");
    let name = fleet.secondaries[0].address.to_string();
    fleet.secondaries[0].kill();
    let (dir, root) = (fleet.dir.path(), fleet.dir.path().join("root-0"));
    let args = [&["--trust", "keys/primary.pub"], &GRACE[..]].concat();
    fleet.secondaries[0] = Server::start_at(dir, "secondary-0", &root, &args, &name);
    let mut download = Download::start(&fleet, "f");
    download.read(BEGUN);
    let before = fleet.secondaries[0].logged(&["delegation failed"]).len();
    fleet.secondaries[0].send(Signal::TERM);
    let report = download.succeed(&content);
    assert_eq!(fleet.secondaries[0].wait(), Some(0));
    // What it had not begun goes to others, also orders that had not reached it. What it had begun it sends to the end,
    // unless the client closes the path, which has every byte of it then.
    let broken = fleet.secondaries[0].logged(&["delegation failed"]);
    let over = ["was closed, or delegation", "closed by the peer"];
    let begun = |line: &&String| !over.iter().any(|over| line.contains(over));
    assert_eq!(broken[before..].iter().find(begun), None, "{report}");
}

#[test]
fn two_secondaries_may_leave_at_once() {
    let content = content(SIZE);
    let fleet = Fleet::start(3, &[("f", &content)]);
    fleet.warm_up("f");
    let mut download = Download::start(&fleet, "f");
    download.read(BEGUN);
    fleet.secondaries[..2].iter().for_each(|secondary| secondary.send(Signal::TERM));
    let report = download.succeed(&content);
    for secondary in &fleet.secondaries[..2] {
        let address = secondary.address.to_string();
        let paths = report["paths"].as_array().unwrap();
        let path = paths.iter().find(|path| path["address"] == address).unwrap();
        assert_ne!(path["state"], "live", "{report}");
    }
    for mut secondary in fleet.secondaries.into_iter().take(2) {
        assert_eq!(secondary.wait(), Some(0));
    }
}

#[test]
fn a_second_signal_ends_a_server_at_once() {
    let content = content(SIZE);
    let mut fleet = Fleet::start_with(0, &[("f", &content)], &GRACE, |it| it.address);
    let mut download = Download::start_with(fleet.get("f"), &["--timeout", "2s"]);
    download.read(1 << 20);
    fleet.primary.send(Signal::TERM);
    fleet.primary.send(Signal::INT);
    assert_eq!(fleet.primary.wait(), Some(0));
    let (code, _, stderr) = download.end();
    assert_eq!(code, Some(4), "{stderr}");
}

#[test]
fn a_server_without_sessions_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path(), "root", &[("f", b"x")]);
    let server = Server::start(dir.path(), "state", &root, &GRACE);
    succeed(kwik(dir.path()).args(["get", &server.url("f"), "--pin", &server.pin]));
    assert_eq!(server.signal(Signal::TERM), Some(0));
}
