//! Taking back: what a source will not deliver goes to others, and what is late is copied.

use kwik_proto::frame::{DelegationState, DelegationStatus, Gap, GapReason};
use kwik_proto::{ByteRange, DelegationId, PathId, StreamId};

use super::book::{Entry, Role, Standing};
use super::outcome::{Decision, Event};
use super::{BARRED, Scheduler};
use crate::time::Instant;

/// What a failure says about the source's next answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It will say the same of this resource again.
    ForGood,
    /// It may be able later.
    Later,
    /// It broke off what it had begun; that is forgiven a few times.
    BrokeOff,
    /// Nothing: the path's state says it all.
    Nothing,
}

impl Verdict {
    fn of(reason: GapReason) -> Self {
        match reason {
            GapReason::Refused | GapReason::Stale | GapReason::NotFound | GapReason::Conflict => {
                Self::ForGood
            }
            GapReason::Busy => Self::Later,
            GapReason::Reset | GapReason::Corrupt | GapReason::SourceFailed => Self::BrokeOff,
            GapReason::Late
            | GapReason::PathGone
            | GapReason::PathSuspect
            | GapReason::Revoked
            | GapReason::Unassigned => Self::Nothing,
        }
    }
}

/// What an answer of a secondary may say about itself (GRANT-17). The other reasons are the client's: taken from a
/// secondary they would cost it nothing, and it would be asked again at once, for ever.
const fn sayable(reason: GapReason) -> GapReason {
    match reason {
        GapReason::Stale
        | GapReason::NotFound
        | GapReason::Busy
        | GapReason::SourceFailed
        | GapReason::Refused => reason,
        GapReason::Late
        | GapReason::Reset
        | GapReason::PathGone
        | GapReason::PathSuspect
        | GapReason::Corrupt
        | GapReason::Conflict
        | GapReason::Revoked
        | GapReason::Unassigned => GapReason::SourceFailed,
    }
}

impl Scheduler {
    /// Takes a secondary's answer to a delegation. An answer about a delegation that is not live any more, or from
    /// another path than was asked, changes nothing.
    pub fn handle_status(&mut self, status: &DelegationStatus, now: Instant) {
        self.touch(now);
        let id = status.delegation;
        if self.book.ledger.entry(id).is_none_or(|entry| entry.path != status.path) {
            return;
        }
        match status.state {
            DelegationState::Accepted => self.accepted(id, now),
            DelegationState::Pending => self.pending(id, now),
            DelegationState::Refused(reason) | DelegationState::Failed(reason) => {
                self.failed(id, sayable(reason), now);
            }
            DelegationState::Sent => {}
        }
    }

    /// A source that could not yet now can: it is asked like any other, and its range counts again if nobody else was
    /// asked for it.
    fn accepted(&mut self, id: DelegationId, now: Instant) {
        let Some(entry) = self.book.ledger.entry(id) else { return };
        if entry.standing == Standing::Owed {
            return;
        }
        let (stream, range, path, missing) = (entry.stream, entry.range, entry.path, entry.missing);
        self.book.set_standing(id, Standing::Owed, now);
        let half = self.halves.get_mut(&stream);
        let Some(plan) = half.and_then(|half| half.plan_at(range.start())) else { return };
        plan.clear_pending(path);
        if missing > 0 && plan.pool.covers(range) {
            plan.take(range);
        } else {
            self.withdraw(id);
        }
    }

    /// A source will say later whether it can. Its range is open to others; it keeps the delegation as its ticket.
    fn pending(&mut self, id: DelegationId, now: Instant) {
        let Some(entry) = self.book.ledger.entry(id).cloned() else { return };
        if entry.standing == Standing::Pending {
            return;
        }
        self.book.set_standing(id, Standing::Pending, now);
        if entry.role == Role::Copy {
            // Somebody else is to be found.
            self.copy_failed(&entry);
        }
        let half = self.halves.get_mut(&entry.stream);
        if let Some(plan) = half.and_then(|half| half.plan_at(entry.range.start())) {
            plan.set_pending(entry.path);
        }
        self.reopen(entry.stream, entry.range);
        // One ticket is enough, and a second range would wait as long.
        for other in self.book.ledger.of_path(entry.path) {
            let same = self.book.ledger.entry(other).is_some_and(|other| {
                other.id > id && other.stream == entry.stream && other.standing == Standing::Owed
            });
            if same && self.same_plan(other, &entry) {
                self.give_back(other, GapReason::Busy, Tell::Path);
            }
        }
    }

    pub(super) fn same_plan(&mut self, other: DelegationId, entry: &Entry) -> bool {
        let Some(start) = self.book.ledger.entry(other).map(|other| other.range.start()) else {
            return false;
        };
        let half = self.halves.get_mut(&entry.stream);
        half.and_then(|half| half.plan_at(entry.range.start()))
            .is_some_and(|plan| plan.range.contains(start))
    }

