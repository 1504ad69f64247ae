//! What is here already of a directory that is fetched, and what becomes of it.

use std::collections::HashSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::directory::Entry;
use crate::tag::Tag;

#[cfg(test)]
mod tests;

/// Longest name that file systems take, in bytes.
const MAX_NAME: usize = 255;
/// Bytes that are read at once while a file is hashed.
const CHUNK: usize = 256 << 10;
/// What a file has for a moment instead of its name.
const PREFIX: &str = ".kwik-";

/// Why a name of a server's is not used here.
pub(crate) fn fault_of(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("it is empty"),
        "." | ".." => Some("it would lead elsewhere"),
        _ if name.contains('/') => Some("it has a slash and could lead elsewhere"),
        _ if name.contains('\0') => Some("it has a NUL byte"),
        _ if name.len() > MAX_NAME => Some("it is longer than 255 bytes"),
        _ if name.ends_with(".part.kwik") => Some("it is reserved for what kwik keeps of a file"),
        _ => None,
    }
}

/// Whether the file at `path` is the one that a server has: of the same size, and of the same modification time or content.
/// Its time is set if only that differs. Blocks.
pub(crate) fn is_same(path: &Path, entry: &Entry) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    if !metadata.is_file() || metadata.len() != entry.size {
        return false;
    }
    if is_same_time((metadata.mtime(), metadata.mtime_nsec()), entry.modified) {
        return true;
    }
    let same = entry.tag.is_some_and(|tag| hash(path).is_ok_and(|found| found == tag));
    // A time that cannot be set costs another look the next time.
    same && {
        let _ = set_time(path, entry.modified);
        true
    }
}

/// File systems without fractions of a second have zero there.
fn is_same_time(here: (i64, i64), there: (i64, u32)) -> bool {
    here.0 == there.0 && (here.1 == i64::from(there.1) || here.1 == 0)
}

fn hash(path: &Path) -> io::Result<Tag> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        match io::Read::read(&mut file, &mut chunk) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(length) => hasher.update(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
    }
}

/// Gives the file at `path` a modification time, seconds and nanoseconds since 1970. One that this system does not know is
/// left out.
pub(crate) fn set_time(path: &Path, modified: (i64, u32)) -> io::Result<()> {
    match time_of(modified) {
        Some(time) => File::options().write(true).open(path)?.set_modified(time),
        None => Ok(()),
    }
}

fn time_of((seconds, nanoseconds): (i64, u32)) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = match seconds {
        0.. => UNIX_EPOCH.checked_add(whole),
        _ => UNIX_EPOCH.checked_sub(whole),
    };
    time?.checked_add(Duration::from_nanos(nanoseconds.into()))
}

/// Has a file of these bytes at `path`, in place of what was there, at once. Its bytes reach the disk when the system
/// writes them. Blocks.
pub(crate) fn put(path: &Path, bytes: &[u8], modified: Option<(i64, u32)>) -> io::Result<()> {
    // Through a symbolic link to what it names: the link stays.
    let target = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => fs::canonicalize(path)?,
        _ => path.to_owned(),
    };
    let mode = match fs::metadata(&target) {
        Ok(metadata) if !metadata.is_file() => {
            return Err(io::Error::other("something that is no regular file is in its place"));
        }
        Ok(metadata) if metadata.mode() & 0o222 == 0 => {
            return Err(io::Error::other("the file in its place is read-only"));
        }
        Ok(metadata) => Some(metadata.mode() & 0o777),
        Err(_) => None,
    };
    let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // As for any new file: the process's mask takes away what others may not have.
    builder.prefix(PREFIX).permissions(Permissions::from_mode(0o666));
    let mut file = builder.tempfile_in(dir)?;
    file.write_all(bytes)?;
    if let Some(time) = modified.and_then(time_of) {
        file.as_file().set_modified(time)?;
    }
    if let Some(mode) = mode {
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
    }
    file.persist(&target)?;
    Ok(())
}

