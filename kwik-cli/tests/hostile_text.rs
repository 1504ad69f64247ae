//! Names that would forge a line, move a cursor or turn the direction of what is read.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Server, fail, kwik, root, succeed};

/// Escape sequences of both kinds, line ends, and characters that reverse text or separate lines.
const NAME: &str =
    "a\u{1b}[2J\u{9b}1A\r\n2026-01-01T00:00:00.000000Z  WARN forged\u{202e}\u{2028}\u{200f}z";

fn encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Fails if `text` has more than the line ends of whole lines that none of the name's harmful characters begins.
fn is_harmless(text: &str) {
    let harmful = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{200f}')
    };
    assert!(!text.contains(harmful), "{text:?}");
    let forged =
        |line: &str| line.trim_start().starts_with("2026-01-01") && line.contains("forged");
    assert!(!text.lines().any(forged), "{text:?}");
}

#[test]
fn a_hostile_name_is_fetched_and_shown_harmlessly() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path(), "root", &[(NAME, b"content")]);
    let server = Server::start(dir.path(), "state", &root, &[]);
    let url = server.url(&encoded(NAME));
    let told = succeed(kwik(dir.path()).args(["get", &url, "--pin", &server.pin, "-o", "out"]));
    let shown = String::from_utf8([told.stdout, told.stderr].concat()).unwrap();
    is_harmless(&shown);
    assert!(shown.contains(r"\u{1b}[2J"), "{shown:?}");
    assert_eq!(fs::read(dir.path().join("out")).unwrap(), b"content");
}

#[test]
fn a_hostile_name_of_no_file_forges_nothing_at_either_end() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path(), "root", &[("f", b"content")]);
    let server = Server::start(dir.path(), "state", &root, &[]);
    // No file system takes the second: that is in the server's log.
    for (name, code) in [(NAME.to_owned(), 3), (format!("{}{NAME}", "x".repeat(300)), 5)] {
        let url = server.url(&encoded(&name));
        is_harmless(&fail(
            kwik(dir.path()).args(["get", &url, "--pin", &server.pin, "-o", "out"]),
            code,
        ));
        // As the shell would give it, without the encoding.
        let url = server.url(&name);
        is_harmless(&fail(
            kwik(dir.path()).args(["get", &url, "--pin", &server.pin, "-o", "out"]),
            code,
        ));
    }
    let log = server.logged(&[]).join("\n");
    assert!(log.contains("not readable"), "{log:?}");
    is_harmless(&log);
}
