//! Late ranges: they get a second source, as long as the bucket of redundant bytes lasts, and beyond it another one.

use std::time::Duration;

use kwik_proto::frame::{GapReason, PathState};
use kwik_proto::{ByteRange, DelegationId, PathId, StreamId};

use super::assign::Choice;
use super::book::{Entry, Role, Standing};
use super::constants::{FEW_PACKETS, OVERDRAWN, WARY};
use super::forecast::{longest_silence, pays};
use super::outcome::Event;
use super::repair::Tell;
use super::source::Source;
use super::{Scheduler, pick};
use crate::time::Instant;

impl Scheduler {
    /// A range is late. At the head it is copied, since its owner may be about to deliver; further on, where not one
    /// byte of it came, it is taken away, unless its owner was removed: that one could not be asked again.
    pub(super) fn late(&mut self, id: DelegationId, range: ByteRange, now: Instant) {
        if !self.config.switches.hedging {
            return;
        }
        let Some(entry) = self.book.call_late(id, now) else { return };
        let (path, stream, untouched) = (entry.path, entry.stream, entry.delivered == 0);
        if let Some(source) = self.book.sources.get_mut(&path) {
            source.range_late(self.primary_rtt, &self.config, now);
        }
        let head = self.halves.get(&stream).is_some_and(|half| range.start() <= half.contiguous);
        if untouched && !head && !self.is_draining(path) {
            self.give_back(id, GapReason::Late, Tell::Path);
            return;
        }
        self.copy(id, now);
        if head {
            self.copy_the_rest_of(path, stream, now);
        }
    }

    /// The head is late, and everything was handed out: the reader would wait for all that the path owes, one range after
    /// the other, and the others have nothing better to do. It is copied at once, as far as the bucket lasts.
    fn copy_the_rest_of(&mut self, path: PathId, stream: StreamId, now: Instant) {
        if self.halves.get(&stream).is_none_or(|half| half.waiting_len() > 0) {
            return;
        }
        for id in self.book.ledger.of_path(path) {
            let balance = self.bucket.balance(self.stats.delivered_bytes);
            let fits = |entry: &&Entry| entry.stream == stream && entry.missing <= balance;
            if self
                .book
                .ledger
                .entry(id)
                .filter(fits)
                .is_some_and(|it| it.standing == Standing::Owed)
            {
                self.copy(id, now);
            }
        }
    }

    /// Late heads that found no second source get one now, if there is one.
    pub(super) fn retry_copies(&mut self, now: Instant) {
        for id in self.book.ledger.want_copies() {
            self.copy(id, now);
        }
    }

    /// Asks others for the rest of a late delegation. Beyond the bucket it is taken away from its owner instead, so that
    /// the reader never depends on what may be wasted.
    pub(super) fn copy(&mut self, id: DelegationId, now: Instant) {
        let Some(entry) = self.book.ledger.entry(id).cloned() else { return };
        let Some(half) = self.halves.get(&entry.stream) else { return };
        // Two that are late with the same bytes do not excuse each other for ever.
        let hangs = |other: &Entry| {
            let patience =
                self.book.sources.get(&other.path).map(|it| self.longest_patience(it, other));
            other.stands_still() && other.pace(patience.unwrap_or_default(), now).is_some()
        };
        let copied = self.book.ledger.owed_by(&entry, |other| !hangs(other));
        let rest: Vec<ByteRange> = half
            .wanted_in(entry.range)
            .flat_map(|piece| copied.missing_in(piece).collect::<Vec<_>>())
            .collect();
        let len: u64 = rest.iter().copied().map(ByteRange::len).sum();
        if len == 0 && !self.book.ledger.owed_by(&entry, Entry::stands_still).is_empty() {
            self.book.set_wants_copy(id, true);
            return;
        }
        let nobody = rest.iter().all(|&piece| self.second_sources(&entry, piece, now).is_empty());
        if nobody && len > 0 {
            self.book.set_wants_copy(id, true);
            return;
        }
        let full = self.book.ledger.len() >= self.config.delegations;
        if full || len > self.bucket.balance(self.stats.delivered_bytes) {
            if self.is_sooner_elsewhere(&entry, &rest, now) {
                self.move_rest(&entry, &rest, now);
            } else {
                self.book.set_wants_copy(id, true);
            }
            return;
        }
        self.book.set_wants_copy(id, false);
        self.book.set_copied(id, true);
        for piece in rest {
            self.ask_others(&entry, piece, Role::Copy, now);
        }
    }

