//! Heads that nobody owes: the next byte of a stream, when the reader has waited for it and nobody promised it.
//!
//! They are handed out at once, also where all sources have as much to do as they should: what they have to do is
//! further ahead, or for other streams, and may take a slow source longer than the reader is patient. A source sends its
//! lowest bytes first, so that a head is not behind all that was ordered before.
//!
//! The client, which alone knows of readers that wait, says so of streams that it was told about. Of others the primary
//! takes it to be so where nothing of them is under way for as long: a stream that begins when all sources are full.

use kwik_proto::{ByteRange, StreamId};

use super::Scheduler;
use super::assign::Choice;
use super::book::Role;
use super::constants::{EXTRAS, NOTICED};
use super::half::Half;
use super::pick::{self, Room};
use super::plan::Plan;
use crate::time::Instant;

impl Half {
    /// The plan of the next byte, if nobody was asked for that.
    fn open_head(&self) -> Option<&Plan> {
        let head = self.contiguous;
        self.plan_of(head).filter(|plan| plan.pool.contains(head))
    }

    /// The first plan with bytes to hand out.
    pub(super) fn ready_plan(&self) -> Option<&Plan> {
        self.plans.values().find(|plan| plan.ready(self.window).is_some())
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
            if let Some(choice) =
                choice.filter(|_| self.book.ledger.len() < self.config.delegations)
            {
                self.order(choice);
            }
        }
    }

    /// Hands out the first bytes of streams of which nothing has been under way for long, who waited longest first.
    pub(super) fn feed_unfed(&mut self, now: Instant) {
        let mut unfed = self.unfed(now);
        unfed.sort();
        for (_, stream) in unfed {
            let mut able = self.book.sources.values().filter(|source| source.able(now));
            if !able.any(|source| self.book.ledger.extras(source.path) < EXTRAS) {
                return;
            }
            self.feed(stream, now);
        }
    }

    /// The streams that have waited long enough, and since when; the others' time is noted.
    fn unfed(&mut self, now: Instant) -> Vec<(Instant, StreamId)> {
        self.unfed_due = None;
        let mut unfed = Vec::new();
        for &stream in &self.busy {
            let Some(half) = self.halves.get_mut(&stream) else { continue };
            let idle = half.ready_plan().filter(|_| !self.book.ledger.owes(stream));
            let waits = idle.is_some_and(|plan| {
                let mut sources = self.book.sources.values();
                sources.any(|source| source.able(now) && plan.may_ask_now(source.path))
            });
            if !waits {
                half.unfed_since = None;
                continue;
            }
            let since = *half.unfed_since.get_or_insert(now);
            if now.since(since) >= NOTICED {
                unfed.push((since, stream));
            } else {
                let due = since + NOTICED;
                self.unfed_due = Some(self.unfed_due.map_or(due, |first| first.min(due)));
            }
        }
        unfed
    }

    fn feed(&mut self, stream: StreamId, now: Instant) {
        let choice = self.halves.get(&stream).and_then(|half| {
            half.ready_plan().and_then(|plan| self.unfed_choice(stream, half, plan, now))
        });
        let choice = choice.filter(|_| self.book.ledger.len() < self.config.delegations);
        if let Some(id) = choice.and_then(|choice| self.order(choice)) {
            self.book.set_extra(id);
        }
    }

    /// A small range: the source has enough to do.
    fn unfed_choice(
        &self,
        stream: StreamId,
        half: &Half,
        plan: &Plan,
        now: Instant,
    ) -> Option<Choice> {
        let mut all = self.trusted(plan, now);
        all.retain(|source| self.book.ledger.extras(source.path) < EXTRAS);
        let floor = self.config.floor;
        let path = pick::soonest(&all, floor)?.path;
        let range = plan.place(half.window, 0, floor, floor)?;
        Some(Choice { path, stream, range, role: Role::Original })
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
