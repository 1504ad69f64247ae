//! Where `kwik serve` has its settings from: the command line, `KWIK_*` variables, a file, in this order.

mod file;
mod options;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use clap::Parser as _;

use crate::cli::{self, Cli, Command, ServeArgs};
use options::{Kind, Options};

#[cfg(test)]
mod tests;

/// The longest value of one setting, in bytes: longer than any path.
const MAX_VALUE: usize = 4096;
/// Values of a setting that may be repeated.
const MAX_VALUES: usize = 256;
/// Faults of a file that are told, at most.
pub(crate) const MAX_FAULTS: usize = 20;

/// Where settings come from, by option: those that the command line does not give.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins(BTreeMap<String, Origin>);

/// Where a setting was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A variable of the environment.
    Variable(String),
    /// A place in the file.
    File(Place),
}

/// A place in a text file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    /// From 1 on.
    pub(crate) line: usize,
    /// In characters, from 1 on.
    pub(crate) column: usize,
}

/// What one source says about an option.
#[derive(Debug)]
struct Setting {
    /// None: the flag is not set.
    values: Vec<OsString>,
    origin: Origin,
}

/// Why there are no settings.
#[derive(Debug)]
pub(crate) enum Misuse {
    /// The command line is wrong, or asks for help.
    Line(clap::Error),
    /// What a variable or the file says is wrong: a line for each fault.
    Settings(Vec<String>),
}

/// Understands a command line; `serve` has its settings from elsewhere too.
pub(crate) fn parse(line: &[OsString]) -> Result<Cli, Misuse> {
    match Options::of_line(line) {
        Some(options) => complete(line, &options, |name| std::env::var_os(name)),
        None => Cli::try_parse_from(line).map_err(Misuse::Line),
    }
}

/// The settings of `serve` anew, for the command line that this process was started with.
pub(crate) fn reload() -> Result<ServeArgs, Misuse> {
    let line: Vec<OsString> = std::env::args_os().collect();
    match parse(&line)?.command {
        Command::Serve(args) => Ok(args),
        _ => Err(Misuse::Settings(vec!["the command line is not that of a server".to_owned()])),
    }
}

