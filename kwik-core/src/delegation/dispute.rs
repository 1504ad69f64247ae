//! Disputes: bytes that two secondaries sent differently. Only the primary's own copy decides who was wrong.
//!
//! The client takes nobody else's bytes there until it comes, so the range is asked of the local provider, also where
//! that is a last resort; without one it is given up. Who is wrong is barred when the client has judged, never before.

use std::collections::BTreeMap;

use kwik_proto::frame::{Gap, GapReason};
use kwik_proto::{ByteRange, DelegationId, Offset, PathId, StreamId};

use super::Scheduler;
use super::outcome::Decision;
use crate::interval::RangeSet;
use crate::time::Instant;

/// Pieces of a stream in dispute at a time. The client pays when there are more: it is not answered.
const PIECES: usize = 1024;

/// Rulings on their way at a time, over all streams. Further ones wait.
const RULINGS: usize = 64;

/// Bytes below the reader's offset of which a ruling may still be asked for: the client remembers no more.
const MEMORY: u64 = 1 << 20;

/// What is in dispute on one stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Dispute {
    /// Missing bytes that nobody but the primary may fill.
    pub(super) open: RangeSet,
    /// Bytes whose ruling was asked for and not sent.
    wanted: RangeSet,
    /// Bytes that there is no ruling on.
    hopeless: RangeSet,
    /// Where the primary has a copy: each plan with a local provider.
    copies: BTreeMap<Offset, ByteRange>,
}

impl Dispute {
    /// The primary itself can supply `range`.
    pub(super) fn add_copy(&mut self, range: ByteRange) {
        self.copies.insert(range.start(), range);
    }

    /// Whether the copy for `range` may still be asked for.
    pub(super) fn has_copy(&self, range: ByteRange) -> bool {
        self.copies.contains_key(&range.start())
    }

    /// The reader got there: copies that end far behind it are not asked for any more.
    pub(super) fn handle_read(&mut self, read: Offset) {
        let forgotten = Offset::new(read.value().saturating_sub(MEMORY)).unwrap_or_default();
        if self.hopeless.first().is_some_and(|first| first.start() < forgotten) {
            self.hopeless.remove(ByteRange::new(Offset::ZERO, forgotten).unwrap_or_default());
        }
        while let Some(first) = self.copies.first_entry() {
            if first.get().end().saturating_add(MEMORY) > read {
                return;
            }
            first.remove();
        }
    }

    fn is_full(&self) -> bool {
        [&self.open, &self.wanted, &self.hopeless].iter().any(|pieces| pieces.count() >= PIECES)
    }

    /// Ranges that are remembered.
    #[cfg(test)]
    pub(super) fn pieces(&self) -> usize {
        self.open.count() + self.wanted.count() + self.hopeless.count()
    }

    /// The parts of `range` that anybody may fill.
    pub(super) fn others_in(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        self.open.missing_in(range)
    }

    /// How many bytes of `range` only the primary may fill.
    pub(super) fn open_len(&self, range: ByteRange) -> u64 {
        self.open.iter_in(range).map(ByteRange::len).sum()
    }

    /// The first bytes that want a ruling, within one copy of the primary's; `false`: it has none of them.
    fn next(&self) -> Option<(ByteRange, bool)> {
        let wanted = self.wanted.first()?;
        let copy = self.copies.range(..=wanted.start()).next_back();
        if let Some(part) = copy.and_then(|(_, copy)| copy.intersection(wanted)) {
            return Some((part, true));
        }
        let next = self.copies.range(wanted.start()..).map(|(start, _)| *start);
        let end = next.filter(|start| *start > wanted.start()).min().unwrap_or(wanted.end());
        Some((ByteRange::new(wanted.start(), end.min(wanted.end()))?, false))
    }
}

/// The rulings that are on their way.
pub(super) type Rulings = BTreeMap<DelegationId, (StreamId, ByteRange)>;

impl Scheduler {
    /// Whether the primary's own copy of a range that was delegated may still be asked for: to supply it, to prove it, or
    /// to decide a dispute about bytes that were read lately.
    pub fn wants_copy(&self, stream: StreamId, range: ByteRange) -> bool {
        self.halves.get(&stream).is_some_and(|half| half.dispute.has_copy(range))
    }

