//! Whether the primary is there, and what the application is told of it.

use super::{ClientSession, Heard, Output, PrimaryState, Verdict};
use crate::time::Instant;
use kwik_proto::PathId;

impl ClientSession {
    /// What is known of the primary.
    pub fn primary_state(&self) -> PrimaryState {
        if self.closed || self.orphans.is_some() {
            PrimaryState::Gone
        } else if self.primary_liveness.is_suspect() {
            PrimaryState::Suspect
        } else if self.primary_leaves {
            PrimaryState::Leaving
        } else {
            PrimaryState::Live
        }
    }

    pub(super) fn handle_primary_activity(&mut self, at: Instant) {
        if self.primary_liveness.handle_activity(at) == Heard::Healed {
            self.tell_primary_state();
        }
    }

    /// While a stream is open the primary has to be there. Before its Welcome its own time counts, and once it is gone no
    /// clock does.
    pub(super) fn note_expectation(&mut self, now: Instant) {
        let answers = self.session.is_some() && !self.closed && self.orphans.is_none();
        let expects = answers && self.streams.ids().next().is_some();
        self.primary_liveness.handle_expects(expects, now);
    }

    pub(super) fn watch_primary(&mut self, now: Instant) {
        match self.primary_liveness.handle_timeout(now) {
            Verdict::Nothing => {}
            Verdict::Ping => self.ping(PathId::PRIMARY),
            Verdict::Suspect | Verdict::Gone => self.tell_primary_state(),
        }
    }

    pub(super) fn tell_primary_state(&mut self) {
        let state = self.primary_state();
        if std::mem::replace(&mut self.primary_state, state) != state {
            self.outputs.push_back(Output::Primary(state));
        }
    }
}
