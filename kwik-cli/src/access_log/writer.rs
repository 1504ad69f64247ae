//! What writes the access log, on its own thread.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;
use serde_json::json;

use super::{Format, Reopen};
use crate::monitor;

/// Who may read the file: clients' addresses and what they read are in it.
const MODE: u32 = 0o640;

/// Writes lines, and says how many were left out.
pub(super) struct Writer {
    target: Box<dyn Reopen>,
    format: Format,
    /// Lines that were left out since that was said last.
    dropped: Arc<AtomicU64>,
    /// A line was written in part.
    torn: bool,
}

impl Writer {
    pub(super) fn new(target: Box<dyn Reopen>, format: Format, dropped: Arc<AtomicU64>) -> Self {
        Self { target, format, dropped, torn: false }
    }

    pub(super) fn write(&mut self, line: &str) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let told = match dropped {
            0 => Ok(()),
            _ => self.put(&self.notice(dropped)),
        };
        if told.is_err() {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        if let Err(error) = told.and_then(|()| self.put(line)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            monitor::log_line_dropped();
            tracing::warn!(%error, "a line of the access log was left out");
        }
    }

    pub(super) fn reopen(&mut self) {
        match self.target.reopen() {
            Ok(()) => self.torn = false,
            Err(error) => tracing::warn!(%error, "the access log could not be opened anew"),
        }
    }

    fn notice(&self, dropped: u64) -> String {
        match self.format {
            Format::Text => format!("# {dropped} lines were left out\n"),
            Format::Json => json!({ "dropped": dropped }).to_string() + "\n",
        }
    }

    /// All of a line, or an error; what follows a part of one begins a line of its own.
    fn put(&mut self, line: &str) -> io::Result<()> {
        let mut rest = line.as_bytes();
        if self.torn {
            self.target.write_all(b"\n")?;
            self.torn = false;
        }
        while !rest.is_empty() {
            let written = match self.target.write(rest) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other,
            };
            match written {
                Ok(length) => rest = &rest[length..],
                Err(error) => {
                    self.torn = rest.len() < line.len();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// A file, or standard output.
#[derive(Debug)]
pub(super) struct Target {
    /// `None`: standard output, which has no name to be opened by.
    path: Option<PathBuf>,
    file: File,
}

impl Target {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            // Not Rust's own: who holds its lock while a pipe is full would hold up the events too.
            let file = rustix::io::dup(rustix::stdio::stdout())?.into();
            return Ok(Self { path: None, file });
        }
        Ok(Self { file: append(&path)?, path: Some(path) })
    }
}

/// Without NONBLOCK, a named pipe that nobody reads would hang the program.
fn append(path: &PathBuf) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    File::options()
        .append(true)
        .create(true)
        .mode(MODE)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

impl io::Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Reopen for Target {
    fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.file = append(path)?;
        }
        Ok(())
    }
}
