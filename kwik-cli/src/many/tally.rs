//! What became of the files of a command.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kwik_client::sanitized;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cause::{self, Cause};
use crate::get::print;
use crate::kept::Left;
use crate::progress::Progress;
use crate::report::{Failure, Report};
use crate::say;
use crate::size::ByteSize;

/// A file that is told of.
#[derive(Debug)]
pub(super) struct Told {
    /// Its place in the order in which files were named or found.
    pub(super) index: usize,
    pub(super) url: String,
    pub(super) target: PathBuf,
}

/// What was done for a file.
#[derive(Debug)]
pub(super) enum Done {
    /// It was fetched as a whole.
    Small { bytes: u64, seconds: f64, blake3: String },
    /// It was fetched by way of a part file.
    Large(Box<Report>),
    /// It is here already.
    Unchanged { bytes: u64 },
}

/// Counts files, and tells of each.
#[derive(Debug)]
pub(super) struct Tally {
    json: bool,
    quiet: bool,
    progress: Progress,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    fetched: u64,
    bytes: u64,
    unchanged: u64,
    removed: u64,
    failed: u64,
    /// The first failure: its place, and its kind.
    first: Option<(usize, Cause)>,
    /// Whether what is told could not be written.
    lost: bool,
}

/// A file of the command, as `--json` has it.
#[derive(Serialize)]
struct Object<'a> {
    url: Option<&'a str>,
    file: String,
    outcome: &'static str,
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Tally {
    pub(super) fn new(json: bool, quiet: bool, progress: Progress) -> Self {
        Self { json, quiet, progress, counts: Mutex::default() }
    }

    /// Whether everything went well so far.
    pub(super) fn is_well(&self) -> bool {
        self.counts().failed == 0
    }

    /// Tells what became of a file; of one that failed, what is kept of it.
    pub(super) fn tell(&self, told: &Told, outcome: anyhow::Result<Done>, left: Left) {
        match outcome {
            Ok(done) => self.tell_done(told, done),
            Err(error) => self.fail(told, &error.context(told.url.clone()), left),
        }
    }

    fn tell_done(&self, told: &Told, done: Done) {
        let (outcome, more) = match &done {
            Done::Small { bytes, seconds, blake3 } => {
                let fields = [
                    ("bytes", Value::from(*bytes)),
                    ("seconds", Value::from(*seconds)),
                    ("blake3", Value::from(blake3.as_str())),
                ];
                (
                    "fetched",
                    fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
                )
            }
            Done::Large(report) => ("fetched", object(&**report)),
            Done::Unchanged { bytes } => {
                ("unchanged", [("bytes".to_owned(), Value::from(*bytes))].into_iter().collect())
            }
        };
        {
            let mut counts = self.counts();
            match &done {
                Done::Small { bytes, .. } => {
                    counts.fetched += 1;
                    counts.bytes += bytes;
                }
                Done::Large(report) => {
                    counts.fetched += 1;
                    counts.bytes += report.bytes.saturating_sub(report.resumed_at);
                }
                Done::Unchanged { .. } => counts.unchanged += 1,
            }
        }
        if self.json {
            self.print_object(Some(&told.url), &told.target, outcome, more);
        } else if let Done::Large(report) = &done
            && !self.quiet
        {
            self.print(&report.to_text(&shown(&told.target)));
        }
    }

    fn fail(&self, told: &Told, error: &anyhow::Error, left: Left) {
        {
            let mut counts = self.counts();
            counts.failed += 1;
            if counts.first.is_none_or(|(first, _)| told.index < first) {
                counts.first = Some((told.index, Cause::of(error)));
            }
        }
        let kept = match left {
            Left::Bytes(bytes) if bytes > 0 => {
                format!("; {bytes} bytes are kept, and the same command continues there")
            }
            Left::Bytes(_) | Left::Whole => String::new(),
        };
        if self.json {
            let failure = object(&Failure::of(error, left));
            self.print_object(Some(&told.url), &told.target, "failed", failure);
        } else {
            let line = sanitized(&format!("{error:#}{kept}")).to_string();
            self.progress.aside(|| say(&line));
        }
    }

    /// Tells that a file was removed.
    pub(super) fn tell_removed(&self, file: &Path) {
        self.counts().removed += 1;
        if self.json {
            self.print_object(None, file, "removed", Map::new());
        }
    }

    /// Says how it all ended.
    pub(super) fn end(&self, outcome: anyhow::Result<()>, took: Duration) -> anyhow::Result<()> {
        let counts = self.counts();
        let Counts { fetched, bytes, unchanged, removed, failed, first, lost } = *counts;
        drop(counts);
        if !self.json && !self.quiet {
            let seconds = took.as_secs_f64();
            let rate = bytes as f64 * 8.0 / 1e6 / seconds.max(1e-6);
            let size = ByteSize(bytes);
            let mut text = format!("{fetched} files, {size} in {seconds:.2} s ({rate:.0} Mbit/s)");
            for (count, what) in
                [(unchanged, "unchanged"), (removed, "removed"), (failed, "failed")]
            {
                if count > 0 {
                    text += &format!(", {count} {what}");
                }
            }
            self.print(&text);
        }
        outcome?;
        match first {
            Some((_, cause)) => Err(cause::Told(cause).into()),
            None if lost => Err(anyhow::anyhow!("cannot write the report; the files are whole")),
            None => Ok(()),
        }
    }

    fn print_object(
        &self,
        url: Option<&str>,
        file: &Path,
        outcome: &'static str,
        more: Map<String, Value>,
    ) {
        let object = Object { url, file: file.to_string_lossy().into_owned(), outcome, more };
        self.print(&serde_json::to_string(&object).expect("numbers, strings and lists are JSON"));
    }

    fn print(&self, text: &str) {
        if self.progress.aside(|| print(io::stdout(), text)).is_err() {
            self.counts().lost = true;
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn object(of: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn shown(target: &Path) -> String {
    sanitized(&target.to_string_lossy()).to_string()
}
