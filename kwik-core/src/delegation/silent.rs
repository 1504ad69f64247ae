//! Paths that are silent: those that deliver nothing of what they owe, and those that are dialled and do not answer. What
//! they owe goes to others, where there are any.

use kwik_proto::frame::{GapReason, PathState};
use kwik_proto::{DelegationId, PathId};

use super::Scheduler;
use super::book::{Entry, Standing};
use super::outcome::Local;
use super::repair::Tell;
use crate::time::Instant;

impl Scheduler {
    /// A path that was late and has delivered nothing since is taken to hang: all that it owes goes to others, and it
    /// is left alone for a while. Where there is nobody else it stays: asking it again would only throw away what it sent.
    /// One that was removed can't be asked again: it keeps each range that nobody else can send.
    pub(super) fn take_from_silent(&mut self, now: Instant) {
        let silent: Vec<PathId> = self
            .book
            .sources
            .values()
            .filter(|source| {
                source.silence_due(self.primary_rtt, &self.config).is_some_and(|due| due <= now)
            })
            .map(|source| source.path)
            .collect();
        for path in silent {
            if !self.is_replaceable(path, now) {
                if let Some(source) = self.book.sources.get_mut(&path) {
                    source.silent_still(now);
                }
                continue;
            }
            if let Some(source) = self.book.sources.get_mut(&path) {
                source.fell_silent(&self.config, now);
                source.pause_once(&self.config, now);
            }
            for id in self.book.ledger.of_path(path) {
                self.take_or_copy(id, now);
            }
        }
    }

    /// Whether somebody else could be asked now for anything that the path owes, if it owes anything.
    fn is_replaceable(&self, path: PathId, now: Instant) -> bool {
        let owed = self.book.ledger.of_path(path);
        owed.is_empty()
            || owed.into_iter().any(|id| {
                let entry = self.book.ledger.entry(id);
                let half = entry.and_then(|entry| self.halves.get(&entry.stream));
                let plan =
                    half.zip(entry).and_then(|(half, entry)| half.plan_of(entry.range.start()));
                plan.is_some_and(|plan| {
                    self.book.sources.values().any(|other| {
                        other.path != path && other.able(now) && plan.may_ask_now(other.path)
                    })
                })
            })
    }

    fn take_or_copy(&mut self, id: DelegationId, now: Instant) {
        // Who will say later whether it can owes nothing that could be late.
        let owed = |entry: &&Entry| entry.standing == Standing::Owed;
        if self.book.ledger.entry(id).filter(owed).is_none() {
            return;
        }
        let Some(entry) = self.book.call_late(id, now).cloned() else { return };
        if self.is_draining(entry.path) {
            self.copy(id, now);
        } else {
            self.give_back(id, GapReason::Late, Tell::Path);
        }
    }

    pub(super) fn is_draining(&self, path: PathId) -> bool {
        self.book.sources.get(&path).is_some_and(|source| source.state == PathState::Draining)
    }

    /// A path that should have answered by now does not hold the head, where somebody else is there; one that should
    /// have answered long ago holds nothing.
    pub(super) fn take_from_unreached(&mut self, now: Instant) {
        for source in self.book.sources.values_mut() {
            source.judge_dial(self.primary_rtt, now);
        }
        let slow: Vec<PathId> = self
            .book
            .sources
            .values()
            .filter(|source| source.is_slow_to_answer(self.primary_rtt, now))
            .map(|source| source.path)
            .collect();
        for path in slow {
            for id in self.book.ledger.of_path(path) {
                if self.is_better_elsewhere(id, now) {
                    let under_way =
                        self.book.ledger.entry(id).map(|entry| self.under_way(entry, now));
                    self.bucket.charge(under_way.unwrap_or_default());
                    self.give_back(id, GapReason::Late, Tell::Path);
                }
            }
        }
    }

    fn is_better_elsewhere(&self, id: DelegationId, now: Instant) -> bool {
        let Some(entry) = self.book.ledger.entry(id) else { return false };
        let others = self.second_sources(entry, entry.range, now);
        if self.book.sources.get(&entry.path).is_some_and(|source| source.is_unreached()) {
            return !others.is_empty();
        }
        // The last resort is not for a dial that takes a little longer.
        self.is_head(entry)
            && others.iter().any(|other| !other.path.is_primary() || !self.is_last_resort(entry))
    }

    fn is_head(&self, entry: &Entry) -> bool {
        let half = self.halves.get(&entry.stream);
        half.is_some_and(|half| entry.range.contains(half.contiguous))
    }

    fn is_last_resort(&self, entry: &Entry) -> bool {
        let half = self.halves.get(&entry.stream);
        let plan = half.and_then(|half| half.plan_of(entry.range.start()));
        plan.is_some_and(|plan| plan.local() == Local::Fallback)
    }
}
