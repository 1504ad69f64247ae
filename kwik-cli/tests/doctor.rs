//! `kwik doctor`.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use common::{kwik, succeed};
use serde_json::Value;

fn doctor(dir: &Path, args: &[&str]) -> Output {
    kwik(dir).arg("doctor").args(args).output().unwrap()
}

/// The finding about that, of an object.
fn finding<'a>(object: &'a Value, what: &str) -> &'a Value {
    let findings = object["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["what"] == what).unwrap_or_else(|| panic!("{object}"))
}

fn object(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_machine_in_order_has_no_problem_and_everything_is_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let output = succeed(kwik(dir.path()).args(["doctor", "--listen", "127.0.0.1:0", "--json"]));
    let object = object(&output);
    assert_eq!(object["status"], 0);
    for what in [
        "UDP receive buffer",
        "UDP send buffer",
        "UDP segmentation (GSO)",
        "UDP coalescing (GRO)",
        "UDP port",
        "open files",
        "clock",
        "state directory",
    ] {
        let finding = finding(&object, what);
        let grade = finding["grade"].as_str().unwrap();
        assert_ne!(grade, "problem", "{finding}");
        // What is not as it should be says what to do.
        assert_eq!(grade == "warning", finding["advice"].is_string(), "{finding}");
    }
    assert!(!dir.path().join("state").exists(), "it looks and makes nothing");
    let text = String::from_utf8(doctor(dir.path(), &[]).stdout).unwrap();
    assert!(text.lines().count() >= 8 && text.contains("clock"), "{text}");
}

#[test]
fn a_port_that_is_taken_is_named_with_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = doctor(dir.path(), &["--listen", &address, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty(), "what is wrong stands in the object");
    let object = object(&output);
    let port = finding(&object, "UDP port");
    assert_eq!((&port["grade"], &object["status"]), (&"problem".into(), &1.into()));
    assert!(port["found"].as_str().unwrap().contains(&address), "{port}");
    assert!(port["advice"].as_str().unwrap().contains("ss -ulpn"), "{port}");
}

#[test]
fn a_key_that_others_may_read_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    succeed(kwik(dir.path()).args(["keygen", "--out", "keys"]));
    let key = dir.path().join("keys/primary.key");
    let listen = ["--listen", "127.0.0.1:0", "--key", "keys/primary.key"];
    assert_eq!(doctor(dir.path(), &listen).status.code(), Some(0));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let output = doctor(dir.path(), &listen);
    assert_eq!(output.status.code(), Some(7));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("PROBLEM  key file"), "{text}");
    assert!(text.contains("-> run chmod 600 keys/primary.key"), "{text}");
}

#[test]
fn nonsense_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["--listen", "here"][..], &["--listen", ""], &["--frobnicate"], &["extra"]] {
        assert_eq!(doctor(dir.path(), args).status.code(), Some(2), "{args:?}");
    }
}
