//! `kwik check`.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::Command;

use common::{Fleet, content, fail, kwik, last_object};
use serde_json::Value;

const SIZE: usize = 12 << 20;
/// Servers that never answer are given up after their dial, and those that send nothing after this.
const SHORT: [&str; 2] = ["--timeout", "6s"];

fn check(fleet: &Fleet, file: &str) -> Command {
    let mut command = kwik(fleet.dir.path());
    command.args(["check", &fleet.primary.url(file), "--pin", &fleet.primary.pin]);
    command
}

/// Runs it with `--json`; the object and the exit status.
fn checked(fleet: &Fleet, more: &[&str]) -> (Value, Option<i32>) {
    let output = check(fleet, "f").arg("--json").args(more).output().unwrap();
    let object = last_object(&output.stdout);
    assert_eq!(object["status"].as_i64(), output.status.code().map(i64::from), "{object}");
    (object, output.status.code())
}

fn secondary<'a>(object: &'a Value, fleet: &Fleet, index: usize) -> &'a Value {
    let address = fleet.secondaries[index].address.to_string();
    let servers = object["servers"].as_array().unwrap();
    servers.iter().find(|server| server["address"] == address).unwrap_or_else(|| panic!("{object}"))
}

#[test]
fn every_secondary_is_reached_and_measured() {
    let fleet = Fleet::start(2, &[("f", &content(SIZE))]);
    let (object, code) = checked(&fleet, &[]);
    assert_eq!(code, Some(0), "{object}");
    assert_eq!((&object["size"], &object["compared"]), (&SIZE.into(), &(8 << 20).into()));
    assert_eq!(object["servers"][0]["role"], "primary");
    for index in 0..2 {
        let server = secondary(&object, &fleet, index);
        assert_eq!((&server["state"], &server["same_bytes"]), (&"live".into(), &true.into()));
        assert!(server["rate"].as_u64().unwrap() > 0 && server["rtt_ms"].is_f64(), "{server}");
        assert!(server["mtu"].as_u64().unwrap() >= 1_280, "{server}");
        assert!(server["cause"].is_null(), "{server}");
    }
    let output = check(&fleet, "f").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(text.matches("same bytes").count(), 3, "{text}");
}

#[test]
fn a_secondary_that_is_down_is_named_with_what_to_do() {
    let mut fleet = Fleet::start(2, &[("f", &content(SIZE))]);
    fleet.secondaries[1].kill();
    let (object, code) = checked(&fleet, &SHORT);
    assert_eq!(code, Some(4), "{object}");
    assert!(secondary(&object, &fleet, 0)["cause"].is_null(), "{object}");
    let down = secondary(&object, &fleet, 1);
    assert_eq!((&down["cause"], &down["bytes"]), (&"unreachable".into(), &0.into()));
    assert!(down["advice"].as_str().unwrap().contains("start `kwik serve` there"), "{down}");
}

#[test]
fn a_secondary_with_another_key_than_the_primary_names_is_refused() {
    // The first one's address with the second one's pin.
    let mut pins = Vec::new();
    let dir = tempfile::tempdir().unwrap();
    let other = common::Server::start(
        dir.path(),
        "other",
        &common::root(dir.path(), "root", &[("f", b"x")]),
        &[],
    );
    pins.push(other.pin.clone());
    let mut fleet = Fleet::start(1, &[("f", &content(SIZE))]);
    let wrong = format!("{}#{}", fleet.secondaries[0].address, pins[0]);
    let args = ["--identity", "keys/primary.key", "--secondary", &wrong];
    let root = fleet.dir.path().join("root-primary");
    fleet.primary = common::Server::start(fleet.dir.path(), "again", &root, &args);
    let (object, code) = checked(&fleet, &SHORT);
    assert_eq!(code, Some(5), "{object}");
    let refused = secondary(&object, &fleet, 0);
    assert_eq!(refused["faults"][0], "IdentityMismatch", "{refused}");
    assert!(refused["advice"].as_str().unwrap().contains("--secondary"), "{refused}");
}

#[test]
fn a_secondary_that_does_not_trust_the_primary_is_refused() {
    let mut fleet = Fleet::start(1, &[("f", &content(SIZE))]);
    let dir = fleet.dir.path().to_owned();
    common::succeed(kwik(&dir).args(["keygen", "--out", "others"]));
    let args = ["--identity", "others/primary.key", "--secondary"];
    let spec = fleet.secondaries[0].as_secondary();
    let args = [&args[..], &[&spec]].concat();
    let root = dir.join("root-primary");
    fleet.primary = common::Server::start(&dir, "again", &root, &args);
    let (object, code) = checked(&fleet, &SHORT);
    assert_eq!(code, Some(5), "{object}");
    let refused = secondary(&object, &fleet, 0);
    assert!(refused["advice"].as_str().unwrap().contains("--trust"), "{refused}");
}

#[test]
fn a_secondary_without_the_file_sends_nothing_and_is_told_apart() {
    let fleet = Fleet::start(1, &[("f", &content(SIZE))]);
    fs::remove_file(fleet.dir.path().join("root-0/f")).unwrap();
    let (object, code) = checked(&fleet, &SHORT);
    assert_eq!(code, Some(8), "{object}");
    let idle = secondary(&object, &fleet, 0);
    assert_eq!((&idle["state"], &idle["cause"]), (&"live".into(), &"timeout".into()));
    assert!(idle["same_bytes"].is_null(), "{idle}");
    assert!(idle["advice"].as_str().unwrap().contains("the same file"), "{idle}");
}

#[test]
fn a_file_that_is_missing_or_small_is_said_to_be() {
    let fleet = Fleet::start(1, &[("f", b"small")]);
    let line = fail(check(&fleet, "absent").arg("--json"), 3);
    assert!(line.contains("absent") && line.contains("does not exist"), "{line}");
    let output = check(&fleet, "f").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("check one of more than 1 MiB"), "{text}");
    let mut nowhere = kwik(fleet.dir.path());
    nowhere.args(["check", "kwik://127.0.0.1:1/f", "--pin", &fleet.primary.pin]);
    fail(&mut nowhere, 4);
    for args in [&["--most", "1MiB"][..], &["--most", "1TiB"], &["--timeout", "0"]] {
        fail(check(&fleet, "f").args(args), 2);
    }
}
