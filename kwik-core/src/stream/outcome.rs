//! What the receiving half answers.

use std::time::Duration;

use bytes::Bytes;
use kwik_proto::frame::ErrorCode;
use kwik_proto::{ByteRange, Offset, PathId};
use thiserror::Error;

use crate::conflict::Conflict;
use crate::time::Instant;

/// A wait of the reader that was ended by bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedWait {
    /// The byte that it waited for.
    pub offset: Offset,
    /// When it began.
    pub since: Instant,
    /// When the byte arrived.
    pub until: Instant,
    /// Who sent it.
    pub by: PathId,
}

impl EndedWait {
    /// How long it took.
    pub fn duration(&self) -> Duration {
        self.until.since(self.since)
    }
}

/// What became of a frame that was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// Bytes that were not there before.
    pub new_bytes: u64,
    /// Bytes that were there before, or that nobody wants any more.
    pub duplicate_bytes: u64,
    /// The reader can go on and could not before: wake it.
    pub readable: bool,
    /// The frame differed from what another source had sent. Under [`ConflictPolicy::Reject`](crate::conflict::ConflictPolicy::Reject) the session acts on it.
    pub conflict: Option<Conflict>,
}

/// Why a frame was not taken. Each is the fault of `path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Bytes beyond the window.
    #[error("path {path} sent up to {offset}, beyond the window at {max_offset}")]
    FlowControl {
        /// Whose fault.
        path: PathId,
        /// First offset after the frame's bytes.
        offset: Offset,
        /// First offset that may not be sent.
        max_offset: Offset,
    },
    /// Bytes beyond the final size, or a final size that contradicts what is known (RFC 9000, 4.5).
    #[error("path {path} contradicts the final size at {offset}")]
    FinalSize {
        /// Whose fault.
        path: PathId,
        /// The end of its bytes, or the final size that it named.
        offset: Offset,
    },
    /// Bytes outside everything that was granted to the source.
    #[error("path {path} sent {range} without a grant")]
    NotGranted {
        /// Whose fault.
        path: PathId,
        /// The frame's bytes.
        range: ByteRange,
    },
    /// Bytes of a source that was removed: its path is over, or it was isolated. They were on their way, nobody's fault.
    #[error("the source on path {path} was removed before it sent {range}")]
    SourceRemoved {
        /// The source's path.
        path: PathId,
        /// The frame's bytes.
        range: ByteRange,
    },
    /// Bytes that differ from the primary's.
    #[error("path {path} sent other bytes than the primary in {range}", path = conflict.rival, range = conflict.range)]
    Conflict {
        /// What differed.
        conflict: Conflict,
    },
    /// More pieces than the half keeps track of; this path holds the most.
    #[error("path {path} cut the stream into too many pieces at {offset}")]
    Fragmented {
        /// Whose fault.
        path: PathId,
        /// Offset of the frame's first byte.
        offset: Offset,
    },
}

/// Why a stream ended early, after its last contiguous byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// Nobody delivered these bytes in time.
    Missing {
        /// First missing byte.
        offset: Offset,
        /// Number of missing bytes.
        len: u64,
    },
    /// Bytes that the reader already had were wrong.
    DataConflict {
        /// First byte that differs.
        offset: Offset,
        /// Number of bytes from the first to the last that differ.
        len: u64,
    },
    /// Its carrier from the primary broke a rule, or ended without a final size.
    Broken {
        /// Which rule.
        code: ErrorCode,
    },
    /// The session ended; the driver knows why.
    SessionEnded,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The next bytes; never empty.
    Data(Bytes),
    /// Every byte was read.
    Finished,
    /// Nothing to read yet.
    Blocked,
    /// The sender reset the stream.
    Reset {
        /// The sender's code.
        error_code: u64,
    },
    /// The stream failed.
    Failed(Failure),
}

/// Sums over the life of a half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that were taken.
    pub frames: u64,
    /// Bytes that were not there before.
    pub new_bytes: u64,
    /// Bytes that were there before.
    pub duplicate_bytes: u64,
    /// Bytes that nobody wanted any more: after a stop, a reset, a failure, or from an isolated path.
    pub unwanted_bytes: u64,
    /// Bytes that were thrown away because their path was isolated, or replaced by the primary's.
    pub discarded_bytes: u64,
    /// Frames that were refused.
    pub refused: u64,
    /// Differences between sources.
    pub conflicts: u64,
    /// Bytes that were copied to free larger buffers.
    pub copied_bytes: u64,
}
