//! How a part file gets to the disk.

use std::fmt;
use std::fs::File;
use std::io;

/// What a part file is on. In tests it is slow, or loses bytes.
pub(crate) trait Disk: fmt::Debug + Send {
    /// Waits until what was written to the part file before is on disk.
    fn sync(&mut self, part: &File) -> io::Result<()>;
}

/// The disk of the file system, by `fdatasync`.
#[derive(Debug)]
pub(crate) struct FileSystem;

impl Disk for FileSystem {
    fn sync(&mut self, part: &File) -> io::Result<()> {
        part.sync_data()
    }
}
