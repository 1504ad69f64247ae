//! Bad input ends with one line that names the thing, and the promised exit code.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use common::{Fleet, fail, kwik, kwik_as_anybody, names, root, succeed};

const PIN: &str = "sha256:abababababababababababababababababababababababababababababababab";

fn named(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is not named: {line}");
    }
}

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_misused_command_line_is_a_usage_error() {
    let dir = temp();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--root", "."];
    let secondary = format!("127.0.0.1:1#{PIN}");
    let cases: [(&[&str], &str); 6] = [
        (&["get", "--frobnicate"], "--frobnicate"),
        (&["frobnicate"], "frobnicate"),
        (&["get", "http://127.0.0.1:1/x"], "kwik://HOST/PATH"),
        (&["get", "kwik://127.0.0.1:1/x", "--pin", "sha256:00"], "--pin"),
        (&["demo", "--size", "potato"], "--size"),
        (&["serve", "--listen", "here", "--root", "."], "--listen"),
    ];
    for (args, name) in cases {
        named(&fail(kwik(dir.path()).args(args), 2), &[name]);
    }
    let line = fail(kwik(dir.path()).args(serve).args(["--secondary", &secondary]), 2);
    named(&line, &["--identity"]);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_path_that_leaves_the_root_is_refused_before_anything_is_sent() {
    let dir = temp();
    for path in [
        "../secret",
        "a/../../secret",
        "%2e%2e/secret",
        "%2E%2E%2Fsecret",
        "/etc/passwd",
        "%2Fetc/passwd",
        "a%00b",
        "",
    ] {
        let url = format!("kwik://127.0.0.1:1/{path}");
        let line = fail(kwik(dir.path()).args(["get", &url, "--pin", PIN, "-o", "out"]), 1);
        named(&line, &[&url]);
    }
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_file_that_cannot_be_served_is_named_and_nothing_is_left() {
    let fleet = Fleet::start(0, &[("f", b"content")]);
    let root = fleet.dir.path().join("root-primary");
    fs::write(fleet.dir.path().join("secret"), b"secret").unwrap();
    symlink("../secret", root.join("relative-link")).unwrap();
    symlink(fleet.dir.path().join("secret"), root.join("absolute-link")).unwrap();
    fs::create_dir(root.join("directory")).unwrap();
    let before = names(fleet.dir.path());
    for path in ["missing", "f/below", "relative-link", "absolute-link", "directory"] {
        let line = fail(fleet.get(path).args(["-o", "out"]), 3);
        named(&line, &[&fleet.primary.url(path), "the server refuses"]);
    }
    assert_eq!(names(fleet.dir.path()), before);
}

#[test]
fn a_server_with_another_key_is_not_talked_to() {
    let fleet = Fleet::start(0, &[("f", b"content")]);
    let address = fleet.primary.address.to_string();
    let url = fleet.primary.url("f");
    let line = fail(kwik(fleet.dir.path()).args(["get", &url, "--pin", PIN, "-o", "out"]), 5);
    named(&line, &[&address, "pin"]);
    // Neither --pin nor --ca: the system's authorities do not know a self-signed certificate.
    let line = fail(kwik(fleet.dir.path()).args(["get", &url, "-o", "out"]), 5);
    named(&line, &[&address, "--pin"]);
    assert!(!fleet.dir.path().join("out").exists());
    assert!(!fleet.dir.path().join("out.part").exists());
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    let dir = temp();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let url = format!("kwik://{address}/f");
    let line = fail(kwik(dir.path()).args(["get", &url, "--pin", PIN, "-o", "out"]), 4);
    named(&line, &[&address]);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_host_that_does_not_exist_is_named() {
    let dir = temp();
    let url = "kwik://no-such-host.invalid:4433/f";
    let line = fail(kwik(dir.path()).args(["get", url, "--pin", PIN]), 4);
    named(&line, &["no-such-host.invalid"]);
}

#[test]
fn a_port_in_use_is_named() {
    let dir = temp();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = fail(kwik(dir.path()).args(["serve", "--root", ".", "--listen", &address]), 1);
    named(&line, &[&address, "in use"]);
}

#[test]
fn a_root_that_cannot_be_read_is_named() {
    let dir = temp();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let closed = root(dir.path(), "closed", &[]);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    fs::write(dir.path().join("file"), b"").unwrap();
    for root in ["closed", "missing", "file"] {
        let mut serve = kwik_as_anybody(dir.path());
        let line = fail(serve.args(["serve", "--listen", "127.0.0.1:0", "--root", root]), 1);
        named(&line, &[root, "--root"]);
    }
}

#[test]
fn key_files_that_cannot_be_used_are_named() {
    let dir = temp();
    succeed(kwik(dir.path()).args(["keygen", "--out", "keys"]));
    for name in ["nonsense", "private"] {
        fs::write(dir.path().join(name), b"nonsense").unwrap();
    }
    let only_ours = fs::Permissions::from_mode(0o600);
    fs::set_permissions(dir.path().join("private"), only_ours).unwrap();
    let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode();
    assert_eq!(mode("keys/primary.key") & 0o777, 0o600);
    let cases: [(&[&str], &str); 10] = [
        (&["--identity", "missing"], "missing"),
        (&["--identity", "nonsense"], "nonsense"),
        (&["--identity", "private"], "private"),
        (&["--identity", "keys/primary.pub"], "keys/primary.pub"),
        (&["--trust", "missing"], "missing"),
        (&["--trust", "keys/primary.key"], "keys/primary.key"),
        (&["--cert", "missing", "--key", "nonsense"], "missing"),
        (&["--cert", "nonsense", "--key", "nonsense"], "nonsense"),
        (&["--cert", "nonsense", "--key", "private"], "private"),
        (&["--state", "nonsense"], "nonsense"),
    ];
    for (args, name) in cases {
        let mut serve = kwik(dir.path());
        serve.args(["serve", "--listen", "127.0.0.1:0", "--root", "."]);
        named(&fail(serve.args(args), 1), &[name]);
    }
}

#[test]
fn private_keys_that_others_may_read_are_refused() {
    let dir = temp();
    succeed(kwik(dir.path()).args(["keygen", "--out", "keys"]));
    for (name, options) in [
        ("keys/primary.key", &["--identity", "keys/primary.key"][..]),
        ("key.pem", &["--cert", "keys/primary.pub", "--key", "key.pem"]),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, "whatever it is").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut serve = kwik(dir.path());
        serve.args(["serve", "--listen", "127.0.0.1:0", "--root", "."]).args(options);
        named(&fail(&mut serve, 1), &["chmod 600", name]);
    }
}

#[test]
fn keygen_never_overwrites_a_key() {
    let dir = temp();
    succeed(kwik(dir.path()).args(["keygen", "--out", "keys"]));
    let key = fs::read(dir.path().join("keys/primary.key")).unwrap();
    let line = fail(kwik(dir.path()).args(["keygen", "--out", "keys"]), 1);
    named(&line, &["primary.key"]);
    assert_eq!(fs::read(dir.path().join("keys/primary.key")).unwrap(), key);
    fs::remove_file(dir.path().join("keys/primary.key")).unwrap();
    named(&fail(kwik(dir.path()).args(["keygen", "--out", "keys"]), 1), &["primary.pub"]);
    assert!(!dir.path().join("keys/primary.key").exists(), "half a pair is no pair");
}

#[test]
fn a_full_disk_is_named_and_leaves_nothing() {
    let content = common::content(8 << 20);
    let fleet = Fleet::start(0, &[("f", &content), ("tiny", b"x")]);
    for path in ["f", "tiny"] {
        let line = fail(fleet.get(path).args(["-o", "/dev/full"]), 7);
        named(&line, &["/dev/full", "No space left"]);
    }
    assert!(!Path::new("/dev/full.part").exists());
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let fleet = Fleet::start(0, &[("f", b"content")]);
    named(&fail(fleet.get("f").args(["-o", "no/such/dir/f"]), 7), &["no/such/dir/f"]);
    named(&fail(fleet.get("f").args(["-o", "root-primary"]), 7), &["root-primary", "directory"]);
}

#[test]
fn a_secondary_sends_nothing_to_clients_that_come_by_themselves() {
    let fleet = Fleet::start(1, &[("f", b"content")]);
    let secondary = &fleet.secondaries[0];
    let mut get = kwik(fleet.dir.path());
    get.args(["get", &secondary.url("f"), "--pin", &secondary.pin, "-o", "out"]);
    named(&fail(&mut get, 5), &[&secondary.url("f"), "primary"]);
}

#[test]
fn a_content_that_is_larger_than_allowed_is_not_fetched() {
    let fleet = Fleet::start(0, &[("f", b"content")]);
    let line = fail(fleet.get("f").args(["-o", "out", "--max-size", "6"]), 5);
    assert!(line.contains("has 7 bytes") && line.contains("--max-size allows 6"), "{line}");
    let left = names(fleet.dir.path());
    assert!(!left.iter().any(|name| name.starts_with("out")), "{left:?}");
    succeed(fleet.get("f").args(["-o", "out", "--max-size", "7"]));
}
