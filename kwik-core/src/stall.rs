//! Pauses of the reader: what it waited for, whose fault it was, and what ended the wait.

use std::time::Duration;

use kwik_proto::{ByteRange, Offset, PathId, StreamId};

use crate::time::Instant;

/// One pause of the reader of more than 50 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The stream.
    pub stream: StreamId,
    /// When the reader began to wait.
    pub since: Instant,
    /// How long it waited.
    pub duration: Duration,
    /// The missing bytes in front of the reader when the wait began.
    pub range: ByteRange,
    /// Who owed them then; `None`: nobody.
    pub path: Option<PathId>,
    /// Who delivered the byte that ended the wait; `None`: the stream ended.
    pub ended_by: Option<PathId>,
}

/// Records the reader's pauses of one session; keeps the 64 longest, a shorter one makes room.
#[derive(Debug, Default)]
pub struct Stalls {
    kept: Vec<Stall>,
}

impl Stalls {
    /// The reader found nothing at `range.start()`. Calls while it waits at the same offset change nothing.
    pub fn waiting(
        &mut self,
        stream: StreamId,
        range: ByteRange,
        owner: Option<PathId>,
        now: Instant,
    ) {
        let _ = (stream, range, owner, now);
    }

    /// Bytes at the reader's offset arrived from `path`, or the stream ended.
    pub fn resumed(&mut self, stream: StreamId, at: Offset, path: Option<PathId>, now: Instant) {
        let _ = (stream, at, path, now);
    }

    /// Pauses in the order in which they began.
    pub fn kept(&self) -> &[Stall] {
        &self.kept
    }

    /// The longest pause so far.
    pub fn longest(&self) -> Duration {
        Duration::ZERO
    }
}
