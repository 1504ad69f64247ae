//! A stream as the scheduler sees it: what the client holds of it, and what was delegated.

use std::collections::BTreeMap;

use kwik_proto::frame::StreamProgress;
use kwik_proto::{ByteRange, Offset, PathId};

use super::dispute::Dispute;
use super::outcome::Local;
use super::plan::Plan;
use crate::interval::RangeSet;
use crate::time::Instant;

/// Pieces of a stream that a client may report as held, at most.
const HELD_PIECES: usize = 4096;

/// Held ranges that one report can name; a report with as many may have left out others.
const REPORTED_RANGES: usize = 32;

/// Bytes that are new in a report, and who sent them where the report says so.
pub(super) type News = Vec<(ByteRange, Option<PathId>)>;

/// The half of a stream that the primary sends.
#[derive(Clone, Debug, Default)]
pub(super) struct Half {
    pub(super) window: Offset,
    pub(super) read: Offset,
    pub(super) contiguous: Offset,
    pub(super) held: RangeSet,
    /// Plans with missing bytes, by their first byte.
    pub(super) plans: BTreeMap<Offset, Plan>,
    /// End of the plans that are over: they were read to their end, so nothing below is delegated any more.
    done: Offset,
    /// What two secondaries sent differently.
    pub(super) dispute: Dispute,
    /// The last report said that the reader waits.
    pub(super) reader_waiting: bool,
    /// The last report may have left out held ranges.
    pub(super) truncated: bool,
    /// Bytes of delegated ranges that the client has, by who sent them, as far as that can be told. As many as there are paths.
    pub(super) shares: BTreeMap<PathId, u64>,
    /// Since when nobody has owed bytes of it though some could be asked for.
    pub(super) unfed_since: Option<Instant>,
}

impl Half {
    /// Takes a report in; returns what it adds to what was known.
    pub(super) fn handle_progress(&mut self, progress: &StreamProgress) -> News {
        self.read = self.read.max(progress.read_offset);
        self.reader_waiting = progress.reader_waiting;
        self.truncated = progress.held.len() >= REPORTED_RANGES;
        let mut news = News::new();
        // The ranges that name their sender come first: what is left of the contiguous part has none.
        for held in &progress.held {
            self.add(held.range, Some(held.path), &mut news);
        }
        if let Some(head) = ByteRange::new(Offset::ZERO, progress.contiguous_end) {
            self.add(head, None, &mut news);
        }
        self.contiguous = progress.contiguous_end;
        self.dispute.handle_read(self.read);
        news
    }

    /// The path sent that many bytes.
    pub(super) fn credit(&mut self, path: PathId, len: u64) {
        let share = self.shares.entry(path).or_default();
        *share = share.saturating_add(len);
    }

    /// A client can't hold what nobody may send it; what it says beyond the window, or in more pieces than it is asked
    /// for, is not remembered, and it pays with bytes sent twice.
    fn add(&mut self, range: ByteRange, path: Option<PathId>, news: &mut News) {
        let allowed = ByteRange::new(Offset::ZERO, self.window).unwrap_or_default();
        let Some(range) = range.intersection(allowed) else { return };
        if self.held.count() >= HELD_PIECES {
            return;
        }
        news.extend(self.held.missing_in(range).map(|piece| (piece, path)));
        self.held.insert(range);
    }

    /// Adds a plan, unless it shares bytes with an earlier one, or lies before one that was read to its end.
    pub(super) fn add_plan(&mut self, mut plan: Plan) -> bool {
        if plan.range.start() < self.done || self.plans_in(plan.range).next().is_some() {
            return false;
        }
        for done in self.held.iter_in(plan.range).chain(self.dispute.open.iter_in(plan.range)) {
            plan.arrived(done);
        }
        if plan.local() != Local::None {
            self.dispute.add_copy(plan.range);
        }
        self.plans.insert(plan.range.start(), plan);
        true
    }

    /// The plan that the byte at `offset` belongs to, if bytes of it are missing.
    pub(super) fn plan_at(&mut self, offset: Offset) -> Option<&mut Plan> {
        let (_, plan) = self.plans.range_mut(..=offset).next_back()?;
        plan.range.contains(offset).then_some(plan)
    }

    /// As [`plan_at`](Self::plan_at), to look at.
    pub(super) fn plan_of(&self, offset: Offset) -> Option<&Plan> {
        let (_, plan) = self.plans.range(..=offset).next_back()?;
        plan.range.contains(offset).then_some(plan)
    }

    /// Whether the path is the primary's own, which the plan of `range` asks only when nobody else is left.
    pub(super) fn is_last_resort(&self, range: ByteRange, path: PathId) -> bool {
        let plan = self.plan_of(range.start());
        path.is_primary() && plan.is_some_and(|plan| plan.local() == Local::Fallback)
    }

    /// The plans that share bytes with `range`.
    pub(super) fn plans_in(&mut self, range: ByteRange) -> impl Iterator<Item = &mut Plan> {
        let from = match self.plans.range(..=range.start()).next_back() {
            Some((&start, _)) => start,
            None => range.start(),
        };
        let plans = self.plans.range_mut(from..range.end().max(from)).map(|(_, plan)| plan);
        plans.filter(move |plan| plan.range.intersection(range).is_some())
    }

    /// The first plan, if its last byte was read: it is forgotten. Before that its bytes may become missing again, when
    /// their source turns out to be wrong.
    pub(super) fn take_done(&mut self) -> Option<Plan> {
        let first = self.plans.first_entry()?;
        let end = first.get().range.end();
        let plan = (end <= self.read).then(|| first.remove())?;
        self.done = self.done.max(end);
        Some(plan)
    }

    /// The parts of `range` that the client does not hold and that anybody may fill.
    pub(super) fn wanted_in(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        self.held.missing_in(range).flat_map(|piece| self.dispute.others_in(piece))
    }

    /// How many bytes of `range` the client misses and `path` may fill.
    pub(super) fn missing_from(&self, path: PathId, range: ByteRange) -> u64 {
        let missing: u64 = self.held.missing_in(range).map(ByteRange::len).sum();
        if path.is_primary() {
            missing
        } else {
            missing.saturating_sub(self.dispute.open_len(range))
        }
    }

    /// The client had to drop bytes that it reported as held, or never had them. What was read is final. Returns how
    /// many bytes of plans are missing again.
    pub(super) fn dropped(&mut self, range: ByteRange) -> u64 {
        let Some(unread) = ByteRange::new(range.start().max(self.read), range.end()) else {
            return 0;
        };
        let plans: Vec<ByteRange> =
            self.plans.values().filter_map(|plan| plan.range.intersection(unread)).collect();
        let dropped = plans.into_iter().map(|part| self.held.remove(part)).sum();
        self.held.remove(unread);
        dropped
    }

    /// Bytes that were delegated and that nobody was asked for yet, below the window and beyond.
    pub(super) fn waiting_len(&self) -> u64 {
        self.plans.values().map(|plan| plan.pool.total_len()).sum()
    }

    /// Bytes from the reader's offset to the end of the window.
    pub(super) fn window_len(&self) -> u64 {
        self.window.since(self.read)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn pieces_that_a_client_holds_are_remembered_up_to_a_bound() {
        let at = |offset| Offset::new(offset).unwrap();
        let mut half = Half { window: at(1 << 20), ..Half::default() };
        let mut news = News::new();
        for piece in 0..10_000 {
            half.add(ByteRange::new(at(2 * piece), at(2 * piece + 1)).unwrap(), None, &mut news);
        }
        assert_eq!((half.held.count(), news.len()), (4_096, 4_096));
    }
}
