//! Heads that nobody owes: the next byte of a stream, when the reader has waited for it and nobody promised it.
//!
//! They are handed out at once, also where all sources have as much to do as they should: what they have to do is
//! further ahead, or for other streams, and may take a slow source longer than the reader is patient. A source sends its
//! ranges side by side, and the primary its lowest bytes first, so that a head is not behind all that was ordered before.

use kwik_proto::{ByteRange, StreamId};

use super::Scheduler;
use super::assign::Choice;
use super::half::Half;
use super::ledger::Role;
use super::pick::{self, Room};
use super::plan::Plan;
use crate::time::Instant;

impl Half {
    /// The plan of the next byte, if nobody was asked for that.
    fn open_head(&self) -> Option<&Plan> {
        let head = self.contiguous;
        self.plan_of(head).filter(|plan| plan.pool.contains(head))
    }
}

impl Scheduler {
    /// The reader waits for bytes that nobody promised.
    pub(super) fn starved(&mut self, stream: StreamId, range: ByteRange) {
        if self.halves.get(&stream).is_some_and(|half| half.contiguous == range.start()) {
            self.starving.insert(stream);
        }
    }

    /// Hands out the heads that readers wait for, one range for each stream.
    pub(super) fn feed_starving(&mut self, now: Instant) {
        for stream in std::mem::take(&mut self.starving) {
            let choice = self.halves.get(&stream).and_then(|half| {
                half.open_head().and_then(|plan| self.head_choice(stream, half, plan, now))
            });
            if let Some(choice) = choice.filter(|_| self.ledger.len() < self.config.delegations) {
                self.order(choice);
            }
        }
    }

    /// The source that would deliver the head first, busy or not.
    fn head_choice(
        &self,
        stream: StreamId,
        half: &Half,
        plan: &Plan,
        now: Instant,
    ) -> Option<Choice> {
        let all = self.trusted(plan, now);
        let me = pick::soonest(&all, self.config.floor)?;
        let room = Room { window: half.window_len(), remaining: half.waiting_len() };
        let len = pick::length(me, &all, room, &self.config);
        let range = plan.place(half.window, 0, len, self.config.floor)?;
        Some(Choice { path: me.path, stream, range, role: Role::Original })
    }
}
