//! Where the bytes of a `get` go.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::cause::{Cause, Known};
use crate::gather::Gather;
use crate::kept::Keeper;
use crate::part::{Part, Resume, Resumed};
use crate::record::Content;
use crate::stdout;
use crate::tag::Tag;

#[cfg(test)]
mod tests;

/// A file under construction, a device, standard output, or nothing.
///
/// A regular file is a [`Part`] until [`commit`](Self::commit). Anything else (a pipe, a device) is written directly.
#[derive(Debug)]
pub(crate) struct Output {
    name: String,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Part(Box<Part>),
    Direct(Box<Gather>),
    Discard(Box<blake3::Hasher>),
}

/// How a file is to be made.
#[derive(Debug)]
pub(crate) struct Making {
    /// Where the content is asked for.
    pub(crate) urls: Vec<String>,
    pub(crate) resume: Resume,
    pub(crate) keeper: Keeper,
}

/// Symbolic links that are followed to a file that is not there yet, as on Linux.
const MAX_LINKS: usize = 40;

/// Where descriptors that are open have names.
const DESCRIPTORS: [&str; 3] = ["/dev/fd", "/proc/self/fd", "/dev/stderr"];

impl Output {
    /// The file at `path`, which need not exist. Also returns why what was kept of it is of no use, if so. Blocks.
    pub(crate) fn file(path: &Path, making: Making) -> anyhow::Result<(Self, Option<String>)> {
        let name = path.display().to_string();
        if stdout::is_name(path) {
            drop(making);
            return Self::stdout().map(|output| (output, None));
        }
        if path.as_os_str().as_bytes().ends_with(b"/") && !path.is_dir() {
            return Err(disk(format!(
                "{name} is not there, and it would be a directory; name a file with -o"
            )));
        }
        let (target, mode) = match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(disk(format!("{name} is a directory; name a file with -o")));
            }
            Ok(metadata) if metadata.is_file() => {
                if DESCRIPTORS.iter().any(|known| path.starts_with(known)) {
                    return Err(disk(format!(
                        "{name} is a file that is open already; name that file, or use -o -"
                    )));
                }
                check_writable(path, &metadata)?;
                // Through a symbolic link to what it names: the link stays.
                let target = fs::canonicalize(path).map_err(|error| cannot_write(&name, &error))?;
                (target, Some(metadata.mode()))
            }
            Ok(_) => {
                // Nothing is kept of it: nobody has to wait for this, which a named pipe without a reader makes long.
                drop(making);
                return Self::direct(path, name).map(|output| (output, None));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let target = beyond_links(path).map_err(|error| cannot_write(&name, &error))?;
                (target, None)
            }
            Err(error) => return Err(cannot_write(&name, &error)),
        };
        Self::part(target, mode, name, making)
    }

    fn part(
        target: PathBuf,
        mode: Option<u32>,
        name: String,
        making: Making,
    ) -> anyhow::Result<(Self, Option<String>)> {
        let Making { urls, resume, keeper } = making;
        match Part::open(target, mode, &urls, resume, keeper) {
            Ok((part, note)) => Ok((Self { name, sink: Sink::Part(Box::new(part)) }, note)),
            Err(error) => match error.downcast::<io::Error>() {
                Ok(error) => Err(cannot_write(&name, &error)),
                Err(in_the_way) => Err(disk(format_args!("{in_the_way:#}"))),
            },
        }
    }

    fn direct(path: &Path, name: String) -> anyhow::Result<Self> {
        match OpenOptions::new().write(true).open(path) {
            Ok(file) => Ok(Self { sink: Sink::Direct(Box::new(Gather::new(file))), name }),
            Err(error) => Err(cannot_write(&name, &error)),
        }
    }

    /// Standard output.
    pub(crate) fn stdout() -> anyhow::Result<Self> {
        let name = "standard output".to_owned();
        if !stdout::is_open() {
            return Err(disk(format!("cannot write {name}: it is closed; name a file with -o")));
        }
        // Not `io::stdout()`: its line buffer searches every byte for a line end.
        let file = io::stdout().as_fd().try_clone_to_owned();
        let file: File = file.map_err(|error| cannot_write(&name, &error))?.into();
        Ok(Self { name, sink: Sink::Direct(Box::new(Gather::new(file))) })
    }

    /// Hashes what is written, and forgets it.
    pub(crate) fn discard() -> Self {
        Self { name: "nowhere".to_owned(), sink: Sink::Discard(Box::default()) }
    }

    /// What is there already of which content.
    pub(crate) fn resumed(&self) -> Option<Resumed> {
        match &self.sink {
            Sink::Part(part) => part.resumed(),
            Sink::Direct(_) | Sink::Discard(_) => None,
        }
    }

    /// Forgets what is there. Blocks.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        self.with_part(Part::restart)
    }

    /// Says which content is written. Blocks.
    pub(crate) fn begin(&mut self, content: Content) -> anyhow::Result<()> {
        self.with_part(|part| part.begin(content))
    }

    /// Bytes that were taken and not written yet.
    pub(crate) fn held(&self) -> usize {
        match &self.sink {
            Sink::Part(part) => part.held(),
            Sink::Direct(gather) => gather.held(),
            Sink::Discard(_) => 0,
        }
    }

    /// To be called now and then while nothing comes: writes what is held. Blocks.
    pub(crate) fn pause(&mut self) -> anyhow::Result<()> {
        let paused = match &mut self.sink {
            Sink::Part(part) => part.pause(),
            Sink::Direct(gather) => gather.flush(),
            Sink::Discard(_) => Ok(()),
        };
        paused.map_err(|error| cannot_write(&self.name, &error))
    }

    /// Writes `bytes`. Blocks.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = match &mut self.sink {
            Sink::Part(part) => part.write(bytes),
            Sink::Direct(gather) => gather.write(bytes),
            Sink::Discard(hasher) => {
                hasher.update(bytes);
                Ok(())
            }
        };
        written.map_err(|error| cannot_write(&self.name, &error))
    }

    /// Has everything written; its BLAKE3. Blocks.
    pub(crate) fn finish(&mut self) -> anyhow::Result<Tag> {
        let tag = match &mut self.sink {
            Sink::Part(part) => part.finish(),
            Sink::Direct(gather) => gather.flush().map(|()| gather.tag()),
            Sink::Discard(hasher) => Ok(hasher.finalize().into()),
        };
        tag.map_err(|error| cannot_write(&self.name, &error))
    }

    /// Makes what was written visible under its name, on disk. Blocks.
    pub(crate) fn commit(self) -> anyhow::Result<()> {
        let committed = match self.sink {
            Sink::Part(part) => part.publish(),
            Sink::Direct(mut gather) => gather.flush(),
            Sink::Discard(_) => Ok(()),
        };
        committed.map_err(|error| cannot_write(&self.name, &error))
    }

    /// Throws away what was written: it is not what it should be. Blocks.
    pub(crate) fn reject(self) {
        if let Sink::Part(part) = self.sink {
            part.reject();
        }
    }

    fn with_part(&mut self, act: impl FnOnce(&mut Part) -> io::Result<()>) -> anyhow::Result<()> {
        match &mut self.sink {
            Sink::Part(part) => act(part).map_err(|error| cannot_write(&self.name, &error)),
            Sink::Direct(_) | Sink::Discard(_) => Ok(()),
        }
    }
}

