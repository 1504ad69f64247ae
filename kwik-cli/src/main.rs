//! The program `kwik`: serves files from several servers and fetches them as one stream.

mod account;
mod advice;
mod attempt;
mod byte_range;
mod catalog;
mod cause;
mod cli;
mod connect;
mod continuing;
mod demo;
mod directory;
mod download;
mod duration;
mod explain;
mod filter;
mod gather;
mod get;
mod here;
mod inbound;
mod incidents;
mod items;
mod kept;
mod keygen;
mod listing;
mod log;
mod many;
mod monitor;
mod open_files;
mod output;
mod pace;
mod part;
mod primary;
mod private;
mod progress;
mod protocol;
mod record;
mod report;
mod request_path;
mod root;
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
mod url;
mod watch;
mod wire;
mod writer;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use clap::error::ErrorKind;
use kwik_client::sanitized;

use crate::cause::{Cause, Told};
use crate::cli::{Cli, Command};

const USAGE: u8 = 2;

/// Threads for what may block. All that `serve` does at a time has fewer: 64 read or open files, 64 read local copies, 16 load
/// tags, 2 hash. A thread is free a moment after its work is over, and on a busy machine others were begun meanwhile: 456 were seen.
const BLOCKING: usize = 160;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
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
        Command::Demo(_) | Command::Get(_) | Command::Serve(_) => {}
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
            Command::Keygen(_) | Command::Explain(_) | Command::Completions(_) | Command::Man => {
                Ok(())
            }
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

/// A line for the user. `eprintln` panics where standard error takes nothing.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "kwik: {line}");
}

/// The error and its causes; what came from elsewhere may have line ends, or worse.
fn one_line(error: &anyhow::Error) -> String {
    sanitized(&format!("{error:#}")).to_string()
}

/// What is logged unless `KWIK_LOG` says otherwise: a server's warnings, and nothing else.
fn default_log(command: &Command) -> &'static str {
    match command {
        Command::Serve(_) => "warn",
        _ => "off",
    }
}
