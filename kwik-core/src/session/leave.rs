//! How a server's session ends when its server goes away.

use kwik_proto::frame::{ControlFrame, GoAway, Ping};

use crate::time::Instant;

/// Why a session is closed whose server went away.
pub(super) const LEFT: &str = "the server goes away";

/// Whether a session's server goes away, and what the client has been asked because of that.
#[derive(Debug, Default)]
pub(super) struct Leave {
    /// When the session ends at the latest.
    end: Option<Instant>,
    /// The Ping that was sent when nothing was owed any more, and whose Pong ends the session.
    asked: Option<u64>,
    pings: u64,
}

/// What is to be done because the server goes away.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing new.
    None,
    /// Tell the client.
    Tell(ControlFrame),
    /// End the session.
    Close,
}

impl Leave {
    /// The server goes away, at `end` at the latest. Called again, it can only make that sooner.
    pub(super) fn begin(&mut self, end: Instant, now: Instant) -> Step {
        if self.end.is_some_and(|known| known <= end) {
            return Step::None;
        }
        let first = self.end.replace(end).is_none();
        match (end <= now, first) {
            (true, _) => Step::Close,
            (false, false) => Step::None,
            (false, true) => {
                let grace_ms = u32::try_from(end.since(now).as_millis()).unwrap_or(u32::MAX);
                Step::Tell(ControlFrame::GoAway(GoAway { grace_ms }))
            }
        }
    }

    /// Whether the server goes away.
    pub(super) fn has_begun(&self) -> bool {
        self.end.is_some()
    }

    /// Asks the client whether it has heard everything, once nothing is owed. What it sent before it heard that the server
    /// goes away may be on its way: a session that is closed before that has come would lose it.
    pub(super) fn poll(&mut self, owes_nothing: bool) -> Option<ControlFrame> {
        self.end?;
        match (owes_nothing, self.asked) {
            (true, None) => {
                self.pings += 1;
                self.asked = Some(self.pings);
                Some(ControlFrame::Ping(Ping { nonce: self.pings }))
            }
            (false, Some(_)) => {
                self.asked = None;
                None
            }
            _ => None,
        }
    }

    /// Something more was said that the client has to hear: its answer to what was asked before does not count.
    pub(super) fn ask_again(&mut self) {
        self.asked = None;
    }

    /// Whether this answer ends the session.
    pub(super) fn handle_pong(&self, nonce: u64, owes_nothing: bool) -> bool {
        self.asked == Some(nonce) && owes_nothing
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.end
    }

    /// Whether the time is over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.end.is_some_and(|end| end <= now)
    }
}
