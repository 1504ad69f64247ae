//! `kwik serve --config`: where settings come from, and what is said of those that are wrong.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{content, fail, kwik, root, succeed};

fn check(dir: &Path, config: &str) -> Command {
    fs::write(dir.join("kwik.toml"), config).unwrap();
    let mut command = kwik(dir);
    command.args(["serve", "--config", "kwik.toml", "--check-config"]);
    command
}

/// What is said of settings that are wrong, line by line.
fn faults(mut command: Command, code: i32) -> Vec<String> {
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(output.stdout.is_empty());
    stderr.lines().map(str::to_owned).collect()
}

#[test]
fn the_example_in_the_documentation_is_good() {
    let page = include_str!("../../docs/serving.md");
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    // What the example names, here and not in the system's directories.
    let example = example.replace("/etc/kwik/", "etc/").replace("/srv/", "srv/");
    let example = example.replace("/var/", "var/");
    let example = &example;
    for made in ["etc", "srv/models", "var/lib/kwik", "var/log"] {
        fs::create_dir_all(dir.path().join(made)).unwrap();
    }
    succeed(kwik(dir.path()).args(["keygen", "--out", "etc/keys"]));
    fs::rename(dir.path().join("etc/keys/primary.key"), dir.path().join("etc/primary.key"))
        .unwrap();
    fs::copy(dir.path().join("etc/keys/primary.pub"), dir.path().join("etc/other.pub")).unwrap();
    fs::write(dir.path().join("etc/chain.pem"), pair.cert.pem()).unwrap();
    private(&dir.path().join("etc/key.pem"), &pair.signing_key.serialize_pem());
    let output = succeed(&mut check(dir.path(), example));
    assert_eq!(str::from_utf8(&output.stdout).unwrap(), "the settings are good\n");
    // All options are in it, but for those that say where settings are.
    let help = succeed(kwik(dir.path()).args(["serve", "--help"])).stdout;
    let help = String::from_utf8(help).unwrap();
    let named = help
        .lines()
        .filter_map(|line| line.trim().split_once("--"))
        .map(|(_, rest)| rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap());
    for option in named.filter(|name| !["config", "check-config", "help", "version"].contains(name))
    {
        let key = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{option} = "));
        assert!(example.lines().any(key), "{option} is missing");
    }
    // And it can be wrong.
    fs::remove_dir(dir.path().join("srv/models")).unwrap();
    let lines = faults(check(dir.path(), example), 1);
    assert!(
        lines.len() == 1 && lines[0].contains("kwik.toml:") && lines[0].contains("root"),
        "{lines:?}"
    );
}

fn private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn every_fault_is_told_with_its_line_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let lines = faults(check(dir.path(), "listen = '127.0.0.1'\nrot = 'x'\nmax-mtu = true\n"), 2);
    let expected = ["kwik: kwik.toml:2:1: ", "kwik: kwik.toml:3:11: ", "kwik: kwik.toml:1:1: "];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, begin) in lines.iter().zip(expected) {
        assert!(line.starts_with(begin), "{lines:?}");
    }
    assert!(lines[0].contains("'root'"), "the nearest one: {lines:?}");
}

#[test]
fn files_that_the_settings_name_are_looked_at_too() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("open.key"), "x").unwrap();
    let config =
        "listen = '127.0.0.1:0'\nroot = 'nowhere'\nidentity = 'open.key'\ntrust = ['gone.pub']\n";
    let lines = faults(check(dir.path(), config), 1);
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, parts) in lines.iter().zip([
        ["kwik.toml:2:1: root", "nowhere"],
        ["kwik.toml:3:1: identity", "chmod 600 open.key"],
        ["kwik.toml:4:1: trust", "gone.pub"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{lines:?}");
    }
    // Nothing was made.
    assert!(!dir.path().join("state").exists());
    // A server does not start with them either.
    fs::write(dir.path().join("kwik.toml"), config).unwrap();
    let line = fail(kwik(dir.path()).args(["serve", "--config", "kwik.toml"]), 1);
    assert!(line.contains("kwik.toml:2:1: root"), "{line}");
}

#[test]
fn text_from_a_file_does_not_reach_the_terminal_raw() {
    let dir = tempfile::tempdir().unwrap();
    let lines = faults(
        check(dir.path(), "\"\\u001b[2Jx\\n\" = 1\nroot = \"\\u202e\"\nlisten = \"\\u0007\"\n"),
        2,
    );
    assert!(!lines.is_empty());
    assert!(lines.iter().all(|line| line.chars().all(|c| !c.is_control() && c != '\u{202e}')));
}

#[test]
fn a_server_runs_by_its_file_and_variables() {
    let dir = tempfile::tempdir().unwrap();
    root(dir.path(), "root", &[("f", &content(1000))]);
    let config = "root = 'root'\nlisten = 'localhost:0'\nstate = 'kept'\njson = false\n";
    fs::write(dir.path().join("kwik.toml"), config).unwrap();
    let mut serve = kwik(dir.path());
    serve.args(["serve"]).env("KWIK_CONFIG", "kwik.toml").env("KWIK_JSON", "true");
    let server = common::Server::of(serve, dir.path().join("log"));
    assert!(server.address.ip().is_loopback() && server.address.port() != 0);
    succeed(kwik(dir.path()).args(["get", &server.url("f"), "--pin", &server.pin]));
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), content(1000));
    assert!(dir.path().join("kept/server.pem").exists());
}

#[test]
fn a_name_without_an_address_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = "root = '.'\nlisten = 'nobody.invalid:4433'\nstate = 'kept'\n";
    fs::write(dir.path().join("kwik.toml"), config).unwrap();
    let line = fail(kwik(dir.path()).args(["serve", "--config", "kwik.toml"]), 1);
    assert!(line.contains("kwik.toml:2:1") && line.contains("nobody.invalid:4433"), "{line}");
}