    /// Takes the client's word that bytes are due and nobody delivers them.
    pub fn handle_gap(&mut self, gap: &Gap, now: Instant) {
        self.touch(now);
        if self.ruling_failed(gap, now) {
            return;
        }
        if gap.reason == GapReason::Conflict && gap.path.is_none() {
            return self.dispute(gap.stream, gap.range);
        }
        let Some(half) = self.halves.get_mut(&gap.stream) else { return };
        self.stats.delivered_bytes =
            self.stats.delivered_bytes.saturating_sub(half.dropped(gap.range));
        self.recount(gap.stream, gap.range);
        let live = gap.delegation.filter(|&id| {
            self.book
                .ledger
                .entry(id)
                .is_some_and(|entry| entry.stream == gap.stream && gap.path == Some(entry.path))
        });
        match (live, gap.reason) {
            (Some(id), GapReason::Late) => self.late(id, gap.range, now),
            (Some(id), reason) => self.failed(id, reason, now),
            // The primary's copy showed that the path was wrong.
            (None, GapReason::Conflict) => {
                if let Some(path) = gap.path {
                    self.bar(gap.stream, gap.range, path, GapReason::Conflict);
                }
            }
            (None, GapReason::Unassigned) => self.starved(gap.stream, gap.range),
            (None, _) => {}
        }
        self.reopen(gap.stream, gap.range);
    }

    /// Bytes that counted as held are missing again, or are in dispute: whoever is still asked for them owes more, or less.
    pub(super) fn recount(&mut self, stream: StreamId, range: ByteRange) {
        let Some(half) = self.halves.get(&stream) else { return };
        let mut done = Vec::new();
        for id in self.book.ledger.overlapping(stream, range) {
            let Some(entry) = self.book.ledger.entry(id) else { continue };
            let missing = half.missing_from(entry.path, entry.range);
            let owed = entry.standing == Standing::Owed;
            self.book.set_missing(id, missing, self.now);
            if owed && missing == 0 {
                done.push(id);
            }
        }
        done.into_iter().for_each(|id| self.settle(id, self.now));
    }

    /// The source will not deliver the delegation's rest.
    fn failed(&mut self, id: DelegationId, reason: GapReason, now: Instant) {
        let Some(entry) = self.book.ledger.entry(id) else { return };
        let (stream, range, path) = (entry.stream, entry.range, entry.path);
        match Verdict::of(reason) {
            Verdict::ForGood => self.bar(stream, range, path, reason),
            Verdict::Later => self.pause(path, now),
            Verdict::BrokeOff => {
                let source = self.book.sources.get(&path);
                // What else it was asked for before fails for the same cause, and that counts once.
                let again = source.is_some_and(|source| source.pause_end(now).is_some());
                self.pause(path, now);
                let half = self.halves.get_mut(&stream);
                let plan = half.and_then(|half| half.plan_at(range.start()));
                // The primary's own copy is the last resort: it is asked again, however often it failed.
                let once_too_often = plan.is_some_and(|plan| {
                    plan.last_reason = Some(reason);
                    !again && plan.broke_off(path)
                });
                if once_too_often && !path.is_primary() {
                    self.bar(stream, range, path, reason);
                }
            }
            Verdict::Nothing => {}
        }
        self.give_back(id, reason, Tell::Nobody);
    }

    pub(super) fn pause(&mut self, path: PathId, now: Instant) {
        if let Some(source) = self.book.sources.get_mut(&path) {
            source.pause(&self.config, now);
        }
    }

    /// Does not ask the path again for the resource that `range` is part of.
    pub(super) fn bar(
        &mut self,
        stream: StreamId,
        range: ByteRange,
        path: PathId,
        reason: GapReason,
    ) {
        let half = self.halves.get_mut(&stream);
        let Some(plan) = half.and_then(|half| half.plan_at(range.start())) else { return };
        let resource = plan.resource.clone();
        let mut news = Vec::new();
        for (&stream, half) in &mut self.halves {
            for plan in half.plans.values_mut().filter(|plan| plan.resource == resource) {
                if plan.refuse(path, reason) {
                    news.push(Event::Excluded { stream, path, reason });
                }
            }
        }
        if self.barred.len() >= BARRED && !self.barred.contains_key(&resource) {
            self.barred.pop_first();
        }
        self.barred.entry(resource).or_default().insert(path, reason);
        news.into_iter().for_each(|event| self.tell(event));
    }

