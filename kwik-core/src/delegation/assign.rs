//! Handing out: from the pool to whoever frees up.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use kwik_proto::frame::{Delegation, GapReason, PathState, Rank};
use kwik_proto::{ByteRange, DelegationId, PathId, StreamId};

use super::Scheduler;
use super::book::{Entry, Role, Standing};
use super::constants::TRIAL_DISTANCE;
use super::half::Half;
use super::outcome::{Decision, Event};
use super::pick::{self, Room};
use super::plan::Plan;
use super::source::Source;
use crate::time::Instant;

/// What an order is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) path: PathId,
    pub(super) stream: StreamId,
    pub(super) range: ByteRange,
    pub(super) role: Role,
}

impl Scheduler {
    /// Hands out ranges while somebody has room for one.
    pub(super) fn assign(&mut self, now: Instant) {
        while self.book.ledger.len() < self.config.delegations && self.has_room(now) {
            let Some(choice) = self.next_choice(now) else { return };
            self.served = Some(choice.stream);
            self.order(choice);
        }
    }

    /// Whether anybody should be asked for more. If not, no plan needs to be looked at, of which there may be thousands.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        let mut able = self.book.sources.values().filter(|source| source.able(now));
        able.any(|source| source.has_room(self.primary_rtt, &self.config))
    }

    /// The next range to hand out: of streams with a higher priority first, equal ones take turns, and within a stream the
    /// lowest bytes come first.
    fn next_choice(&self, now: Instant) -> Option<Choice> {
        let turns = || {
            let (last, busy) = (self.served, &self.busy);
            let after = busy.iter().filter(move |&&stream| last.is_none_or(|last| stream > last));
            let before =
                busy.iter().filter(move |&&stream| last.is_some_and(|last| stream <= last));
            after.chain(before).copied()
        };
        if self.priorities.is_empty() {
            return turns().find_map(|stream| self.choice_in(stream, now));
        }
        let classes: BTreeSet<_> = turns().map(|stream| Reverse(self.priority(stream))).collect();
        let of = |class| turns().filter(move |&stream| self.priority(stream) == class);
        classes
            .into_iter()
            .flat_map(|Reverse(class)| of(class))
            .find_map(|stream| self.choice_in(stream, now))
    }

    fn choice_in(&self, stream: StreamId, now: Instant) -> Option<Choice> {
        let half = self.halves.get(&stream)?;
        let waiting = half.waiting_len();
        if let Some(choice) = self.trial(stream, half, waiting, now) {
            return Some(choice);
        }
        let mut ahead = 0;
        let mut remaining = waiting;
        for plan in half.plans.values() {
            let room = Room { window: half.window_len(), remaining };
            remaining = remaining.saturating_sub(plan.pool.total_len());
            let ready = plan.ready_len(half.window);
            if ready == 0 {
                continue;
            }
            let all = self.trusted(plan, now);
            let able: Vec<_> = all.iter().filter(|source| source.has_room).collect();
            // What was lost once is not for one who may be late with it as well, if another takes it.
            let punctual = able.iter().filter(|source| self.is_punctual(source.path, now));
            let first = punctual.filter(|_| !plan.lost.is_empty());
            for me in first.chain(&able) {
                let len = pick::length(me, &all, room, &self.config);
                // Where a long range would come after all that may be sent now, a short one may not.
                let short = (len > self.config.floor).then_some(self.config.floor);
                for len in [Some(len), short].into_iter().flatten() {
                    let skip = pick::leave_to_others(me, len, &all, &self.config);
                    let skip = skip.saturating_sub(ahead);
                    if let Some(range) = plan.place(half.window, skip, len, self.config.floor) {
                        return Some(Choice { path: me.path, stream, range, role: Role::Original });
                    }
                }
            }
            ahead += ready;
        }
        None
    }

    /// One small range at the end, for a source that failed before, or has long had nothing to do for its low rate. None when little is left to hand out: it would be the
    /// last byte that the reader waits for. But a source that was left alone for long is tried all the same, for there are
    /// streams on which there is never more.
    fn trial(&self, stream: StreamId, half: &Half, waiting: u64, now: Instant) -> Option<Choice> {
        let early = waiting > self.config.floor * TRIAL_DISTANCE;
        let due = |source: &Source| {
            source.is_up_for_trial(now) && (early || source.was_left_alone(now, &self.config))
        };
        self.book.sources.values().filter(|source| due(source)).find_map(|source| {
            let path = source.path;
            let mut plans = half.plans.values().rev().filter(|plan| plan.may_ask_now(path));
            let plan = plans.find(|plan| plan.ready_len(half.window) > 0)?;
            // Where nobody else is, it is asked like any other.
            let others = self.standings(plan, now);
            let trusted = others.iter().any(|other| !other.on_trial && other.path != path);
            let range = plan.tail(half.window, self.config.floor).filter(|_| trusted)?;
            Some(Choice { path, stream, range, role: Role::Original })
        })
    }

    /// Who may be asked for bytes that the reader needs. Nobody waits for a source that may fail again, unless all may.
    pub(super) fn trusted(&self, plan: &Plan, now: Instant) -> Vec<pick::Standing> {
        let mut all = self.standings(plan, now);
        if all.iter().any(|source| !source.on_trial) {
            all.retain(|source| !source.on_trial);
        }
        all
    }

    /// Who may be asked for bytes of a plan now, the soonest first. A local provider of last resort only if it is alone.
    pub(super) fn standings(&self, plan: &Plan, now: Instant) -> Vec<pick::Standing> {
        let mut all = self.standings_of(plan, now);
        plan.spare_local(&mut all);
        all
    }

    /// All who may be asked for bytes of a plan now, the soonest first.
    pub(super) fn standings_of(&self, plan: &Plan, now: Instant) -> Vec<pick::Standing> {
        let assumed = self.assumed_rate();
        let mut all: Vec<_> = self
            .book
            .sources
            .values()
            .filter(|source| source.able(now) && plan.may_ask_now(source.path))
            .map(|source| {
                let mut me = source.standing(assumed, self.primary_rtt, &self.config, now);
                if plan.proven {
                    // What waits for a proof will be on the way soon.
                    me.has_room &= source.claimed() < source.target(self.primary_rtt, &self.config);
                    // Nothing of a range can be read, and no lie is found out, before all of it is there.
                    if let Some(rate) = source.share().rate {
                        let turn = source.turn(self.primary_rtt, &self.config).as_secs_f64();
                        let half = (rate as f64 * turn) as u64 / 2;
                        me.size = me.size.min(half).max(self.config.floor);
                    }
                }
                me
            })
            .collect();
        // The seed spreads the first ranges of many sessions over equal servers.
        let turn = |path: PathId| {
            (u64::from(path.value()) ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        };
        all.sort_by(|a, b| {
            let (fa, fb) = (a.forecast.ordered(a.size), b.forecast.ordered(b.size));
            fa.total_cmp(&fb).then_with(|| turn(a.path).cmp(&turn(b.path)))
        });
        all
    }

    /// What a path that was never measured is taken to move: the mean of those that were.
    pub(super) fn assumed_rate(&self) -> u64 {
        let rates: Vec<u64> =
            self.book.sources.values().filter_map(|source| source.share().rate).collect();
        match rates.len() as u64 {
            0 => self.config.first_rate,
            count => (rates.iter().sum::<u64>() / count).max(1),
        }
    }

    /// Asks a path for a range; returns the number of the delegation.
    pub(super) fn order(&mut self, choice: Choice) -> Option<DelegationId> {
        let Choice { path, stream, range, role } = choice;
        let half = self.halves.get_mut(&stream)?;
        // What is in dispute is not owed: a range that is moved may have such bytes in it.
        let missing = half.missing_from(path, range);
        let held = half.held.iter_in(range).map(ByteRange::len).sum();
        half.unfed_since = None;
        let at_head = half.reader_waiting && range.contains(half.contiguous);
        let plan = half.plan_at(range.start())?;
        (plan.given_up, plan.unserved) = (false, false);
        let repaired = plan.take(range);
        let resource = plan.resource.clone();
        if !self.book.sources.contains_key(&path) {
            return None;
        }
        let id = self.book.next_id();
        let entry = Entry {
            id,
            stream,
            path,
            range,
            missing,
            delivered: held,
            role,
            standing: Standing::Owed,
            copied: false,
            late: None,
            extra: false,
        };
        self.book.open(entry, self.now);
        if repaired > 0 {
            self.stats.repairs += 1;
            self.stats.repaired_bytes += repaired;
            self.tell(Event::Repaired { stream, range, path });
        }
        self.decisions.push_back(if path.is_primary() {
            Decision::SupplyLocally { stream, range, id }
        } else {
            // What somebody else was asked for before, and the reader stands at.
            let urgent = (repaired > 0 || role == Role::Copy) && at_head;
            let rank = Rank { priority: self.priority(stream), urgent };
            let delegation = Delegation { id, stream, range, resource, blake3: None, rank };
            Decision::Delegate { path, delegation }
        });
        Some(id)
    }

    /// Says once that bytes are wanted which nobody is left to deliver, or nobody for now.
    pub(super) fn give_up(&mut self) {
        for &stream in &self.busy {
            let Some(half) = self.halves.get_mut(&stream) else { continue };
            let window = half.window;
            for plan in half.plans.values_mut().filter(|plan| !plan.given_up) {
                let left = left(&self.book.sources, plan);
                let said = plan.unserved && left == Left::Gone;
                let Some(ready) = plan.ready(window).filter(|_| left != Left::Some && !said) else {
                    continue;
                };
                let Some(range) = plan.pool.iter_in(ready).next() else { continue };
                let reason = match plan.last_reason {
                    None | Some(GapReason::Revoked) => GapReason::Unassigned,
                    Some(reason) => reason,
                };
                plan.unserved = true;
                plan.given_up = left == Left::Nobody;
                self.decisions.push_back(if plan.given_up {
                    Decision::GiveUp { stream, range, reason }
                } else {
                    Decision::Unserved { stream, range, reason }
                });
            }
        }
    }
}

/// Who of a plan's sources is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// One that can be asked, now or soon.
    Some,
    /// Only such as are gone, and are dialled again while they are wanted, or as may be added.
    Gone,
    Nobody,
}

fn left(sources: &BTreeMap<PathId, Box<Source>>, plan: &Plan) -> Left {
    let named = || sources.values().filter(|source| plan.may_ask(source.path));
    let any = |state| named().any(|source| source.state == state);
    let out = |source: &Source| matches!(source.state, PathState::Gone | PathState::Draining);
    if !named().all(|source| out(source)) {
        return Left::Some;
    }
    let untried = plan.last_reason.is_none();
    // A server that goes away may come back, as one that is gone.
    match any(PathState::Gone) || named().any(|source| source.leaving) {
        true => Left::Gone,
        // What is on its way out is not over yet.
        false if untried && any(PathState::Draining) => Left::Some,
        // Others may join.
        false if untried && plan.is_open_to_all() => Left::Gone,
        false => Left::Nobody,
    }
}
