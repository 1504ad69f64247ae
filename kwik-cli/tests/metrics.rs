//! `kwik serve --metrics`.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::TcpListener;

use common::{Server, fail, fetch_metrics, kwik, root, succeed};

#[test]
fn requests_and_bytes_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path(), "root", &[("f", b"content")]);
    // Free a moment ago, and the system does not give it to another soon.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start(dir.path(), "state", &root, &["--metrics", &address.to_string()]);
    succeed(kwik(dir.path()).args(["get", &server.url("f"), "--pin", &server.pin]));
    fail(kwik(dir.path()).args(["get", &server.url("g"), "--pin", &server.pin]), 1);
    let answer = fetch_metrics(address);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for line in [
        "kwik_requests_total{outcome=\"found\"} 1",
        "kwik_requests_total{outcome=\"failed\"} 1",
        "kwik_sent_bytes_total{role=\"primary\"} 7",
    ] {
        assert!(answer.lines().any(|found| found == line), "{line} is missing: {answer}");
    }
}

#[test]
fn an_address_in_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut serve = kwik(dir.path());
    serve.args(["serve", "--listen", "127.0.0.1:0", "--root", ".", "--metrics", &address]);
    let line = fail(&mut serve, 1);
    assert!(line.contains(&address) && line.contains("--metrics"), "{line}");
}
