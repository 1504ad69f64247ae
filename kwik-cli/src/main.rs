//! The program `kwik`: serves files from several servers and fetches them as one stream.

mod access_log;
mod account;
mod advice;
mod answered;
mod attachments;
mod attempt;
mod byte_range;
mod catalog;
mod cause;
mod check;
mod cli;
mod config;
mod connect;
mod continuing;
mod demo;
mod directory;
mod doctor;
mod download;
mod duration;
mod explain;
mod filter;
mod finding;
mod gather;
mod get;
mod health;
mod here;
mod inbound;
mod incidents;
mod items;
mod kept;
mod keygen;
mod listing;
mod live;
mod log;
mod many;
mod materials;
mod monitor;
mod notify;
mod open_files;
mod output;
mod pace;
mod part;
mod primary;
mod private;
mod progress;
mod protocol;
mod record;
mod reload;
mod report;
mod request_path;
mod root;
mod roster;
mod secondary;
mod serve;
mod sessions;
mod shell;
mod signals;
mod size;
mod source;
mod state;
mod stdout;
mod tag;
mod tag_cache;
mod tag_store;
mod time_limit;
mod top;
mod url;
mod watch;
mod wire;
mod writer;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use kwik_client::sanitized;

use crate::cause::{Cause, Told};
use crate::cli::Command;
use crate::config::Misuse;

const USAGE: u8 = 2;

/// Threads for what may block. All that `serve` does at a time has fewer: 64 read or open files, 64 read local copies, 16 load
/// tags, 2 hash. A thread is free a moment after its work is over, and on a busy machine others were begun meanwhile: 456 were seen.
const BLOCKING: usize = 160;

fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    let cli = match config::parse(&line) {
        Ok(cli) => cli,
        Err(Misuse::Line(error)) => return misused(&error),
        Err(Misuse::Settings(faults)) => return misset(&faults),
    };
    log::to_stderr(default_log(&cli.command));
    match run(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<Told>() {
                say(&one_line(&error));
            }
            Cause::of(&error).status().into()
        }
    }
}

fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Keygen(args) => return keygen::run(args),
        Command::Explain(args) => return explain::run(args),
        Command::Completions(args) => return shell::completions(args.shell),
        Command::Man => return shell::manual(),
        Command::Doctor(args) => return doctor::run(args),
        Command::Check(_)
        | Command::Demo(_)
        | Command::Get(_)
        | Command::Serve(_)
        | Command::Top(_) => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING)
        .build()?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Demo(args) => demo::run(args).await,
            Command::Get(args) => get::run(args).await,
            Command::Serve(args) => serve::run(args).await,
            Command::Check(args) => check::run(args).await,
            Command::Top(args) => top::run(args).await,
            Command::Keygen(_)
            | Command::Explain(_)
            | Command::Completions(_)
            | Command::Doctor(_)
            | Command::Man => Ok(()),
        }
    });
    // Long enough for a thread that reads a disk, not for one that waits for a reader of a pipe.
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome
}

/// Help as it is; an error in one line.
fn misused(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Nobody is left to be told that the terminal is gone.
            let _ = error.print();
        }
        _ => say(&sanitized(&cli::usage_line(error)).to_string()),
    }
    if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS }
}

/// Each fault of the settings in a line.
fn misset(faults: &[String]) -> ExitCode {
    faults.iter().for_each(|fault| say(&sanitized(fault).to_string()));
    USAGE.into()
}

/// A line for the user. `eprintln` panics where standard error takes nothing.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "kwik: {line}");
}

/// The error and its causes; what came from elsewhere may have line ends, or worse.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    sanitized(&format!("{error:#}")).to_string()
}

/// What is logged unless `KWIK_LOG` says otherwise: a server's warnings, and nothing else.
fn default_log(command: &Command) -> &'static str {
    match command {
        Command::Serve(_) => "warn",
        _ => "off",
    }
}
