//! What runs in the process that is attacked. It says where it is, then answers the questions on its standard input.

use std::io::{Write as _, stdin, stdout};

use serde_json::Value;
use tracing_subscriber::EnvFilter;

/// Runs as that victim until standard input ends.
pub(crate) fn run(args: &[String]) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (role, args) = args.split_first().expect("a victim has a role");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match &**role {
        "primary" => super::server::primary(&runtime, &args),
        "secondary" => super::server::secondary(&runtime, &args),
        "client" => super::client::client(&runtime),
        "names" => super::names::names(&runtime, &args),
        "clients" => return crate::soak::clients::run(&args),
        other => panic!("no such victim: {other}"),
    }
    runtime.shutdown_background();
}

/// Says one line.
pub(crate) fn say(value: &Value) {
    let mut out = stdout().lock();
    writeln!(out, "{value}").unwrap();
    out.flush().unwrap();
}

/// Answers questions until there are no more.
pub(crate) fn answer(mut answer: impl FnMut(&[&str]) -> Value) {
    for question in stdin().lines() {
        let question = question.unwrap();
        say(&answer(&question.split(' ').collect::<Vec<_>>()));
    }
}