    /// Everything that a path owes is asked of others.
    pub(super) fn path_lost(&mut self, path: PathId, reason: GapReason) {
        // A suspect server may wake up: then it finds that it has nothing to send, but for what was on its way.
        let tell = if reason == GapReason::PathSuspect {
            self.bucket.charge(self.in_flight(path));
            Tell::Path
        } else {
            Tell::Nobody
        };
        for id in self.book.ledger.of_path(path) {
            self.give_back(id, reason, tell);
        }
        if let Some(source) = self.book.sources.get_mut(&path) {
            source.fell_silent(&self.config, self.now);
        }
        for plan in self.halves.values_mut().flat_map(|half| half.plans.values_mut()) {
            plan.forget_pending(path);
            if plan.may_ask(path) {
                plan.last_reason = Some(reason);
            }
        }
    }

    /// Bytes that a path may have sent and that did not arrive: those of one round trip.
    fn in_flight(&self, path: PathId) -> u64 {
        let Some(source) = self.book.sources.get(&path) else { return 0 };
        let rate = source.share().rate.unwrap_or_default();
        ((rate as f64 * source.round_trip().as_secs_f64()) as u64).min(source.owed())
    }

    /// Ends a delegation whose missing bytes are to come from others.
    pub(super) fn give_back(&mut self, id: DelegationId, reason: GapReason, tell: Tell) {
        let Some(entry) = self.book.close(id, self.now) else { return };
        if entry.standing == Standing::Pending {
            // Without its ticket it can't join any more; it is asked like any other.
            let half = self.halves.get_mut(&entry.stream);
            if let Some(plan) = half.and_then(|half| half.plan_at(entry.range.start())) {
                plan.clear_pending(entry.path);
            }
        }
        match tell {
            Tell::Path => self.revoke(&entry),
            Tell::Nobody => {}
        }
        if let Some(lost) = self.missing_span(&entry) {
            let (stream, path) = (entry.stream, entry.path);
            self.tell(Event::Lost { stream, range: lost, path, reason });
        }
        self.put_back(&entry);
    }

    /// The missing bytes of a delegation that has left the book are to come from others.
    pub(super) fn put_back(&mut self, entry: &Entry) {
        if entry.role == Role::Copy {
            self.copy_failed(entry);
        }
        self.reopen(entry.stream, entry.range);
    }

    /// From the first to the last byte of the delegation that the client does not hold.
    fn missing_span(&self, entry: &Entry) -> Option<ByteRange> {
        let held = &self.halves.get(&entry.stream)?.held;
        let first = held.missing_in(entry.range).next()?;
        let last = held.missing_in(entry.range).last()?;
        ByteRange::new(first.start(), last.end())
    }

    /// A copy failed, which costs nothing: whoever was late before is late still.
    fn copy_failed(&mut self, copy: &Entry) {
        self.bucket.refund(copy.missing);
        let half = self.halves.get_mut(&copy.stream);
        if let Some(plan) = half.and_then(|half| half.plan_at(copy.range.start())) {
            plan.copied_at_end = plan.copied_at_end.saturating_sub(copy.missing);
        }
        for id in self.book.ledger.overlapping(copy.stream, copy.range) {
            if self.book.ledger.entry(id).is_some_and(|entry| entry.copied) {
                self.book.set_copied(id, false);
                self.book.set_wants_copy(id, true);
            }
        }
    }

    /// Puts the bytes of `range` that are neither held nor owed back into the pool.
    fn reopen(&mut self, stream: StreamId, range: ByteRange) {
        if !self.config.switches.repair {
            return;
        }
        let owed = self.book.ledger.owed_in(stream, range);
        let Some(half) = self.halves.get_mut(&stream) else { return };
        let disputed: Vec<ByteRange> = half.dispute.open.iter_in(range).collect();
        let missing: Vec<ByteRange> = half
            .wanted_in(range)
            .flat_map(|piece| owed.missing_in(piece).collect::<Vec<_>>())
            .collect();
        for piece in missing {
            for plan in half.plans_in(piece) {
                let Some(part) = plan.range.intersection(piece) else { continue };
                let open: Vec<ByteRange> = plan.pool.missing_in(part).collect();
                open.into_iter().for_each(|part| plan.give_back(part));
            }
        }
        disputed.into_iter().for_each(|piece| self.want_ruling(stream, piece));
    }

    /// Ends a delegation whose bytes nobody needs from its path.
    pub(super) fn withdraw(&mut self, id: DelegationId) {
        let Some(entry) = self.book.close(id, self.now) else { return };
        self.revoke(&entry);
    }

    /// Tells a path to stop sending.
    pub(super) fn revoke(&mut self, entry: &Entry) {
        self.stats.revokes += 1;
        self.decisions.push_back(if entry.path.is_primary() {
            Decision::CancelLocal { id: entry.id }
        } else {
            Decision::Revoke { path: entry.path, stream: entry.stream, delegation: entry.id }
        });
    }
}

/// Whether the path that loses a delegation has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// It may still be sending.
    Path,
    /// It knows, or cannot be reached.
    Nobody,
}