/// Names below a directory, each as sixteen bytes of its hash: a million take 16 MB.
#[derive(Debug, Default)]
pub(crate) struct Seen(HashSet<[u8; 16]>);

impl Seen {
    /// Adds a path below the directory; whether it is new.
    pub(crate) fn add(&mut self, below: &[u8]) -> bool {
        self.0.insert(short(below))
    }

    fn has(&self, below: &[u8]) -> bool {
        self.0.contains(&short(below))
    }
}

fn short(below: &[u8]) -> [u8; 16] {
    let hash = blake3::hash(below);
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// Removes files below `dir` that were not seen, and directories that are empty then. `wants` says for which paths below it
/// that may be done; a directory that it refuses is not entered. Symbolic links are removed themselves, and never
/// followed. Blocks.
///
/// Returns what was removed, and what could not be.
pub(crate) fn remove_others(
    dir: &Path,
    seen: &Seen,
    wants: &dyn Fn(&str, bool) -> bool,
) -> (Vec<PathBuf>, Vec<(PathBuf, io::Error)>) {
    let mut sweep = Sweep { seen, wants, removed: Vec::new(), failed: Vec::new() };
    sweep.enter(dir, &[]);
    (sweep.removed, sweep.failed)
}

struct Sweep<'a> {
    seen: &'a Seen,
    wants: &'a dyn Fn(&str, bool) -> bool,
    removed: Vec<PathBuf>,
    failed: Vec<(PathBuf, io::Error)>,
}

/// Whether a file is what a download keeps until it is whole: its record, or the part file that goes with one.
fn is_of_download(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let Some(target) = name.strip_suffix(".part") else { return name.ends_with(".part.kwik") };
    let numbered = target.rsplit_once('.').map(|(target, _)| target);
    let record = |target: &str| path.with_file_name(format!("{target}.part.kwik")).exists();
    record(target) || numbered.is_some_and(record)
}

impl Sweep<'_> {
    fn enter(&mut self, dir: &Path, below: &[u8]) {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries.collect::<Vec<_>>(),
            Err(error) => return self.failed.push((dir.to_owned(), error)),
        };
        for entry in entries {
            let Ok(entry) = entry else { continue };
            let name = entry.file_name();
            let separator: &[u8] = if below.is_empty() { b"" } else { b"/" };
            let below = [below, separator, name.as_bytes()].concat();
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_of_download(&entry.path()) {
                continue;
            }
            if !(self.wants)(&String::from_utf8_lossy(&below), is_directory) {
                continue;
            }
            if is_directory {
                self.enter(&entry.path(), &below);
            }
            if !self.seen.has(&below) {
                self.remove(entry.path(), is_directory);
            }
        }
    }

    fn remove(&mut self, path: PathBuf, is_directory: bool) {
        let outcome = if is_directory { fs::remove_dir(&path) } else { fs::remove_file(&path) };
        match outcome {
            Ok(()) => self.removed.push(path),
            // It has something that stays.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) => self.failed.push((path, error)),
        }
    }
}

/// Whether the file system takes names that differ in case only for one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Kept,
    Folded,
}

impl Case {
    /// Tries it out in `dir`. Blocks.
    pub(crate) fn of(dir: &Path) -> io::Result<Self> {
        let probe = tempfile::Builder::new().prefix(".kwik-CASE-").tempfile_in(dir)?;
        let name = probe.path().file_name().map(|name| name.to_string_lossy().to_lowercase());
        let folded = name.is_some_and(|name| dir.join(name).exists());
        Ok(if folded { Self::Folded } else { Self::Kept })
    }

    /// What two paths have in common that are one here.
    pub(crate) fn key(self, below: &str) -> String {
        match self {
            Self::Kept => below.to_owned(),
            Self::Folded => below.to_lowercase(),
        }
    }
}