    /// Two secondaries differ: nobody but the primary is asked for the range from now on.
    pub(super) fn dispute(&mut self, stream: StreamId, range: ByteRange) {
        let Some(half) = self.halves.get_mut(&stream) else { return };
        let sent = ByteRange::new(Offset::ZERO, half.window).unwrap_or_default();
        let Some(range) = range.intersection(sent) else { return };
        if half.dispute.is_full() {
            return;
        }
        self.stats.delivered_bytes = self.stats.delivered_bytes.saturating_sub(half.dropped(range));
        if let Some(unread) = ByteRange::new(range.start().max(half.read), range.end()) {
            half.dispute.open.insert(unread);
            for plan in half.plans_in(unread) {
                plan.arrived(unread);
            }
        }
        self.want_ruling(stream, range);
        self.recount(stream, range);
    }

    /// Asks for the primary's copy of `range`, but for what is on its way or does not exist.
    pub(super) fn want_ruling(&mut self, stream: StreamId, range: ByteRange) {
        let Some(half) = self.halves.get_mut(&stream) else { return };
        let known: RangeSet = self
            .rulings
            .values()
            .filter(|(of, _)| *of == stream)
            .map(|(_, range)| *range)
            .chain(half.dispute.hopeless.iter_in(range))
            .collect();
        for piece in known.missing_in(range) {
            half.dispute.wanted.insert(piece);
            self.disputes.insert(stream);
        }
    }

    /// Orders the rulings that are wanted, from the local provider; says so where there is none.
    pub(super) fn rule(&mut self, now: Instant) {
        let able = self.book.sources.get(&PathId::PRIMARY).is_some_and(|primary| primary.able(now));
        while let Some(&stream) = self.disputes.first() {
            let Some(half) = self.halves.get_mut(&stream) else {
                self.disputes.remove(&stream);
                continue;
            };
            let Some((range, at_hand)) = half.dispute.next() else {
                self.disputes.remove(&stream);
                continue;
            };
            if at_hand && (!able || self.rulings.len() >= RULINGS) {
                return;
            }
            half.dispute.wanted.remove(range);
            if at_hand {
                let id = self.book.next_id();
                self.rulings.insert(id, (stream, range));
                self.decisions.push_back(Decision::SupplyLocally { stream, range, id });
            } else {
                half.dispute.hopeless.insert(range);
                let reason = GapReason::Conflict;
                self.decisions.push_back(Decision::GiveUp { stream, range, reason });
            }
        }
    }

    /// Whether a gap is about a ruling; then it is dealt with.
    pub(super) fn ruling_failed(&mut self, gap: &Gap, now: Instant) -> bool {
        let ruling = gap.delegation.and_then(|id| Some((id, *self.rulings.get(&id)?)));
        let Some((id, (stream, range))) = ruling.filter(|(_, (of, _))| *of == gap.stream) else {
            return false;
        };
        // Nobody else could help: a late ruling is waited for.
        if gap.reason == GapReason::Late || gap.path != Some(PathId::PRIMARY) {
            return true;
        }
        self.rulings.remove(&id);
        let Some(half) = self.halves.get(&stream) else { return true };
        let open: Vec<ByteRange> = half.dispute.open.iter_in(range).collect();
        // However often it failed: a copy that can't be read now may be readable soon, and the client ends the wait.
        self.pause(PathId::PRIMARY, now);
        open.into_iter().for_each(|piece| self.want_ruling(stream, piece));
        true
    }

    /// The client told what it holds: rulings on bytes that it does not wait for are done, or will be.
    pub(super) fn end_rulings(&mut self, stream: StreamId) {
        let Some(half) = self.halves.get(&stream) else { return };
        let open = &half.dispute.open;
        let before = self.rulings.len();
        self.rulings.retain(|_, (of, range)| *of != stream || open.overlaps(*range));
        if self.rulings.len() < before
            && let Some(primary) = self.book.sources.get_mut(&PathId::PRIMARY)
        {
            primary.delivered_again();
        }
    }

    /// The stream is over.
    pub(super) fn forget_rulings(&mut self, stream: StreamId) {
        self.disputes.remove(&stream);
        let mine = self.rulings.extract_if(.., |_, (of, _)| *of == stream);
        self.decisions.extend(mine.map(|(id, _)| Decision::CancelLocal { id }));
    }
}
