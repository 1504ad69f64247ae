//! The directory that a server serves from, and files below it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, MetadataExt as _, OpenOptions, OpenOptionsExt as _};
use rustix::fs::OFlags;

use crate::advice;
use crate::request_path::RequestPath;

#[cfg(test)]
mod tests;

/// A directory whose files are served; nothing outside it can be opened.
///
/// Paths are resolved against an open directory handle in one step (`openat2` with `RESOLVE_BENEATH` on Linux), so
/// that no rename between a check and the opening leads outside. Symbolic links are followed while they stay below
/// the root; absolute ones do not.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    dir: Arc<Dir>,
}

/// Why a file below the root cannot be served.
#[derive(Debug)]
pub(crate) enum OpenError {
    NotFound,
    /// The path leads out of the root, through a symbolic link.
    Outside,
    /// A directory, a device, a socket, ...
    NotAFile,
    Unreadable(io::Error),
}

/// An open regular file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    file: File,
    key: FileKey,
}

/// What changes when a file's content does: identity, size and both times with nanoseconds.
///
/// The change time is what cannot be set back by a program; the modification time alone can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileKey {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Size in bytes.
    pub(crate) size: u64,
    /// Modification time: seconds and nanoseconds since 1970.
    pub(crate) modified: (i64, i64),
    /// Change time: seconds and nanoseconds since 1970.
    pub(crate) changed: (i64, i64),
}

impl Root {
    /// Opens `path`; fails if it is no directory or cannot be listed.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let problem = || {
            format!("cannot serve from {}; --root wants a directory you may read", path.display())
        };
        let dir = Dir::open_ambient_dir(path, ambient_authority()).with_context(problem)?;
        dir.entries().with_context(problem)?;
        Ok(Self { dir: Arc::new(dir) })
    }

    /// Opens the file at `path` for reading. Blocks on the file system.
    pub(crate) fn open_file(&self, path: &RequestPath) -> Result<OpenFile, OpenError> {
        let mut options = OpenOptions::new();
        // Without NONBLOCK, opening a named pipe waits for a writer for ever.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        options.read(true).custom_flags(flags.bits() as i32);
        let file = self.dir.open_with(path.as_path(), &options).map_err(OpenError::from)?;
        OpenFile::new(file.into_std())
    }

    /// Opens the directory at `path`, or the root itself. Blocks on the file system.
    pub(crate) fn open_directory(&self, path: Option<&RequestPath>) -> Result<Dir, OpenError> {
        let opened = match path {
            Some(path) => self.dir.open_dir(path.as_path()),
            None => self.dir.try_clone(),
        };
        opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotADirectory => OpenError::NotAFile,
            _ => error.into(),
        })
    }
}

impl OpenFile {
    fn new(file: File) -> Result<Self, OpenError> {
        let metadata = file.metadata().map_err(OpenError::Unreadable)?;
        if !metadata.is_file() {
            return Err(OpenError::NotAFile);
        }
        Ok(Self { key: FileKey::of(&metadata), file })
    }

    /// What identified the content when the file was opened.
    pub(crate) fn key(&self) -> FileKey {
        self.key
    }

    /// What identifies the content now.
    pub(crate) fn current_key(&self) -> io::Result<FileKey> {
        Ok(FileKey::of(&self.file.metadata()?))
    }

    /// Whether the content is no longer what it was when the file was opened. A new name, mode or owner is no matter.
    pub(crate) fn was_written(&self) -> io::Result<bool> {
        let (now, then) = (self.current_key()?, self.key);
        Ok((now.size, now.modified) != (then.size, then.modified))
    }

    /// Whether it is the file that had this key, with the content of that time. A new name, mode or owner is no matter.
    pub(crate) fn is_still(&self, key: FileKey) -> bool {
        let of = |key: FileKey| (key.device, key.inode, key.size, key.modified);
        of(self.key) == of(key)
    }

    /// The same file, as one that was opened when it had that key.
    pub(crate) fn opened_as(self, key: FileKey) -> Self {
        Self { key, ..self }
    }

    /// Size in bytes when the file was opened.
    #[cfg(test)]
    pub(crate) fn size(&self) -> u64 {
        self.key.size
    }

    /// Reads up to `len` bytes at `offset` into a new buffer; fewer only at the end of the file. Blocks.
    pub(crate) fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = offset + bytes.len() as u64;
            // Into spare capacity: the buffer is not zeroed first.
            match rustix::io::pread(&self.file, rustix::buffer::spare_capacity(&mut bytes), at) {
                Ok(0) => break,
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Has the system begin to read that range into its memory.
    pub(crate) fn start_reading(&self, offset: u64, len: u64) {
        advice::start_reading(&self.file, offset, len);
    }
}

impl FileKey {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Of an entry that was looked at and not opened.
    pub(crate) fn of_entry(metadata: &cap_std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NotFound,
            io::ErrorKind::IsADirectory => Self::NotAFile,
            // The resolver's own refusal carries no number of the system; EACCES does.
            io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => Self::Outside,
            // ENXIO: a socket, or a device without its driver.
            _ if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                Self::NotAFile
            }
            _ => Self::Unreadable(error),
        }
    }
}
