//! Paths that are still being dialled: they are trusted with what the reader needs later, and not for ever.

use kwik_proto::frame::GapReason;
use kwik_proto::{DelegationId, PathId};

use super::Scheduler;
use super::ledger::Entry;
use super::outcome::Local;
use super::repair::Tell;
use crate::time::Instant;

impl Scheduler {
    /// A path that should have answered by now does not hold the head, where somebody else is there; one that should
    /// have answered long ago holds nothing.
    pub(super) fn take_from_unreached(&mut self, now: Instant) {
        for source in self.sources.values_mut() {
            source.judge_dial(self.primary_rtt, now);
        }
        let slow: Vec<PathId> = self
            .sources
            .values()
            .filter(|source| source.is_slow_to_answer(self.primary_rtt, now))
            .map(|source| source.path)
            .collect();
        for path in slow {
            for id in self.ledger.of_path(path) {
                if self.is_better_elsewhere(id, now) {
                    let under_way = self.ledger.entry(id).map(|entry| self.under_way(entry, now));
                    self.bucket.charge(under_way.unwrap_or_default());
                    self.give_back(id, GapReason::Late, Tell::Path);
                }
            }
        }
    }

    fn is_better_elsewhere(&self, id: DelegationId, now: Instant) -> bool {
        let Some(entry) = self.ledger.entry(id) else { return false };
        let others = self.second_sources(entry, entry.range, now);
        if self.sources.get(&entry.path).is_some_and(|source| source.is_unreached()) {
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
