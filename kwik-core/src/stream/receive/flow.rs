//! The receiving half's window.

use std::time::Duration;

use kwik_proto::Offset;

use super::{ReceiveHalf, State};
use crate::conflict::{ConflictPolicy, Referee};
use crate::time::Instant;
use crate::window::{Budget, memory};

impl ReceiveHalf {
    /// First offset that may not be sent. Never falls.
    pub fn max_offset(&self) -> Offset {
        self.window.max_offset()
    }

    /// Asks for a window of at least `bytes` bytes: what the paths deliver in two of the longest control loops, plus what
    /// is outstanding.
    pub fn demand_window(&mut self, bytes: u64) {
        self.window.demand(bytes);
    }

    /// Whether [`update_window`](Self::update_window) may have something to announce.
    pub fn wants_window(&self, now: Instant) -> bool {
        self.needs_window() && self.window.wants_extension(now)
    }

    /// When [`update_window`](Self::update_window) has something to announce though nothing more is read.
    pub fn window_due(&self) -> Option<Instant> {
        self.window.due().filter(|_| self.needs_window())
    }

    fn needs_window(&self) -> bool {
        self.state == State::Open && self.final_size.is_none()
    }

    /// The application has not accepted the stream yet: if it is the peer's the half keeps its initial window until
    /// [`accept`](Self::accept).
    pub fn await_accept(&mut self) {
        self.unaccepted = true;
    }

    /// The application accepted the stream.
    pub fn accept(&mut self) {
        self.unaccepted = false;
    }

    /// Whether the half waits to be accepted.
    pub fn is_unaccepted(&self) -> bool {
        self.unaccepted
    }

    /// Books the half in the session's account and takes the window that a new stream starts with; returns the offset to
    /// announce if that is more than the peers were told. Call it when the stream opens.
    pub fn open_window(&mut self, now: Instant, budget: &mut Budget) -> Option<Offset> {
        if !self.window.admit(budget) {
            return None;
        }
        self.window.demand(budget.initial_window());
        self.update_window(now, Duration::ZERO, budget)
    }

    /// The new offset to announce, if the reader moved far enough; tunes the window from what is free in the session's
    /// account. `loop_time` is the longest control loop of the live paths.
    pub fn update_window(
        &mut self,
        now: Instant,
        loop_time: Duration,
        budget: &mut Budget,
    ) -> Option<Offset> {
        if !self.needs_window() {
            return None;
        }
        let announced = self.window.extended(now, loop_time, budget);
        self.window_moved();
        announced
    }

    /// Gives the half's share of the session's account back. Call it when the half is done with.
    pub fn close_window(&mut self, budget: &mut Budget) {
        self.window.close(budget);
    }

    /// Sets the bounds that follow from the window. What the referee remembers is part of them.
    pub(super) fn window_moved(&mut self) {
        let size = self.window.size();
        let remembered = match self.policy {
            ConflictPolicy::Reject => Referee::reach(size),
            ConflictPolicy::FirstWins | ConflictPolicy::PrimaryWins => 0,
        };
        self.reassembler.set_bound(memory(size) - remembered);
        self.join_at = self.join_at.max(self.most_pieces());
    }
}
