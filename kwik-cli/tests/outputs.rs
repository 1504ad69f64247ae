//! Where the bytes and the words of `kwik` go.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use common::{Fleet, Server, fail, kwik, names, root, succeed};

/// A `kwik get` of `f` within a script of the shell's.
fn scripted(fleet: &Fleet, script: &str) -> Command {
    let get = fleet.get("f");
    let mut shell = Command::new("bash");
    shell.args(["-euc", script, "bash"]).arg(get.get_program()).args(get.get_args());
    shell.current_dir(fleet.dir.path());
    shell
}

#[test]
fn standard_output_by_any_name_is_written_to_and_not_replaced() {
    let fleet = Fleet::start(0, &[("f", b"content")]);
    for name in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let script = format!("(echo head; \"$@\" -o {name} 2>report; echo tail) >out");
        succeed(&mut scripted(&fleet, &script));
        let read = |name| fs::read_to_string(fleet.dir.path().join(name)).unwrap();
        assert_eq!(read("out"), "head\ncontenttail\n", "{name}");
        assert!(read("report").contains("7 B"), "{name}");
    }
    let mut third = scripted(&fleet, "exec 3>>out; \"$@\" -o /dev/fd/3");
    let line = fail(&mut third, 7);
    assert!(line.contains("open already"), "{line}");
}

#[test]
fn a_standard_error_that_takes_nothing_changes_no_outcome() {
    let fleet = Fleet::start(0, &[("f", b"content")]);
    for (more, code) in [("-o out", 0), ("-o out --max-size 1", 5), ("--nonsense", 2)] {
        let script = format!("code=0; \"$@\" {more} 2>/dev/full || code=$?; test $code = {code}");
        succeed(&mut scripted(&fleet, &script));
    }
    // What is printed in the end is lost, and that is told by the code; the file is whole.
    succeed(&mut scripted(&fleet, "! \"$@\" -o whole >/dev/full 2>said"));
    let said = fs::read_to_string(fleet.dir.path().join("said")).unwrap();
    assert!(said.contains("the file is whole"), "{said}");
    assert_eq!(fs::read(fleet.dir.path().join("whole")).unwrap(), b"content");
}

#[test]
fn a_server_whose_log_takes_nothing_serves_on() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path(), "root", &[("f", b"content"), ("g", b"more")]);
    let server = Server::start_logging(dir.path(), "state", &root, "/dev/full".as_ref());
    // It has to warn: what it knows of hashes cannot be kept.
    fs::remove_dir_all(dir.path().join("state/tags")).unwrap();
    fs::write(dir.path().join("state/tags"), b"").unwrap();
    for name in ["f", "g"] {
        let get = ["get", &server.url(name), "--pin", &server.pin, "-o", name];
        succeed(kwik(dir.path()).args(get));
    }
}

#[test]
fn a_link_to_nothing_stays_and_its_file_is_made() {
    let fleet = Fleet::start(0, &[("f", b"content")]);
    let dir = fleet.dir.path();
    fs::create_dir_all(dir.join("links")).unwrap();
    fs::create_dir_all(dir.join("data")).unwrap();
    symlink("../data/file", dir.join("links/out")).unwrap();
    succeed(fleet.get("f").args(["-o", "links/out"]));
    assert_eq!(names(&dir.join("links")), ["out"]);
    assert_eq!(names(&dir.join("data")), ["file"]);
    assert_eq!(fs::read(dir.join("data/file")).unwrap(), b"content");
    symlink("loop", dir.join("loop")).unwrap();
    let line = fail(fleet.get("f").args(["-o", "loop"]), 7);
    assert!(line.contains("loop"), "{line}");
}

#[test]
fn a_directory_that_is_not_there_is_refused_before_the_first_byte() {
    let fleet = Fleet::start(0, &[("f", b"content")]);
    let line = fail(fleet.get("f").args(["-o", "new/"]), 7);
    assert!(line.contains("new/") && line.contains("directory"), "{line}");
    assert!(!names(fleet.dir.path()).iter().any(|name| name.starts_with("new")));
}
