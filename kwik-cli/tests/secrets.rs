//! What is secret is in no log, however much is logged.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Server, content, kwik, root, succeed, wait_until};

#[test]
fn no_log_has_a_key_or_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    succeed(kwik(dir).args(["keygen", "--out", "keys"]));
    let (file, trust) = (content(4 << 20), ["--trust", "keys/primary.pub"]);
    let files = [("f", &*file)];
    let edge = Server::start_tracing(dir, "edge", &root(dir, "edge-files", &files), &trust);
    let secondary = edge.as_secondary();
    let helped = ["--identity", "keys/primary.key", "--secondary", secondary.as_str()];
    let primary = Server::start_tracing(dir, "primary", &root(dir, "files", &files), &helped);
    let mut get = kwik(dir);
    get.args(["get", &primary.url("f"), "--pin", &primary.pin, "-o", "out"]);
    get.env("KWIK_LOG", "trace");
    // Until the token was shown: the end of the session that it opens is told of.
    let mut told = String::new();
    wait_until("a session with the secondary", || {
        told += &String::from_utf8(succeed(&mut get).stderr).unwrap();
        !edge.logged(&["session{id="]).is_empty()
    });
    assert_eq!(fs::read(dir.join("out")).unwrap(), file);
    let log = |server: &Server| server.logged(&[]).join("\n");
    let logs = [told, log(&primary), log(&edge)];

    let identity = fs::read_to_string(dir.join("keys/primary.key")).unwrap();
    let mut secrets = vec!["v4.public.".to_owned()];
    secrets.push(identity.trim().strip_prefix("k4.secret.").unwrap().to_owned());
    for state in ["edge", "primary"] {
        let pem = fs::read_to_string(dir.join(state).join("server.pem")).unwrap();
        let (_, key) = pem.split_once("PRIVATE KEY-----\n").unwrap();
        secrets.push(key.lines().next().unwrap().to_owned());
    }
    for log in &logs {
        assert!(log.contains("DEBUG"), "nothing is logged: {log}");
        for secret in &secrets {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
    }
}
