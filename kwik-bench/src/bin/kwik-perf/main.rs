//! `kwik-perf`: whole-system measurements of KWIK, each beside its rival, a bare s2n-quic connection, in one run.
//!
//! Server and client are processes of their own: the program starts itself with a hidden subcommand for each
//! ([`role`]), talks to them in lines of JSON ([`child`]), and ends them by closing their standard input. A scenario is
//! one file, a function from [`cli::Options`] to a [`report::Report`], entered in [`scenario`].

mod aggregate;
mod attach;
mod bounds;
mod cast;
mod child;
mod cli;
mod client;
mod congestion;
mod failover;
mod hold;
mod isolation;
mod kwik;
mod latency;
mod link;
mod machine;
mod many;
mod memory;
mod native;
mod objects;
mod peers;
mod report;
mod results;
mod role;
mod scale;
mod scenario;
mod smooth;
mod spread;
mod statistics;
mod throughput;
mod traffic;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match &cli.command {
        Command::Role { role } => role::run(role),
        command => scenario::run(&scenario::of(command), cli.all(), &cli.options()),
    }
}
