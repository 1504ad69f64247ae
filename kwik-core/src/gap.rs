//! Who promised which bytes to the client, whether they keep their word, and what to say when they do not.

use std::time::Duration;

use kwik_proto::frame::{DelegationState, Gap, GapReason};
use kwik_proto::{ByteRange, DelegationId, Offset, PathId, StreamId};

use crate::time::Instant;

/// The client's limits on waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapConfig {
    /// How long the reader waits at one offset that nobody delivers before the stream fails. Default: 10 s. Lower:
    /// outages that would have healed become errors; higher: an application waits that long for bytes that exist
    /// nowhere.
    pub gap_timeout: Duration,
    /// Promises remembered at a time, over all streams. Default: 16,384. When full the oldest is forgotten: its range
    /// then counts as promised by nobody, which costs the primary a Gap frame.
    pub promises: usize,
}

impl Default for GapConfig {
    fn default() -> Self {
        Self { gap_timeout: Duration::from_secs(10), promises: 16_384 }
    }
}

/// Round trips of a path, as the client measures them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathTiming {
    /// Smoothed RTT; `None`: not measured.
    pub srtt: Option<Duration>,
    /// RTT variation.
    pub rttvar: Duration,
}

/// What a stream's receive half has, as [`Promises::poll`] needs to see it.
#[derive(Clone, Copy, Debug)]
pub struct StreamView<'a> {
    /// Bytes below were read.
    pub read_offset: Offset,
    /// Bytes below have arrived without a hole.
    pub contiguous_end: Offset,
    /// What is missing below the known end, in order; the nearest 64 ranges are enough.
    pub missing: &'a [ByteRange],
    /// Whether the reader waits at `read_offset`, with nothing to read.
    pub waiting: bool,
}

/// What [`Promises::poll`] wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapAction {
    /// Send this to the primary.
    Report(Gap),
    /// The reader gets `Missing` and the stream is stopped at the primary.
    GiveUp {
        /// The stream.
        stream: StreamId,
        /// The byte that the reader waits for.
        offset: Offset,
        /// Bytes missing from there to the next that arrived, or to the known end.
        len: u64,
    },
}

/// What a path did since it was first added: the counters of PathStatus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathWork {
    /// Bytes of contributions that arrived, duplicates included.
    pub received_bytes: u64,
    /// Time during which the path owed bytes.
    pub busy: Duration,
}

/// Who promised what, since when, and whether bytes come; one per client session, for all its streams.
#[derive(Debug)]
pub struct Promises {
    config: GapConfig,
}

impl Promises {
    /// Nothing promised yet.
    pub fn new(config: GapConfig) -> Self {
        Self { config }
    }

    /// Tells the round trips of a path; also marks it as healthy again after [`path_suspect`](Self::path_suspect).
    pub fn set_path(&mut self, path: PathId, timing: PathTiming, now: Instant) {
        let _ = (path, timing, now);
    }

    /// Takes down that `path` was asked for `range`; called when the delegation passes through the client.
    pub fn record(
        &mut self,
        path: PathId,
        id: DelegationId,
        stream: StreamId,
        range: ByteRange,
        now: Instant,
    ) {
        let _ = (path, id, stream, range, now, &self.config);
    }

    /// Takes a secondary's answer; Refused and Failed need no [`handle_end`](Self::handle_end).
    pub fn handle_status(
        &mut self,
        path: PathId,
        id: DelegationId,
        state: DelegationState,
        now: Instant,
    ) {
        let _ = (path, id, state, now);
    }

    /// Takes down that bytes of a promise arrived, new or duplicate.
    pub fn handle_bytes(&mut self, path: PathId, id: DelegationId, range: ByteRange, now: Instant) {
        let _ = (path, id, range, now);
    }

    /// A contribution ended, with `missing` of its promise not delivered: each becomes a Gap frame at once. None
    /// missing: the promise is kept.
    pub fn handle_end(
        &mut self,
        path: PathId,
        id: DelegationId,
        missing: &[ByteRange],
        reason: GapReason,
        now: Instant,
    ) {
        let _ = (path, id, missing, reason, now);
    }

    /// The primary took a delegation back; nothing is owed for it.
    pub fn revoke(&mut self, path: PathId, id: DelegationId, now: Instant) {
        let _ = (path, id, now);
    }

    /// The path owes bytes and is silent: its promises do not count until it is heard of again.
    pub fn path_suspect(&mut self, path: PathId, now: Instant) {
        let _ = (path, now);
    }

    /// A suspect path delivered again: its promises count again, with new deadlines.
    pub fn path_healed(&mut self, path: PathId, now: Instant) {
        let _ = (path, now);
    }

    /// The path is over, and with it all its promises.
    pub fn path_gone(&mut self, path: PathId, now: Instant) {
        let _ = (path, now);
    }

    /// The stream is complete, reset or given up.
    pub fn forget_stream(&mut self, stream: StreamId, now: Instant) {
        let _ = (stream, now);
    }

    /// The next thing to do about a stream; call until `None`, after inputs and at
    /// [`poll_timeout`](Self::poll_timeout).
    pub fn poll(
        &mut self,
        stream: StreamId,
        view: &StreamView<'_>,
        now: Instant,
    ) -> Option<GapAction> {
        let _ = (stream, view, now);
        None
    }

    /// When to poll again without an input, and which stream.
    pub fn poll_timeout(&self) -> Option<(Instant, StreamId)> {
        None
    }

    /// Who has promised the byte at `offset` and is expected to deliver it.
    pub fn owner_of(&self, stream: StreamId, offset: Offset) -> Option<(PathId, DelegationId)> {
        let _ = (stream, offset);
        None
    }

    /// Whether the path owes bytes to any stream: what its path clock needs to know.
    pub fn owes(&self, path: PathId) -> bool {
        let _ = path;
        false
    }

    /// The counters of a path's next PathStatus.
    pub fn work(&self, path: PathId, now: Instant) -> PathWork {
        let _ = (path, now);
        PathWork::default()
    }
}