/// Adds to the command line what variables and the file say about options that it does not name.
fn complete(
    line: &[OsString],
    options: &Options,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Cli, Misuse> {
    // An empty variable is one that was not set.
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let file = options.given_file().or_else(|| variable("KWIK_CONFIG").map(PathBuf::from));
    let mut faults = Vec::new();
    let mut settings = match &file {
        Some(path) => file::read(path, options, &mut faults),
        None => BTreeMap::new(),
    };
    let from_variables = variables(options, variable, &mut faults);
    // All of them, also those that others come before.
    for (name, setting) in settings.iter().chain(&from_variables) {
        faults.extend(check(options, name, setting));
    }
    settings.extend(from_variables);
    settings.retain(|name, _| !options.is_given(name));
    if !faults.is_empty() {
        faults.truncate(MAX_FAULTS);
        return Err(Misuse::Settings(faults));
    }
    let more = settings.iter().flat_map(|(name, setting)| {
        let kind = options.kind(name);
        setting.values.iter().map(move |value| argument(name, kind, value))
    });
    let line: Vec<OsString> = line.iter().cloned().chain(more).collect();
    let mut cli = Cli::try_parse_from(&line).map_err(|error| match &file {
        // What has to go together may stand in two places.
        Some(path) if error.use_stderr() => {
            let fault = cli::error_line(&error);
            Misuse::Settings(vec![format!("{}: {fault}", path.display())])
        }
        _ => Misuse::Line(error),
    })?;
    if let Command::Serve(args) = &mut cli.command {
        let origins = settings.into_iter().map(|(name, setting)| (name, setting.origin)).collect();
        (args.config, args.origins) = (file, Origins(origins));
        let twice: Vec<String> = twice(args).collect();
        if !twice.is_empty() {
            return Err(Misuse::Settings(twice));
        }
    }
    Ok(cli)
}

/// As the command line has it.
fn argument(name: &str, kind: Option<Kind>, value: &OsStr) -> OsString {
    let mut argument = OsString::from(format!("--{name}"));
    if kind != Some(Kind::Flag) {
        argument.push("=");
        argument.push(value);
    }
    argument
}

/// What the variables say. Of those that may be repeated the values have commas between them.
fn variables(
    options: &Options,
    variable: impl Fn(&str) -> Option<OsString>,
    faults: &mut Vec<String>,
) -> BTreeMap<String, Setting> {
    let mut settings = BTreeMap::new();
    for (name, kind) in options.settings() {
        let key = variable_name(name);
        let Some(value) = variable(&key) else { continue };
        let values = match (kind, value.to_str()) {
            (Kind::One, _) => vec![value],
            (Kind::Flag, Some("true" | "1")) => vec![OsString::new()],
            (Kind::Flag, Some("false" | "0")) => Vec::new(),
            (Kind::Flag, _) => {
                faults.push(format!("{key}: want true or false"));
                continue;
            }
            (Kind::Many, Some(text)) => text.split(',').map(|part| part.trim().into()).collect(),
            (Kind::Many, None) => {
                faults.push(format!("{key}: want text in UTF-8"));
                continue;
            }
        };
        settings.insert(name.to_owned(), Setting { values, origin: Origin::Variable(key) });
    }
    settings
}

/// `KWIK_MAX_MTU` for `max-mtu`.
pub(crate) fn variable_name(option: &str) -> String {
    format!("KWIK_{}", option.to_uppercase().replace('-', "_"))
}

/// What is wrong with the values that a source gives an option.
fn check(options: &Options, name: &str, setting: &Setting) -> Option<String> {
    let kind = options.kind(name);
    if kind == Some(Kind::Flag) {
        return None;
    }
    let of_one = |value: &OsString| {
        if value.is_empty() {
            return Some("is empty; leave it out or give it a value".to_owned());
        }
        if value.len() > MAX_VALUE {
            return Some(format!("has more than {MAX_VALUE} bytes"));
        }
        options.fault(&argument(name, kind, value))
    };
    let fault = match setting.values.len() > MAX_VALUES {
        true => Some(format!("has more than {MAX_VALUES} values")),
        false => setting.values.iter().find_map(of_one),
    };
    fault.map(|fault| format!("{}: {name}: {fault}", setting.origin))
}

/// Values that are there twice.
fn twice(args: &ServeArgs) -> impl Iterator<Item = String> {
    let trust = args.trust.iter().map(|path| path.display().to_string()).collect();
    let secondaries = args.secondary.iter().map(|it| it.address.clone()).collect();
    let lists: [(&str, Vec<String>); 2] = [("trust", trust), ("secondary", secondaries)];
    lists.into_iter().filter_map(|(option, values)| {
        let (_, twice) =
            values.iter().enumerate().find(|(at, value)| values[..*at].contains(value))?;
        let place = args.origins.place(option).unwrap_or_else(|| format!("--{option}"));
        Some(format!("{place}: {twice} is named twice; leave one out"))
    })
}

impl Origins {
    /// The error with the place where the option was set, unless that is the command line.
    pub(crate) fn blame(&self, option: &str, error: anyhow::Error) -> anyhow::Error {
        match self.place(option) {
            Some(place) => error.context(place),
            None => error,
        }
    }

    /// Where an option was set, and its name; `None`: on the command line, or nowhere.
    fn place(&self, option: &str) -> Option<String> {
        self.0.get(option).map(|origin| format!("{origin}: {option}"))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::File(place) => place.fmt(f),
        }
    }
}

impl fmt::Display for Place {
    /// As compilers have it, for editors to find.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

impl Place {
    /// The place of a byte of the file's text.
    fn of(file: &Path, text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
        }
    }
}

impl Misuse {
    /// The lines to say.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Line(error) => vec![cli::usage_line(error)],
            Self::Settings(faults) => faults.clone(),
        }
    }
}
