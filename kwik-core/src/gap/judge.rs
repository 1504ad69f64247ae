//! The rules: what is late, and when waiting has no point.

use std::collections::BTreeMap;
use std::time::Duration;

use kwik_proto::frame::{Gap, GapReason};
use kwik_proto::{ByteRange, DelegationId, Offset, PathId, StreamId};

use super::clocks::Prospects;
use super::promise::{Promise, State, doubled};
use super::wait::{Wait, missing_span};
use super::work::Work;
use super::{GapAction, StreamView};
use crate::delegation::constants::{LEAST_PATIENCE, NOTICED, PRIMARY_RATE, SILENCE, STOPPED};
use crate::delegation::forecast::{Forecast, pays};
use crate::time::Instant;

/// The rules, applied to one stream at one moment.
pub(super) struct Judge<'a> {
    pub(super) paths: &'a BTreeMap<PathId, Work>,
    pub(super) view: &'a StreamView<'a>,
    pub(super) now: Instant,
}

impl Judge<'_> {
    /// The range clock.
    pub(super) fn late_range(&self, wait: &mut Wait) -> Option<Gap> {
        let rearmed = wait.rearmed;
        let mut timer = None;
        let late = wait.promises.values_mut().find_map(|promise| {
            let work = self.paths.get(&promise.path).filter(|work| !work.suspect)?;
            let due = promise.late_anywhere(work, rearmed)?;
            if promise.state != State::Owed || !work.connected() {
                return None;
            }
            if due > self.now {
                timer = Some(timer.map_or(due, |timer: Instant| timer.min(due)));
                return None;
            }
            let range = missing_span(self.view, promise.range)?;
            promise.state = State::Late;
            Some((promise.path, promise.id, range))
        });
        if let Some(due) = timer {
            wait.arm(due);
        }
        late.map(|(path, id, range)| late_gap(wait.stream, range, path, id))
    }

    /// The head clock, and the comparison with a fresh copy.
    pub(super) fn late_head(&self, wait: &mut Wait) -> Option<Gap> {
        let head = self.head()?;
        let since = wait.head_since.max(wait.rearmed);
        let lates = wait.head_lates;
        // Nothing that is ordered now has an effect before that: a lost packet is sent again sooner.
        let order = self.paths.get(&PathId::PRIMARY).map(Work::srtt).unwrap_or_default();
        let pace = self.pace(wait, head);
        let mut timer = None;
        let late = wait.promises.values_mut().find_map(|promise| {
            let work = self.paths.get(&promise.path).filter(|work| !work.suspect)?;
            if promise.state != State::Owed || !promise.range.contains(head) {
                return None;
            }
            let range = missing_span(self.view, promise.range)?;
            let due = promise.late_at_head(work, since, order, lates);
            let pace = pace.and_then(|(id, pace)| (id == promise.id).then_some(pace));
            let slow = self.slower_than_a_copy(promise, work, range.len(), since, pace, lates);
            if due > self.now && !slow {
                timer = Some(timer.map_or(due, |timer: Instant| timer.min(due)));
                return None;
            }
            if slow {
                promise.compared = Some(self.now);
            }
            promise.state = State::Late;
            Some((promise.path, promise.id, range))
        });
        if let Some(due) = timer {
            wait.arm(due);
        }
        let (path, id, range) = late?;
        wait.head_lates += 1;
        Some(late_gap(wait.stream, range, path, id))
    }

    /// The only promise for the head that is owed, and how long the rest of it takes at the pace at which it came.
    fn pace(&self, wait: &mut Wait, head: Offset) -> Option<(DelegationId, Duration)> {
        let owed = wait.owners(head).filter(|promise| promise.state == State::Owed);
        let owed: Vec<_> = owed.map(|promise| (promise.id, promise.range)).take(2).collect();
        let [(id, range)] = owed[..] else { return None };
        let rest = missing_span(self.view, range)?.len();
        Some((id, wait.at_this_pace(id, head, rest, self.now)?))
    }

    fn slower_than_a_copy(
        &self,
        promise: &Promise,
        work: &Work,
        rest: u64,
        since: Instant,
        pace: Option<Duration>,
        lates: u32,
    ) -> bool {
        // A head that has just become one is no evidence yet.
        let early = self.now.since(since) < LEAST_PATIENCE && pace.is_none();
        if early || promise.compared.is_some_and(|last| self.now.since(last) < SILENCE) {
            return false;
        }
        let order = self.paths.get(&PathId::PRIMARY).map(Work::srtt).unwrap_or_default();
        let others = self
            .paths
            .iter()
            .filter(|(path, other)| **path != promise.path && !other.suspect && other.connected());
        // Both factors double each time that somebody was late with the same byte, as the head clock does.
        let copy = |forecast: Forecast| forecast.ordered(rest) * f64::from(doubled(lates));
        let (known, strange): (Vec<_>, Vec<_>) =
            others.partition(|(_, other)| other.rate().is_some());
        let measured = known.iter().map(|(_, other)| copy(other.forecast(order)));
        let measured = measured.min_by(f64::total_cmp);
        let primary = strange.iter().find(|(path, _)| path.is_primary());
        let assumed =
            primary.map(|(_, other)| copy(other.forecast(order).at_most(PRIMARY_RATE as f64)));
        let any = measured.into_iter().chain(assumed).min_by(f64::total_cmp);
        let begun = promise.has_begun() && work.rate().is_some();
        let end = begun.then(|| work.forecast(order).owed(0, rest));
        measured.zip(end).is_some_and(|(copy, end)| pays(end, copy))
            || any.zip(pace).is_some_and(|(copy, end)| end.as_secs_f64() > copy * STOPPED)
    }

    /// The missing byte that the reader waits for.
    fn head(&self) -> Option<Offset> {
        let first = self.view.missing.first()?;
        let at_reader = first.start() == self.view.contiguous_end;
        (self.view.waiting && at_reader).then(|| first.start())
    }

    /// The gap timeout, and the report of a head that nobody promised.
    pub(super) fn hopeless(&self, wait: &mut Wait, timeout: Duration) -> Option<GapAction> {
        let head = self.head()?;
        let promised = wait.owners(head).any(|promise| self.counts(promise));
        if !promised && self.view.unwritten {
            wait.clocks.stop(self.now);
            return self.unassigned(wait, head);
        }
        let owes = |promise: &Promise| self.counts(promise) && promise.state == State::Owed;
        let owed = wait.owners(head).any(owes);
        let who = Prospects { promised, owed, unfailed: self.has_unfailed(wait, head) };
        let end = wait.clocks.run(who, timeout, self.now);
        if let Some(end) = end.filter(|_| !wait.gave_up) {
            if self.now >= end {
                wait.gave_up = true;
                let len = self.view.missing.first().map_or(0, |missing| missing.len());
                return Some(GapAction::GiveUp { stream: wait.stream, offset: head, len });
            }
            wait.arm(end);
        }
        if promised {
            if owed {
                wait.unassigned_since = None;
            }
            return None;
        }
        self.unassigned(wait, head)
    }

    /// Whether a promise is more than a memory: its path is up.
    fn counts(&self, promise: &Promise) -> bool {
        self.paths.get(&promise.path).is_some_and(|work| !work.suspect)
    }

    /// Whether somebody has neither failed nor promised the head: who said that it will join, who has a contribution open
    /// for it, and the primary, which is late with a copy that nobody can replace, or may vouch for.
    fn has_unfailed(&self, wait: &Wait, head: Offset) -> bool {
        let unfailed = |promise: &Promise| match promise.state {
            // It is asked for nothing else until it joins, so that it need not have promised the head.
            State::Pending => self.counts(promise),
            State::Owed | State::Late => promise.path.is_primary() && promise.range.contains(head),
        };
        self.view.opened || wait.promises.values().any(unfailed)
    }

    fn unassigned(&self, wait: &mut Wait, head: Offset) -> Option<GapAction> {
        let since = *wait.unassigned_since.get_or_insert(self.now);
        // Not `now < since + NOTICED`: at the end of time a point is not before itself, and reports would never end.
        if self.now.since(since) < NOTICED {
            wait.arm(since + NOTICED);
            return None;
        }
        wait.unassigned_since = Some(self.now);
        let end = self.view.missing.first()?.end();
        let next = wait.promises.values().map(|promise| promise.range.start());
        let end = next.filter(|&start| start > head).min().map_or(end, |start| start.min(end));
        Some(GapAction::Report(Gap {
            stream: wait.stream,
            range: ByteRange::new(head, end)?,
            reason: GapReason::Unassigned,
            path: None,
            delegation: None,
        }))
    }
}

fn late_gap(stream: StreamId, range: ByteRange, path: PathId, id: DelegationId) -> Gap {
    Gap { stream, range, reason: GapReason::Late, path: Some(path), delegation: Some(id) }
}
