//! Files come over whole: from several servers, from one, and when one of them dies.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use common::{Fleet, Server, bytes_by_path, content, kwik, last_object, root, succeed};
use rustix::process::Signal;

const SIZES: [(&str, usize); 4] =
    [("empty", 0), ("one", 1), ("small", 1 << 20), ("large", 64 << 20)];

fn files() -> Vec<(&'static str, Vec<u8>)> {
    SIZES.iter().map(|(name, len)| (*name, content(*len))).collect()
}

fn borrowed<'a>(files: &'a [(&'a str, Vec<u8>)]) -> Vec<(&'a str, &'a [u8])> {
    files.iter().map(|(name, content)| (*name, &content[..])).collect()
}

#[test]
fn files_of_every_size_arrive_equal_from_three_servers() {
    let files = files();
    let fleet = Fleet::start(2, &borrowed(&files));
    for (name, content) in &files {
        let output = succeed(fleet.get(name).args(["-o", "out", "--json"]));
        assert!(fs::read(fleet.dir.path().join("out")).unwrap() == *content, "{name} differs");
        let report = last_object(&output.stdout);
        assert_eq!(report["bytes"], content.len());
        assert_eq!(report["blake3"], blake3::hash(content).to_hex().as_str());
        let bytes = bytes_by_path(&report);
        if *name == "large" {
            assert_eq!(bytes.len(), 3, "{report}");
            assert!(bytes.iter().all(|bytes| *bytes > 0), "{report}");
        } else {
            let secondaries: u64 = bytes[1..].iter().sum();
            assert_eq!(secondaries, 0, "small files come from the primary alone: {report}");
        }
    }
}

#[test]
fn the_same_client_fetches_from_a_primary_without_secondaries() {
    let files = files();
    let fleet = Fleet::start(0, &borrowed(&files));
    for (name, content) in &files {
        let output = succeed(fleet.get(name).args(["-o", "out", "--json"]));
        assert!(fs::read(fleet.dir.path().join("out")).unwrap() == *content, "{name} differs");
        assert_eq!(bytes_by_path(&last_object(&output.stdout)), [content.len() as u64]);
    }
}

#[test]
fn a_file_lands_under_its_own_name_by_default() {
    let fleet = Fleet::start(0, &[("small file", b"content")]);
    let output = succeed(fleet.get("small%20file").arg("--quiet"));
    assert_eq!(fs::read(fleet.dir.path().join("small file")).unwrap(), b"content");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn with_standard_output_the_report_goes_to_standard_error() {
    let fleet = Fleet::start(0, &[("f", b"content")]);
    let output = succeed(fleet.get("f").args(["-o", "-", "--json"]));
    assert_eq!(output.stdout, b"content");
    assert_eq!(last_object(&output.stderr)["bytes"], 7);
}

#[test]
fn a_delegate_only_primary_leaves_a_large_file_to_its_secondaries() {
    let content = content(16 << 20);
    let files: &[(&str, &[u8])] = &[("f", &content)];
    let fleet = Fleet::start(1, files);
    let secondary = fleet.secondaries[0].as_secondary();
    let args = ["--identity", "keys/primary.key", "--secondary", &secondary, "--delegate-only"];
    let root = fleet.dir.path().join("root-primary");
    let primary = Server::start(fleet.dir.path(), "delegating", &root, &args);
    let mut get = kwik(fleet.dir.path());
    get.args(["get", &primary.url("f"), "--pin", &primary.pin, "-o", "out", "--json"]);
    // A first time, so that the secondary has its copy hashed.
    succeed(&mut get);
    let report = last_object(&succeed(&mut get).stdout);
    assert!(fs::read(fleet.dir.path().join("out")).unwrap() == content);
    let bytes = bytes_by_path(&report);
    assert!(bytes[1] > bytes[0], "{report}");
}

#[test]
fn a_secondary_with_another_content_is_not_believed() {
    let good = content(16 << 20);
    let mut other = good.clone();
    other[9 << 20] ^= 1;
    let fleet = Fleet::start(2, &[("f", &good)]);
    fs::write(fleet.dir.path().join("root-0/f"), other).unwrap();
    for _ in 0..2 {
        succeed(fleet.get("f").args(["-o", "out"]));
        assert!(fs::read(fleet.dir.path().join("out")).unwrap() == good);
    }
}

#[test]
fn a_killed_secondary_does_not_spoil_the_file() {
    // More than a window, so that much of it is still to be sent when the secondary dies.
    let content = content(128 << 20);
    let mut fleet = Fleet::start(2, &[("f", &content)]);
    // A first time, so that the secondaries have their copies hashed and take part from the start.
    succeed(fleet.get("f").args(["-o", "/dev/null"]));
    let mut get = fleet
        .get("f")
        .args(["-o", "-", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // What is not read here is not sent: the window holds the servers back in the middle of the file.
    let mut stdout = get.stdout.take().unwrap();
    let mut received = vec![0; 16 << 20];
    stdout.read_exact(&mut received).unwrap();
    let address = fleet.secondaries[0].address.to_string();
    fleet.secondaries[0].kill();
    stdout.read_to_end(&mut received).unwrap();
    let output = get.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(received == content, "the file differs");
    let report = last_object(stderr.as_bytes());
    bytes_by_path(&report);
    let paths = report["paths"].as_array().unwrap();
    let killed = paths.iter().find(|path| path["address"] == address.as_str()).unwrap();
    let sent = killed["bytes"].as_u64().unwrap();
    assert!(0 < sent && sent < 120 << 20, "killed in the middle of its work: {report}");
}

#[test]
fn a_killed_primary_is_named_and_nothing_is_left() {
    let content = content(128 << 20);
    let mut fleet = Fleet::start(0, &[("f", &content)]);
    let mut get = fleet.get("f");
    get.args(["-o", "-", "--timeout", "2"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut get = get.spawn().unwrap();
    let mut stdout = get.stdout.take().unwrap();
    stdout.read_exact(&mut vec![0; 1 << 20]).unwrap();
    let address = fleet.primary.address.to_string();
    fleet.primary.kill();
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    let output = get.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains(&address) && stderr.lines().count() == 1, "{stderr}");
    assert!(rest.len() < 127 << 20);
}

#[test]
fn an_interrupted_get_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("kwik://{}/f", silent.local_addr().unwrap());
    let pin = format!("sha256:{}", "00".repeat(32));
    let mut get = kwik(dir.path());
    get.args(["get", &url, "--pin", &pin, "-o", "out"]).stderr(Stdio::piped());
    let get = get.spawn().unwrap();
    // Its first packet tells that it is on its way, with its output open.
    silent.recv(&mut [0; 2048]).unwrap();
    assert_eq!(common::names(dir.path()), ["out.part", "out.part.kwik"]);
    rustix::process::kill_process(rustix::process::Pid::from_child(&get), Signal::INT).unwrap();
    let output = get.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("interrupted") && stderr.lines().count() == 1, "{stderr}");
    assert!(common::names(dir.path()).is_empty());
}

#[test]
fn a_secondary_that_never_was_there_does_not_hinder() {
    let content = content(16 << 20);
    let dir = tempfile::tempdir().unwrap();
    succeed(kwik(dir.path()).args(["keygen", "--out", "keys"]));
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let secondary = format!("{}#sha256:{}", silent.local_addr().unwrap(), "00".repeat(32));
    let root = root(dir.path(), "root", &[("f", &content)]);
    let args = ["--identity", "keys/primary.key", "--secondary", &secondary];
    let primary = Server::start(dir.path(), "primary", &root, &args);
    let mut get = kwik(dir.path());
    succeed(get.args(["get", &primary.url("f"), "--pin", &primary.pin, "-o", "out"]));
    assert!(fs::read(dir.path().join("out")).unwrap() == content);
    assert_eq!(primary.signal(Signal::TERM), Some(0));
    let log = fs::read_to_string(dir.path().join("primary.log")).unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    assert!(log.contains(&silent), "the operator is told: {log}");
}

#[test]
fn a_server_is_found_under_any_of_its_addresses() {
    // Where localhost is ::1 first, nobody answers there.
    let fleet = Fleet::start(0, &[("f", b"content")]);
    let url = format!("kwik://localhost:{}/f", fleet.primary.address.port());
    let mut get = kwik(fleet.dir.path());
    succeed(get.args(["get", &url, "--pin", &fleet.primary.pin]));
    assert_eq!(fs::read(fleet.dir.path().join("f")).unwrap(), b"content");
}

#[test]
fn a_server_ends_well_when_it_is_told_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().unwrap();
        let root = root(dir.path(), "root", &[]);
        let server = Server::start(dir.path(), "state", &root, &[]);
        assert_eq!(server.signal(signal), Some(0), "{signal:?}");
    }
}

#[test]
fn the_first_line_of_serve_is_address_and_pin() {
    use std::io::BufRead as _;

    let dir = tempfile::tempdir().unwrap();
    let mut command = kwik(dir.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--root", "."]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    let ["listening", "on", address, "pin", pin] = words[..] else { panic!("{line}") };
    assert!(address.parse::<std::net::SocketAddr>().unwrap().port() > 0);
    assert!(pin.starts_with("sha256:") && pin.len() == 7 + 64, "{pin}");
}

#[test]
fn a_server_keeps_its_pin_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path(), "root", &[]);
    let first = Server::start(dir.path(), "state", &root, &[]).pin.clone();
    assert_eq!(Server::start(dir.path(), "state", &root, &[]).pin, first);
    assert_ne!(Server::start(dir.path(), "other", &root, &[]).pin, first);
}