    /// Takes a late delegation from its owner. Not into the pool, where the same one might be asked again: a source that
    /// hangs on one range may be quick with all others.
    fn move_rest(&mut self, entry: &Entry, rest: &[ByteRange], now: Instant) {
        let patience =
            self.book.sources.get(&entry.path).map(|source| self.patience_with(source, entry));
        let patience = patience.unwrap_or_default();
        self.bucket.charge(self.under_way(entry, now));
        if let Some(source) = self.book.sources.get_mut(&entry.path)
            && entry.pace(patience, now).is_some()
        {
            // It may hang on others too.
            source.doubted(now);
        }
        self.give_back(entry.id, GapReason::Late, Tell::Path);
        if self.config.switches.repair {
            for &piece in rest {
                self.ask_others(entry, piece, Role::Original, now);
            }
        }
    }

    /// Bytes of a delegation that may be thrown away when its owner is told to stop: what it sends in one turn of the loop,
    /// or a first flight where nothing was measured, and what waits behind a lost packet.
    pub(super) fn under_way(&self, entry: &Entry, now: Instant) -> u64 {
        let Some(source) = self.book.sources.get(&entry.path) else { return 0 };
        let own = entry.pace(self.patience_with(source, entry), now);
        let rate = own.or(source.share().rate.map(|rate| rate as f64));
        let turn = source.turn(self.primary_rtt, &self.config).as_secs_f64();
        let bytes = rate.map_or(self.config.floor, |rate| (rate * turn) as u64);
        bytes.saturating_add(FEW_PACKETS).min(entry.missing)
    }

    /// Whether the last `len` bytes of a late delegation would come sooner from somebody else, who starts anew, than from
    /// the owner, whose bytes on the way would be thrown away. Where all lose packets nobody is better, and bytes that are
    /// moved from one to the other never come.
    ///
    /// The owner's rate says nothing about a range that hangs while others come: one that was given its time since it was
    /// called late is judged by what came of itself. Either counts twice, for the cost of moving, and because rates under loss
    /// differ from moment to moment. Where more was wasted than there was to waste, nothing is moved before that.
    fn is_sooner_elsewhere(&self, entry: &Entry, rest: &[ByteRange], now: Instant) -> bool {
        let owner = self.book.sources.get(&entry.path);
        let pace = owner.and_then(|source| entry.pace(self.patience_with(source, entry), now));
        if pace.is_none() && self.bucket.is_overdrawn(self.stats.delivered_bytes) {
            return false;
        }
        let Some(owner) = owner.filter(|source| source.is_measured()) else { return true };
        let own = owner.forecast(self.assumed_rate(), self.primary_rtt, now);
        let own = pace.map_or(own, |pace| own.at_most(pace));
        // Others may owe other parts of it.
        let others = rest.iter().flat_map(|&piece| self.second_sources(entry, piece, now));
        let len: u64 = rest.iter().copied().map(ByteRange::len).sum();
        let soonest = others.map(|other| other.forecast.ordered(len)).min_by(f64::total_cmp);
        soonest.is_some_and(|soonest| pays(own.owed(0, len), soonest))
    }

    /// How long a range that is late may stand still. Where all lose packets a stream often does for some timeouts, and
    /// whatever is moved for it is lost: there it takes longer.
    fn patience_with(&self, source: &Source, entry: &Entry) -> Duration {
        match self.bucket.is_overdrawn(self.stats.delivered_bytes) {
            true => self.longest_patience(source, entry),
            false => self.patience(source),
        }
    }

