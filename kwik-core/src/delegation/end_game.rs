//! The end of a plan: idle paths are asked for what slower ones would deliver last.

use kwik_proto::{ByteRange, DelegationId, Offset, PathId, StreamId};

use super::assign::Choice;
use super::book::{Entry, Role, Standing};
use super::constants::{FEW_PACKETS, MORE};
use super::forecast::saves;
use super::plan::Plan;
use super::{Scheduler, pick};
use crate::time::Instant;

impl Scheduler {
    /// When a plan has no bytes left to hand out, idle sources are asked for the tail of what slower ones still owe: instead of
    /// them for what those have not begun, which costs nothing, and as well as them for the rest.
    pub(super) fn end_game(&mut self, now: Instant) {
        if !self.config.switches.end_game {
            return;
        }
        // Each move ends what it moves sooner; that none comes back is left to no estimate.
        for _ in 0..self.book.ledger.len() {
            let Some((choice, slow)) = self.move_choice(now) else { break };
            self.withdraw(slow);
            self.order(choice);
        }
        while let Some((choice, slow)) = self.end_game_choice(now) {
            self.bucket.spend_at_end(choice.range.len());
            self.stats.end_game_copies += 1;
            let half = self.halves.get_mut(&choice.stream);
            if let Some(plan) = half.and_then(|half| half.plan_at(choice.range.start())) {
                plan.copied_at_end += choice.range.len();
            }
            self.book.set_copied(slow, true);
            self.order(choice);
        }
    }

    fn move_choice(&self, now: Instant) -> Option<(Choice, DelegationId)> {
        self.handed_out().find_map(|(stream, plan)| self.tail_to_move(stream, plan, now))
    }

    /// Plans that have no bytes left to hand out, and are not complete.
    fn handed_out(&self) -> impl Iterator<Item = (StreamId, &Plan)> {
        self.busy.iter().filter_map(|&stream| Some((stream, self.halves.get(&stream)?))).flat_map(
            |(stream, half)| {
                let plans = half.plans.values();
                plans
                    .filter(|plan| plan.pool.is_empty() && !half.held.covers(plan.range))
                    .map(move |plan| (stream, plan))
            },
        )
    }

    /// The last range of a slow path that it can't have begun when it hears that it is not to: a path sends its ranges of a
    /// stream in their order.
    fn tail_to_move(
        &self,
        stream: StreamId,
        plan: &Plan,
        now: Instant,
    ) -> Option<(Choice, DelegationId)> {
        let all = self.standings(plan, now);
        let me = all.iter().find(|source| source.has_room && !source.on_trial)?;
        let entries: Vec<&Entry> = self
            .book
            .ledger
            .overlapping(stream, plan.range)
            .into_iter()
            .filter_map(|id| self.book.ledger.entry(id))
            .filter(|entry| entry.standing == Standing::Owed && entry.path != me.path)
            .collect();
        let is_movable = |entry: &&&Entry| {
            let plain = entry.role == Role::Original && !entry.copied && entry.late.is_none();
            plain && entry.delivered == 0 && !self.is_draining(entry.path)
        };
        let last = |path: PathId| {
            let of_path = entries.iter().filter(move |entry| entry.path == path);
            of_path.max_by_key(|entry| entry.range.start()).filter(is_movable)
        };
        entries.iter().map(|entry| entry.path).find_map(|path| {
            let (entry, slow) = (last(path)?, self.book.sources.get(&path)?);
            let own = slow.forecast(self.assumed_rate(), self.primary_rtt, now);
            let before: u64 = entries
                .iter()
                .filter(|other| other.path == path && other.id != entry.id)
                .map(|other| other.missing)
                .sum();
            let turn = slow.turn(self.primary_rtt, &self.config).as_secs_f64();
            let stays = own.owed(before, 0) > turn * MORE;
            let ends = own.owed(before, entry.missing);
            let choice = Choice { path: me.path, stream, range: entry.range, role: Role::Original };
            (stays && saves(ends, me.forecast.ordered(entry.missing))).then_some((choice, entry.id))
        })
    }

    fn end_game_choice(&self, now: Instant) -> Option<(Choice, DelegationId)> {
        let balance = self.bucket.end_game_balance(self.stats.delivered_bytes);
        let full = self.book.ledger.len() >= self.config.delegations;
        if balance < FEW_PACKETS || full || !self.has_room(now) {
            return None;
        }
        self.handed_out().find_map(|(stream, plan)| self.tail_to_copy(stream, plan, balance, now))
    }

    fn tail_to_copy(
        &self,
        stream: StreamId,
        plan: &Plan,
        balance: u64,
        now: Instant,
    ) -> Option<(Choice, DelegationId)> {
        let all = self.standings(plan, now);
        let me = all.iter().find(|source| source.has_room)?;
        // A path sends its ranges of a stream in their order, so the tail of the last is what is furthest away.
        let mut last: Vec<&Entry> = self
            .book
            .ledger
            .overlapping(stream, plan.range)
            .into_iter()
            .filter_map(|id| self.book.ledger.entry(id))
            .filter(|entry| entry.role == Role::Original && !entry.copied && entry.path != me.path)
            .filter(|entry| entry.standing == Standing::Owed)
            // A server that goes away is left what it has begun, for as long as it is not late.
            .filter(|entry| !self.is_draining(entry.path))
            .collect();
        last.sort_by_key(|entry| std::cmp::Reverse(entry.range.start()));
        last.into_iter().find_map(|entry| {
            let slow = self.book.sources.get(&entry.path)?;
            let own = slow.forecast(self.assumed_rate(), self.primary_rtt, now);
            let copied = self.book.ledger.owed_by_others(entry);
            let wanted = self.halves.get(&stream)?.wanted_in(entry.range);
            let alone = wanted.flat_map(|piece| copied.missing_in(piece).collect::<Vec<_>>());
            let rest = alone.last()?;
            // Nobody counts on a source that failed before.
            let share = match slow.is_doubtful() {
                true => rest.len(),
                false => {
                    pick::end_game_share(&me.forecast, &own, slow.owed())?.min(plan.end_game_left())
                }
            };
            let len = share.min(rest.len()).min(balance);
            let start = rest.end().value().checked_sub(len).and_then(Offset::new)?;
            let range = ByteRange::new(start, rest.end())?;
            (len >= FEW_PACKETS)
                .then_some((Choice { path: me.path, stream, range, role: Role::Copy }, entry.id))
        })
    }
}
