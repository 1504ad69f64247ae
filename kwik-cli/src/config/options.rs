//! The options of `kwik serve`, as clap knows them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, Command, CommandFactory as _, Id};

use crate::cli::{Cli, error_line};

/// Options that say where settings are, or that are none. `help` is clap's own and not among the arguments.
const NO_SETTINGS: [&str; 4] = ["config", "check-config", "help", "version"];

/// How likely a name is meant by another one, from 0 to 1, at least: below it a proposal is a joke.
const LIKELY: f64 = 0.7;

/// How many values an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is there or not.
    Flag,
    One,
    Many,
}

/// What options there are, and which of them the command line gives.
#[derive(Debug)]
pub(super) struct Options {
    /// The program, with nothing that is required: what is missing may come from elsewhere.
    lenient: Command,
    kinds: BTreeMap<String, Kind>,
    given: BTreeSet<String>,
    file: Option<PathBuf>,
}

impl Options {
    /// Those of a command line for `serve`; `None`: it is another one, or it is wrong.
    pub(super) fn of_line(line: &[OsString]) -> Option<Self> {
        let lenient = lenient();
        let matches = lenient.clone().try_get_matches_from(line).ok()?;
        let serve = matches.subcommand_matches("serve")?;
        let (mut kinds, mut given) = (BTreeMap::new(), BTreeSet::new());
        let options = lenient.find_subcommand("serve")?;
        for option in options.get_arguments() {
            let Some(name) = option.get_long() else { continue };
            let kind = match option.get_action() {
                ArgAction::SetTrue => Kind::Flag,
                ArgAction::Append => Kind::Many,
                ArgAction::Set => Kind::One,
                _ => continue,
            };
            kinds.insert(name.to_owned(), kind);
            if serve.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine) {
                given.insert(name.to_owned());
            }
        }
        let file = serve.get_one::<PathBuf>("config").cloned();
        Some(Self { lenient, kinds, given, file })
    }

    /// Whether the command line has it.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.contains(name)
    }

    /// The file that the command line names.
    pub(super) fn given_file(&self) -> Option<PathBuf> {
        self.file.clone()
    }

    /// What may be set elsewhere.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, Kind)> {
        let all = self.kinds.iter().map(|(name, kind)| (name.as_str(), *kind));
        all.filter(|(name, _)| !NO_SETTINGS.contains(name))
    }

    /// `None`: it cannot be set.
    pub(super) fn kind(&self, name: &str) -> Option<Kind> {
        self.settings().find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }

    /// The setting that is meant by a name that is none.
    pub(super) fn nearest(&self, name: &str) -> Option<&str> {
        let alike = |known: &str| strsim::jaro_winkler(known, &name.to_lowercase());
        let all = self.settings().map(|(known, _)| (known, alike(known)));
        let nearest = all.max_by(|one, other| one.1.total_cmp(&other.1))?;
        (nearest.1 >= LIKELY).then_some(nearest.0)
    }

    /// What is wrong with an argument by itself.
    pub(super) fn fault(&self, argument: &OsString) -> Option<String> {
        let line = ["kwik".into(), "serve".into(), argument.clone()];
        let error = self.lenient.clone().try_get_matches_from(line).err()?;
        // What it needs beside it is seen when all is together.
        match error.kind() {
            ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict => None,
            _ => Some(error_line(&error)),
        }
    }
}

fn lenient() -> Command {
    Cli::command().mut_subcommand("serve", |serve| {
        serve.mut_args(|option| option.required(false).requires(Resettable::<Id>::Reset))
    })
}