    /// Its path's rate has no part in it: that falls with the range that hangs. (Measured with it, scenario `hangs`: a pause of
    /// 4.1 s instead of 0.5.)
    fn patience(&self, source: &Source) -> Duration {
        longest_silence(None, source.turn(self.primary_rtt, &self.config))
    }

    /// Loss holds up what has begun. Of what never began nothing is on the way that a move would throw away.
    fn longest_patience(&self, source: &Source, entry: &Entry) -> Duration {
        self.patience(source) * if entry.delivered > 0 { OVERDRAWN } else { 1 }
    }

    /// When the next late delegation that waits for somebody better is to be judged by itself.
    pub(super) fn pace_due(&self) -> Option<Instant> {
        let late = self.book.ledger.want_copies().into_iter();
        late.filter_map(|id| {
            let entry = self.book.ledger.entry(id)?;
            let (since, _) = entry.late?;
            let source = self.book.sources.get(&entry.path)?;
            // The second time is for others who are late with the same bytes.
            Some([
                since + self.patience_with(source, entry),
                since + self.patience(source) * OVERDRAWN,
            ])
        })
        .flatten()
        .filter(|due| *due > self.now)
        .min()
    }

    /// Who could copy `range` of a late delegation: nobody who owes bytes of it.
    pub(super) fn second_sources(
        &self,
        entry: &Entry,
        range: ByteRange,
        now: Instant,
    ) -> Vec<pick::Standing> {
        let owners: Vec<PathId> = self
            .book
            .ledger
            .overlapping(entry.stream, range)
            .into_iter()
            .filter_map(|id| self.book.ledger.entry(id).map(|entry| entry.path))
            .collect();
        let half = self.halves.get(&entry.stream);
        let plan = half.and_then(|half| half.plans.range(..=entry.range.start()).next_back());
        let Some((_, plan)) = plan else { return Vec::new() };
        let able = |path: PathId, now| {
            self.book.sources.get(&path).is_some_and(|source| {
                source.able(now) && source.state == PathState::Live && plan.may_ask_now(path)
            })
        };
        let mut all = self.standings_of(plan, now);
        all.retain(|source| {
            source.path != entry.path && !owners.contains(&source.path) && able(source.path, now)
        });
        plan.spare_local(&mut all);
        if all.iter().any(|source| self.is_punctual(source.path, now)) {
            all.retain(|source| self.is_punctual(source.path, now));
        }
        all
    }

    /// Whether a path was not late itself a moment ago: the reader waits for what others failed to send.
    pub(super) fn is_punctual(&self, path: PathId, now: Instant) -> bool {
        self.book.sources.get(&path).is_some_and(|source| !source.was_late_within(WARY, now))
    }

    /// Asks others than its owner for a piece of a late delegation. What nobody has room for stays where it is.
    fn ask_others(&mut self, entry: &Entry, piece: ByteRange, role: Role, now: Instant) {
        let mut rest = piece;
        while !rest.is_empty() && self.book.ledger.len() < self.config.delegations {
            let all = self.second_sources(entry, rest, now);
            let Some(best) = pick::soonest(&all, rest.len().min(self.config.floor)) else { return };
            let len = rest.len().min(best.size);
            let Some(range) = ByteRange::with_length(rest.start(), len) else { return };
            self.ask_other(entry, range, best.path, role);
            rest = ByteRange::new(range.end(), rest.end()).unwrap_or_default();
        }
    }

    /// Asks `path` for a part of what the owner of `entry` does not send in time.
    pub(super) fn ask_other(&mut self, entry: &Entry, range: ByteRange, path: PathId, role: Role) {
        let stream = entry.stream;
        if role == Role::Copy {
            self.bucket.spend(range.len());
            self.stats.hedges += 1;
            self.tell(Event::Hedged { stream, range, late: entry.path, path });
        }
        self.order(Choice { path, stream, range, role });
    }
}
