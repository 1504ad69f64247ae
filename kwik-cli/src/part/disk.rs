//! How a part file gets to the disk.

use std::fmt;
use std::fs::File;
use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::num::NonZeroU64;

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::fs::Advice;

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

/// Has the system begin to write that range of a file to the disk, so that a sync finds little to do; it does not wait for the
/// end. This advice does so on Linux, as the first half of giving up its memory for pages that are clean; those that were
/// just written are not, and stay. (`sync_file_range` would do the same, and no crate in use has it without `unsafe`.)
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn start_writing(file: &File, offset: u64, len: u64) {
    // Not every file system can. The sync does it then.
    let _ = rustix::fs::fadvise(file, offset, NonZeroU64::new(len), Advice::DontNeed);
}

/// The same where there is no such advice: the sync does it all.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn start_writing(_: &File, _: u64, _: u64) {}
