//! What shells and `man` are told of the command line.

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;

/// Prints completions for a shell.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kwik", &mut text);
    print(&text)
}

/// Prints the manual: the page of the program, and behind it those of its commands.
pub(crate) fn manual() -> anyhow::Result<()> {
    let mut text = Vec::new();
    let mut program = Cli::command();
    program.build();
    clap_mangen::Man::new(program.clone()).render(&mut text)?;
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        clap_mangen::Man::new(command.clone()).render(&mut text)?;
    }
    print(&text)
}

fn print(text: &[u8]) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text).and_then(|()| output.flush()).context("cannot write it")
}
