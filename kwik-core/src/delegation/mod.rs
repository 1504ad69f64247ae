//! Who sends what: the primary's delegation scheduler.

mod config;
mod outcome;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use kwik_proto::frame::{DelegationStatus, Gap, PathStatus, StreamProgress};
use kwik_proto::{ByteRange, Offset, PathId, StreamId};

use crate::time::Instant;

pub use config::{DelegationConfig, Switches};
pub use outcome::{
    Candidates, Decision, DelegateError, Event, Local, PathShare, PathView, PlanId, SchedulerStats,
};

/// The primary's delegation scheduler: one per session, for all its streams.
///
/// Tell it what happens (`handle_*`, [`set_path`](Self::set_path)), order ranges with
/// [`delegate`](Self::delegate), and after every batch of inputs, and when
/// [`poll_timeout`](Self::poll_timeout) has come, drain [`poll`](Self::poll) and [`poll_event`](Self::poll_event).
#[derive(Debug)]
pub struct Scheduler {
    config: DelegationConfig,
    seed: u64,
    decisions: VecDeque<Decision>,
    events: VecDeque<Event>,
    stats: SchedulerStats,
}

impl Scheduler {
    /// A scheduler without streams and paths. `seed` decides between equals.
    pub fn new(config: DelegationConfig, seed: u64) -> Self {
        Self {
            config,
            seed,
            decisions: VecDeque::new(),
            events: VecDeque::new(),
            stats: SchedulerStats::default(),
        }
    }

    /// Adds a path, or tells its state. [`PathId::PRIMARY`] is the primary's own connection and exists from the start.
    pub fn set_path(&mut self, path: PathId, view: PathView, now: Instant) {
        let _ = (path, view, now);
    }

    /// Takes the client's report about a path: state, RTT, and the two counters that its rate comes from.
    pub fn handle_path_status(&mut self, status: &PathStatus, now: Instant) {
        let _ = (status, now);
    }

    /// Forgets a path; what it still owes goes back to the pool.
    pub fn remove_path(&mut self, path: PathId, now: Instant) {
        let _ = (path, now);
    }

    /// Tells the RTT between client and primary, a term of every path's control loop.
    pub fn set_primary_rtt(&mut self, rtt: Duration) {
        let _ = rtt;
    }

    /// Orders a range of a stream from `candidates`, and from the primary itself as `local` says.
    ///
    /// The range may reach beyond the window; it is handed out as the window moves.
    ///
    /// # Errors
    /// See [`DelegateError`]; then nothing was taken.
    #[allow(clippy::too_many_arguments)]
    pub fn delegate(
        &mut self,
        stream: StreamId,
        range: ByteRange,
        resource: Bytes,
        candidates: Candidates,
        local: Local,
        now: Instant,
    ) -> Result<PlanId, DelegateError> {
        let _ = (stream, range, resource, candidates, local, now);
        Err(DelegateError::Full)
    }

    /// Tells the last StreamWindow that the primary received; nothing is handed out at or beyond it. Never falls.
    pub fn handle_window(&mut self, stream: StreamId, max_offset: Offset, now: Instant) {
        let _ = (stream, max_offset, now);
    }

    /// Takes what the client holds of a stream.
    pub fn handle_progress(&mut self, progress: &StreamProgress, now: Instant) {
        let _ = (progress, now);
    }

    /// Takes a secondary's answer to a delegation.
    pub fn handle_status(&mut self, status: &DelegationStatus, now: Instant) {
        let _ = (status, now);
    }

    /// Takes the client's word that bytes are due and nobody delivers them.
    pub fn handle_gap(&mut self, gap: &Gap, now: Instant) {
        let _ = (gap, now);
    }

    /// Forgets a stream that was completed, reset or stopped; what is under way for it is revoked.
    pub fn handle_stream_closed(&mut self, stream: StreamId, now: Instant) {
        let _ = (stream, now);
    }

    /// The next thing to do; `None`: nothing until the next input or [`poll_timeout`](Self::poll_timeout).
    pub fn poll(&mut self, now: Instant) -> Option<Decision> {
        let _ = (now, &self.config, self.seed);
        self.decisions.pop_front()
    }

    /// The next thing that the application may want to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`poll`](Self::poll) again without any input; `None`: no need.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Counters over all streams.
    pub fn stats(&self) -> SchedulerStats {
        self.stats
    }

    /// Counters of one path; `None`: it was never added, or was removed.
    pub fn path_share(&self, path: PathId) -> Option<PathShare> {
        let _ = path;
        None
    }
}
