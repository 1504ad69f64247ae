//! Where the bytes of a `get` go.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

#[cfg(test)]
mod tests;

/// Bytes that are gathered before they are written.
const BUFFER: usize = 256 << 10;

/// A file under construction, a device, standard output, or nothing.
///
/// A regular file is written as `FILE.part` and renamed by [`commit`](Self::commit); dropped without it, nothing
/// remains. Anything else (a pipe, a device) is written directly.
#[derive(Debug)]
pub(crate) struct Output {
    name: String,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Part { file: BufWriter<File>, part: PartFile },
    Direct(BufWriter<File>),
    Discard,
}

/// `FILE.part`, removed when dropped unless it was renamed.
#[derive(Debug)]
struct PartFile {
    part: PathBuf,
    target: PathBuf,
    renamed: bool,
}

impl Output {
    /// The file at `path`, which need not exist.
    pub(crate) fn file(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let sink = match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                bail!("{name} is a directory; name a file with -o")
            }
            Ok(metadata) if metadata.is_file() => {
                // Through a symbolic link to what it names: the link stays.
                let target = fs::canonicalize(path).with_context(|| cannot_write(&name))?;
                Sink::part(target)
            }
            Ok(_) => OpenOptions::new()
                .write(true)
                .open(path)
                .map(|file| Sink::Direct(BufWriter::with_capacity(BUFFER, file)))
                .map_err(anyhow::Error::from),
            Err(_) => Sink::part(path.to_owned()),
        };
        Ok(Self { sink: sink.with_context(|| cannot_write(&name))?, name })
    }

    /// Standard output.
    pub(crate) fn stdout() -> anyhow::Result<Self> {
        // Not `io::stdout()`: its line buffer searches every byte for a line end.
        let file = io::stdout().as_fd().try_clone_to_owned().context("cannot write to stdout")?;
        let sink = Sink::Direct(BufWriter::with_capacity(BUFFER, file.into()));
        Ok(Self { name: "standard output".to_owned(), sink })
    }

    /// Forgets what is written.
    pub(crate) fn discard() -> Self {
        Self { name: "nowhere".to_owned(), sink: Sink::Discard }
    }

    /// Writes `bytes`. Blocks.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match &mut self.sink {
            Sink::Part { file, .. } | Sink::Direct(file) => file.write_all(bytes),
            Sink::Discard => Ok(()),
        }
        .with_context(|| cannot_write(&self.name))
    }

    /// Makes what was written visible under its name, on disk. Blocks.
    pub(crate) fn commit(self) -> anyhow::Result<()> {
        let name = self.name;
        match self.sink {
            Sink::Part { file, part } => part.publish(file),
            Sink::Direct(mut file) => file.flush(),
            Sink::Discard => Ok(()),
        }
        .with_context(|| cannot_write(&name))
    }
}

fn cannot_write(name: &str) -> String {
    format!("cannot write {name}; make room there or choose another -o")
}

impl Sink {
    fn part(target: PathBuf) -> anyhow::Result<Self> {
        let mut part = OsString::from(&target);
        part.push(".part");
        let part = PathBuf::from(part);
        let file = BufWriter::with_capacity(BUFFER, claim(&part)?);
        Ok(Self::Part { file, part: PartFile { part, target, renamed: false } })
    }
}

/// Opens `part` empty, for this process alone.
fn claim(part: &Path) -> anyhow::Result<File> {
    let file = match OpenOptions::new().write(true).create_new(true).open(part) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !fs::symlink_metadata(part)?.is_file() {
                bail!("{} is in the way; remove it", part.display());
            }
            OpenOptions::new().write(true).open(part)
        }
        opened => opened,
    }
    .with_context(|| part.display().to_string())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!("another process is writing {}", part.display()),
        // A file system without locks.
        Err(TryLockError::Error(_)) => {}
    }
    // Whoever had it before may have renamed it between the opening and the lock.
    if file.metadata()?.ino() != fs::symlink_metadata(part)?.ino() {
        bail!("another process has just written {}; try again", part.display());
    }
    file.set_len(0)?;
    Ok(file)
}

impl PartFile {
    fn publish(mut self, file: BufWriter<File>) -> io::Result<()> {
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        // Before the rename: after a power cut the name must not stand for half the bytes.
        file.sync_all()?;
        fs::rename(&self.part, &self.target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.renamed
            && let Err(error) = fs::remove_file(&self.part)
        {
            tracing::warn!(%error, part = %self.part.display(), "left behind");
        }
    }
}
