//! Windows that a slow head keeps full.
//!
//! Admission leaves to the fast what a slow source would hold the reader up with, but it knows rates only as well as they
//! were measured: the first ranges of a slow server are handed out before anything of it came. When the reader stands at such
//! a range and the window is full behind it, the fast ones have nothing to do, and take over what is left of it: copied while
//! the bucket lasts, else moved. The owner need not be late for that: it delivers, only slowly.

use kwik_proto::frame::GapReason;
use kwik_proto::{ByteRange, StreamId};

use super::book::{Entry, Role, Standing};
use super::forecast::pays;
use super::half::Half;
use super::repair::Tell;
use super::{Scheduler, pick};
use crate::time::Instant;

impl Half {
    /// Whether the reader waits, and nothing more may be asked for before it has more.
    pub(super) fn is_stuck(&self) -> bool {
        self.reader_waiting && self.ready_plan().is_none() && self.waiting_len() > 0
    }
}

impl Scheduler {
    /// Has idle sources take over the heads that keep windows full, where they are much sooner than the owners.
    pub(super) fn open_windows(&mut self, now: Instant) {
        let switches = self.config.switches;
        if !(switches.admission && switches.hedging && self.has_room(now)) {
            return;
        }
        let stuck: Vec<Entry> =
            self.busy.iter().filter_map(|&stream| self.slow_head(stream)).cloned().collect();
        for owed in stuck {
            self.share_head(&owed, now);
        }
    }

    /// The delegation that the reader of a stuck stream waits for, if it is owed by one source alone.
    fn slow_head(&self, stream: StreamId) -> Option<&Entry> {
        let half = self.halves.get(&stream).filter(|half| half.is_stuck())?;
        let head = ByteRange::with_length(half.contiguous, 1)?;
        let ids = self.book.ledger.overlapping(stream, head).into_iter();
        let mut owed = ids
            .filter_map(|id| self.book.ledger.entry(id))
            .filter(|entry| entry.standing == Standing::Owed);
        owed.next().filter(|_| owed.next().is_none())
    }

    /// Asks the soonest of the idle for what is left of `owed`: a copy, or beyond the bucket instead of the owner.
    fn share_head(&mut self, owed: &Entry, now: Instant) {
        let Some(half) = self.halves.get(&owed.stream) else { return };
        let rest = half.wanted_in(owed.range).next();
        // What is in dispute nobody could send.
        let Some(rest) = rest.filter(|rest| rest.start() == half.contiguous) else { return };
        let Some(owner) = self.book.sources.get(&owed.path) else { return };
        let own = owner.forecast(self.assumed_rate(), self.primary_rtt, now).owed(0, rest.len());
        let full = self.book.ledger.len() >= self.config.delegations;
        if full || self.bucket.is_overdrawn(self.stats.delivered_bytes) {
            return;
        }
        // Nobody takes over from one that delivers who may fail again, or who is the last resort.
        let trusted = !owner.is_doubtful();
        let spared = |path| trusted && half.is_last_resort(owed.range, path);
        let mut idle = self.second_sources(owed, rest, now);
        idle.retain(|it| it.has_room && !it.on_trial && !spared(it.path));
        let Some(best) = pick::soonest(&idle, rest.len()) else { return };
        let others = best.forecast.ordered(rest.len());
        if !pays(own, others) {
            return;
        }
        let Some(range) = ByteRange::with_length(rest.start(), rest.len().min(best.size)) else {
            return;
        };
        if range.len() <= self.bucket.balance(self.stats.delivered_bytes) {
            self.book.set_copied(owed.id, true);
            self.ask_other(owed, range, best.path, Role::Copy);
        } else if self.config.switches.repair && !self.is_draining(owed.path) {
            self.bucket.charge(self.under_way(owed, now));
            self.take_back(owed);
            self.ask_other(owed, range, best.path, Role::Original);
        }
    }

    /// Takes the head from its owner, and what else it owes of the plan: that would keep the window full next.
    fn take_back(&mut self, head: &Entry) {
        for id in self.book.ledger.of_path(head.path) {
            let Some(entry) = self.book.ledger.entry(id) else { continue };
            let owed = entry.stream == head.stream && entry.standing == Standing::Owed;
            if owed && self.same_plan(id, head) {
                self.give_back(id, GapReason::Late, Tell::Path);
            }
        }
    }
}
