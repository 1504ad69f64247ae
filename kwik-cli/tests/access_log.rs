//! `kwik serve --access-log`.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::stream::Download;
use common::{Fleet, Server, content, fail, root, succeed, wait_until};
use rustix::process::Signal;
use serde_json::Value;

/// The lines of a log of JSON objects, once there are so many.
fn objects(log: &Path, count: usize) -> Vec<Value> {
    let read = || fs::read_to_string(log).unwrap_or_default();
    wait_until("the line", || read().lines().count() >= count);
    let text = read();
    assert_eq!(text.lines().count(), count, "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_request_has_a_line_with_the_bytes_of_each_source() {
    let content = content(32 << 20);
    let args = ["--access-log", "access.log", "--access-log-format", "json"];
    let fleet =
        Fleet::start_with(1, &[("big", &content), ("small", b"tiny")], &args, |it| it.address);
    let log = fleet.dir.path().join("access.log");
    fleet.warm_up("big");
    succeed(fleet.get("small").args(["-o", "/dev/null"]));
    fail(fleet.get("no%1bthing").args(["-o", "/dev/null"]), 3);
    let report = Download::start(&fleet, "big").succeed(&content);
    let lines = objects(&log, 4);
    let of = |path: &str| lines.iter().rfind(|line| line["path"] == path).unwrap();
    let told = |path: &str| (of(path)["result"].as_str().unwrap(), of(path)["bytes"].as_u64());
    assert_eq!(told("small"), ("Ok", Some(4)));
    assert_eq!(told("no\\u{1b}thing"), ("NotFound", Some(0)));
    assert_eq!(told("big").0, "Ok");
    for line in &lines {
        assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(line["seconds"].as_f64().unwrap() < 120.0, "{line}");
    }
    // Which bytes of two that sent the same counted is not always told; nearly all are.
    let line = of("big");
    let size = content.len() as u64;
    let bytes = line["bytes"].as_u64().unwrap();
    assert!(bytes <= size && bytes >= size - size / 50, "{line} {report}");
    let secondary = fleet.secondaries[0].address.to_string();
    let theirs = line["sources"][&secondary].as_u64().unwrap();
    let paths = report["paths"].as_array().unwrap();
    let path = paths.iter().find(|path| path["address"] == *secondary).unwrap();
    let told = path["bytes"].as_u64().unwrap();
    assert!(theirs > 0 && theirs.abs_diff(told) <= size / 20, "{line} {report}");
    assert_eq!(line["sources"]["primary"].as_u64().unwrap() + theirs, bytes, "{line}");
}

#[test]
fn a_client_that_leaves_is_logged_with_what_it_got() {
    let content = content(32 << 20);
    let args = ["--access-log", "access.log", "--access-log-format", "json"];
    let fleet = Fleet::start_with(0, &[("big", &content)], &args, |it| it.address);
    let mut download = Download::start(&fleet, "big");
    download.read(1 << 20);
    drop(download);
    let lines = objects(&fleet.dir.path().join("access.log"), 1);
    assert_ne!(lines[0]["result"], "Ok", "{lines:?}");
    assert!(lines[0]["bytes"].as_u64().unwrap() >= 1 << 20, "{lines:?}");
}

#[test]
fn a_renamed_log_is_opened_anew_on_sighup() {
    let fleet =
        Fleet::start_with(0, &[("f", b"x")], &["--access-log", "access.log"], |it| it.address);
    let (log, old) = (fleet.dir.path().join("access.log"), fleet.dir.path().join("old.log"));
    let lines = |log: &Path| fs::read_to_string(log).unwrap_or_default().lines().count();
    succeed(fleet.get("f").args(["-o", "/dev/null"]));
    wait_until("the line", || lines(&log) == 1);
    fs::rename(&log, &old).unwrap();
    fleet.primary.send(Signal::HUP);
    wait_until("the new file", || log.exists());
    succeed(fleet.get("f").args(["-o", "/dev/null"]));
    wait_until("the line", || lines(&log) == 1);
    assert_eq!(lines(&old), 1);
    let line = fs::read_to_string(&log).unwrap();
    assert!(line.contains(" \"f\" Ok 1 ") && line.contains(" primary=1"), "{line}");
}

#[test]
fn a_disk_that_is_full_holds_up_no_transfer() {
    let content = content(4 << 20);
    let port = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let metrics = port();
    let address = metrics.to_string();
    let args = ["--access-log", "/dev/full", "--metrics", &address];
    let fleet = Fleet::start_with(0, &[("f", &content)], &args, |it| it.address);
    for _ in 0..3 {
        Download::start(&fleet, "f").succeed(&content);
    }
    wait_until("the count", || common::metric(metrics, "kwik_access_log_dropped_total") >= 3.0);
    let lines = fleet.primary.logged(&["access log was left out"]);
    assert!(!lines.is_empty());
}

#[test]
fn a_log_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    root(dir.path(), "root", &[("f", b"x")]);
    let mut serve = common::kwik(dir.path());
    serve.args(["serve", "--listen", "127.0.0.1:0", "--root", "root", "--access-log", "no/log"]);
    let line = fail(&mut serve, 1);
    assert!(line.contains("no/log") && line.contains("--access-log"), "{line}");
}

#[test]
fn what_was_logged_is_written_before_the_end() {
    let fleet =
        Fleet::start_with(0, &[("f", b"x")], &["--access-log", "access.log"], |it| it.address);
    succeed(fleet.get("f").args(["-o", "/dev/null"]));
    let Fleet { dir, primary, .. } = fleet;
    assert_eq!(Server::signal(primary, Signal::TERM), Some(0));
    let log = fs::read_to_string(dir.path().join("access.log")).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
}
