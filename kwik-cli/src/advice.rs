//! What the system is told of how a file will be used, where it listens: on Linux. Elsewhere it does as it sees fit.

use std::fs::File;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::fs::File;
    use std::num::NonZeroU64;

    pub(super) use rustix::fs::Advice;

    pub(super) fn give(file: &File, offset: u64, len: u64, advice: Advice) {
        // A length of 0 would mean the rest of the file.
        let Some(len) = NonZeroU64::new(len) else { return };
        // Not every file system listens, and nothing depends on it.
        let _ = rustix::fs::fadvise(file, offset, Some(len), advice);
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    pub(super) enum Advice {
        DontNeed,
        WillNeed,
    }

    pub(super) fn give(_: &std::fs::File, _: u64, _: u64, _: Advice) {}
}

/// Has the system begin to write that range of a file to the disk, so that a sync finds little to do; it does not wait for the
/// end. Linux does so as the first half of giving up its memory for pages that are clean; those that were just written are
/// not, and stay. (`sync_file_range` would do the same, and rustix does not have it.)
pub(crate) fn start_writing(file: &File, offset: u64, len: u64) {
    system::give(file, offset, len, system::Advice::DontNeed);
}

/// Has the system begin to read that range of a file into its memory; it does not wait for the end.
pub(crate) fn start_reading(file: &File, offset: u64, len: u64) {
    system::give(file, offset, len, system::Advice::WillNeed);
}
