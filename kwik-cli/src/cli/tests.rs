#![allow(clippy::unwrap_used)]

use clap::CommandFactory as _;

use super::*;

const PIN: &str = "sha256:abababababababababababababababababababababababababababababababab";

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("kwik").chain(line.split_whitespace()))
}

/// The settings of some server.
pub(crate) fn serve_args() -> ServeArgs {
    let line = "serve --listen 127.0.0.1:0 --root .";
    let Command::Serve(args) = parse(line).unwrap().command else { panic!() };
    args
}

fn refusal(line: &str) -> String {
    let error = parse(line).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{line}");
    usage_line(&error)
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_documented_commands_are_taken() {
    for line in [
        "demo".to_owned(),
        "demo --secondaries 0 --size 1MiB --json".to_owned(),
        "keygen --out d".to_owned(),
        "serve --listen 127.0.0.1:0 --root d".to_owned(),
        "serve --listen 127.0.0.1:0 --root d --congestion cubic".to_owned(),
        "serve --listen localhost:4433 --root d --max-sessions 9 --max-sessions-of-address 3".to_owned(),
        "serve --listen h:0 --root d --send-memory 64MiB --receive-memory 1GiB --reader-patience 1m".to_owned(),
        "serve --listen h:0 --root d --config kwik.toml --check-config".to_owned(),
        "serve --listen [::]:4433 --root d --cert c --key k --state s --json".to_owned(),
        format!(
            "serve --listen 127.0.0.1:0 --root d --identity i --secondary 1.2.3.4:5#{PIN} --secondary edge.example:5#{PIN} --delegate-only --no-proof"
        ),
        "serve --listen 127.0.0.1:0 --root d --trust a --trust b --metrics 127.0.0.1:9".to_owned(),
        "get kwik://h:1/x".to_owned(),
        "get kwik://h:1/x -o - --ca c --json --quiet".to_owned(),
        format!("get kwik://h:1/x -o f --pin {PIN}"),
        format!("get kwik://h:1/x kwik://i:1/x --pin {PIN} --pin {PIN} --no-resume"),
        "get kwik://h:1/x --timeout 500ms --connect-timeout 3".to_owned(),
        "get kwik://h/x -P new/dir --max-rate 10MB".to_owned(),
        format!("get kwik://h/x --pin {}", PIN.to_uppercase()),
        "serve --listen 127.0.0.1:0 --root d --live".to_owned(),
        "serve --listen 127.0.0.1:0 --root d --live --live-anywhere --metrics 0.0.0.0:9".to_owned(),
        "doctor".to_owned(),
        "doctor --listen 127.0.0.1:0 --state s --key a --key b --json".to_owned(),
        format!(
            "check kwik://h/x --pin {PIN} --most 2MiB --timeout 5s --connect-timeout 1s --json"
        ),
        "top".to_owned(),
        "top [::1]:9433".to_owned(),
        "completions zsh".to_owned(),
        "man".to_owned(),
    ] {
        parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn the_demo_has_three_secondaries_and_256_mib_by_default() {
    let Command::Demo(demo) = parse("demo").unwrap().command else { panic!() };
    assert_eq!((demo.secondaries, demo.size), (3, ByteSize(256 << 20)));
}

#[test]
fn a_misused_command_line_is_named_in_one_line() {
    for (line, named) in [
        ("get --frobnicate kwik://h:1/x".to_owned(), "--frobnicate"),
        ("fetch".to_owned(), "fetch"),
        ("get".to_owned(), "<URL>"),
        ("get http://h:1/x".to_owned(), "kwik://HOST/PATH"),
        ("get kwik://h:1/x --pin sha256:00".to_owned(), "--pin"),
        ("get kwik://h:1/x --timeout soon".to_owned(), "500ms"),
        ("get kwik://h:1/x --connect-timeout 0".to_owned(), "--connect-timeout"),
        (format!("get kwik://h:1/x --ca c --pin {PIN}"), "--ca"),
        ("serve --root d".to_owned(), "--listen"),
        ("serve --listen 127.0.0.1:0".to_owned(), "--root"),
        ("serve --listen localhost --root d".to_owned(), "IP:PORT"),
        ("serve --listen 127.0.0.1.1:1 --root d".to_owned(), "IP:PORT"),
        ("serve --listen 127.0.0.1:99999 --root d".to_owned(), "IP:PORT"),
        ("serve --listen a@b:1 --root d".to_owned(), "IP:PORT"),
        ("serve --listen 127.0.0.1:0 --root d --max-sessions 0".to_owned(), "--max-sessions"),
        ("serve --listen 127.0.0.1:0 --root d --send-memory 1".to_owned(), "at least"),
        ("serve --listen 127.0.0.1:0 --root d --root e".to_owned(), "--root"),
        ("serve --listen 127.0.0.1:0 --root d --cert c".to_owned(), "--key"),
        (format!("serve --listen 127.0.0.1:0 --root d --secondary 1.2.3.4:5#{PIN}"), "--identity"),
        (
            "serve --listen 127.0.0.1:0 --root d --identity i --secondary 1.2.3.4:5".to_owned(),
            "ADDR#PIN",
        ),
        (
            format!("serve --listen 127.0.0.1:0 --root d --identity i --secondary 1.2.3.4#{PIN}"),
            "HOST:PORT",
        ),
        ("demo --size potato".to_owned(), "256MiB"),
        ("demo --secondaries 17".to_owned(), "--secondaries"),
        ("keygen".to_owned(), "--out"),
        ("check kwik://h/x --most 1MiB".to_owned(), "more than 1MiB"),
        ("check".to_owned(), "<URL>"),
        ("top localhost".to_owned(), "IP:PORT"),
        ("serve --listen 127.0.0.1:0 --root d --live-anywhere".to_owned(), "--live"),
    ] {
        let message = refusal(&line);
        assert!(message.contains(named), "{line}: {message}");
        assert!(!message.contains('\n'), "{message}");
        assert!(message.ends_with("try 'kwik --help'"), "{message}");
        assert!(!message.contains("error:"), "{message}");
    }
}

#[test]
fn a_url_that_leaves_the_root_is_no_usage_error() {
    assert!(parse("get kwik://h:1/../x").is_ok());
}
