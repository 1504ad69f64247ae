//! The receiving half.

use std::time::Duration;

use bytes::Bytes;
use kwik_proto::frame::HeldRange;
use kwik_proto::{ByteRange, Offset, PathId};
use thiserror::Error;

use crate::conflict::{Conflict, ConflictPolicy};
use crate::interval::RangeSet;
use crate::time::Instant;
use crate::window::Budget;

/// How a receiving half starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveConfig {
    /// Whose bytes count where copies differ.
    pub policy: ConflictPolicy,
    /// First offset that may not be sent, as this end's Hello or Welcome told it. Bytes.
    pub initial_window: u64,
}

impl Default for ReceiveConfig {
    fn default() -> Self {
        Self { policy: ConflictPolicy::default(), initial_window: Budget::FLOOR }
    }
}

/// One carrier that feeds a half. Good for the half that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    index: u32,
    generation: u32,
    path: PathId,
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
    /// The frame differed from what another source had sent. Under [`ConflictPolicy::Reject`] the session acts on it.
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

/// What one carrier delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceStats {
    /// The path that it is on.
    pub path: PathId,
    /// New bytes.
    pub bytes: u64,
    /// Bytes that were there before, or that nobody wanted any more.
    pub duplicate_bytes: u64,
    /// End of what it last delivered.
    pub next: Offset,
    /// When it last delivered.
    pub last_arrival: Option<Instant>,
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

/// The receiving half of one KWIK stream.
#[derive(Debug)]
pub struct ReceiveHalf;

#[allow(missing_docs, unused_variables, clippy::todo)]
impl ReceiveHalf {
    pub fn new(config: ReceiveConfig) -> Self {
        todo!()
    }
    pub fn add_source(&mut self, path: PathId, allowed: Option<ByteRange>) -> SourceKey {
        todo!()
    }
    pub fn remove_source(&mut self, source: SourceKey) {
        todo!()
    }
    pub fn insert(
        &mut self,
        source: SourceKey,
        offset: Offset,
        payload: Bytes,
        allocation: usize,
        now: Instant,
    ) -> Result<Inserted, ReceiveError> {
        todo!()
    }
    pub fn handle_fin(
        &mut self,
        source: SourceKey,
        final_size: Offset,
    ) -> Result<Inserted, ReceiveError> {
        todo!()
    }
    pub fn handle_reset(
        &mut self,
        error_code: u64,
        final_size: Offset,
    ) -> Result<(), ReceiveError> {
        todo!()
    }
    pub fn read(&mut self, max: usize, now: Instant) -> Read {
        todo!()
    }
    pub fn fail(&mut self, failure: Failure) {
        todo!()
    }
    pub fn stop(&mut self, error_code: u64) {
        todo!()
    }
    pub fn stopped(&self) -> Option<u64> {
        todo!()
    }
    pub fn final_size(&self) -> Option<Offset> {
        todo!()
    }
    pub fn read_offset(&self) -> Offset {
        todo!()
    }
    pub fn contiguous_end(&self) -> Offset {
        todo!()
    }
    pub fn received_end(&self) -> Offset {
        todo!()
    }
    pub fn max_offset(&self) -> Offset {
        todo!()
    }
    pub fn is_complete(&self) -> bool {
        todo!()
    }
    pub fn is_finished(&self) -> bool {
        todo!()
    }
    pub fn waiting_since(&self) -> Option<Instant> {
        todo!()
    }
    pub fn missing_in(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        std::iter::empty()
    }
    pub fn held(&self, limit: usize) -> Vec<HeldRange> {
        todo!()
    }
    pub fn demand_window(&mut self, bytes: u64) {
        todo!()
    }
    pub fn wants_window(&self) -> bool {
        todo!()
    }
    pub fn open_window(&mut self, budget: &mut Budget) -> Option<Offset> {
        todo!()
    }
    pub fn update_window(
        &mut self,
        now: Instant,
        loop_time: Duration,
        budget: &mut Budget,
    ) -> Option<Offset> {
        todo!()
    }
    pub fn close_window(&mut self, budget: &mut Budget) {
        todo!()
    }
    pub fn isolate(&mut self, path: PathId) -> RangeSet {
        todo!()
    }
    pub fn disputed(&self) -> &RangeSet {
        todo!()
    }
    pub fn source(&self, source: SourceKey) -> Option<SourceStats> {
        todo!()
    }
    pub fn path_bytes(&self) -> impl Iterator<Item = (PathId, u64)> + '_ {
        std::iter::empty()
    }
    pub fn pinned(&self) -> u64 {
        todo!()
    }
    pub fn peak_pinned(&self) -> u64 {
        todo!()
    }
    pub fn counters(&self) -> Counters {
        todo!()
    }
}