/// The file that is made when `path` is written: links that lead to nothing stay, as other programs have it.
fn beyond_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(next) = fs::read_link(&path) else { return Ok(path) };
        path = path.parent().unwrap_or(Path::new("")).join(next);
    }
    Err(io::Error::other("too many symbolic links"))
}

/// A file that was protected from being written is not replaced either, though its directory would allow it.
fn check_writable(path: &Path, metadata: &Metadata) -> anyhow::Result<()> {
    let protected = metadata.mode() & 0o222 == 0;
    if protected || rustix::fs::access(path, Access::WRITE_OK).is_err() {
        return Err(disk(format!(
            "{} is read-only; make it writable or choose another -o",
            path.display()
        )));
    }
    Ok(())
}

fn disk(message: impl fmt::Display) -> anyhow::Error {
    Known::error(Cause::Disk, message)
}

/// What can't be written, why, and what helps against that.
fn cannot_write(name: &str, error: &io::Error) -> anyhow::Error {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull => "free some disk space or choose another -o",
        io::ErrorKind::QuotaExceeded => "free some of your quota or choose another -o",
        io::ErrorKind::NotFound => "make its directory or choose another -o",
        io::ErrorKind::BrokenPipe => "its reader is gone",
        _ => "choose another -o",
    };
    disk(format_args!("cannot write {name}: {error}; {advice}"))
}
