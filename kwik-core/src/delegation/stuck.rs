//! Windows that a slow head keeps shut.
//!
//! Admission leaves to the fast what a slow source would hold the reader up with, but it knows rates only as well as they
//! were measured: the first ranges of a slow server are handed out before anything of it came. When the reader stands at such
//! a range and the window is full behind it, nobody has anything to do, and the fast ones take the rest of it over: copied
//! where the bucket allows, else moved. The owner need not be late for that: it delivers, only slowly.

use kwik_proto::{ByteRange, DelegationId, StreamId};

use super::Scheduler;
use super::half::Half;
use super::ledger::{Entry, Role, Standing};
use crate::time::Instant;

/// Seconds that it must save at least. Less: redundant bytes for what no reader notices.
const WORTH: f64 = 0.05;

impl Half {
    /// Whether the reader has all that it could have, and nothing more may be asked for before it has more.
    fn is_stuck(&self, floor: u64) -> bool {
        self.contiguous.since(self.read) < floor
            && self.ready_plan().is_none()
            && self.waiting_len() > 0
    }
}

impl Scheduler {
    /// Has others send the rest of heads that keep a window shut, where somebody with nothing to do is much sooner.
    pub(super) fn open_windows(&mut self, now: Instant) {
        let switches = self.config.switches;
        if !(switches.admission && switches.hedging && self.has_room(now)) {
            return;
        }
        let heads: Vec<DelegationId> =
            self.busy.iter().filter_map(|&stream| self.slow_head(stream)).collect();
        for id in heads {
            self.take_over(id, now);
        }
    }

    /// The delegation that the reader of a stuck stream waits for, if it is owed by one source alone.
    fn slow_head(&self, stream: StreamId) -> Option<DelegationId> {
        let half = self.halves.get(&stream).filter(|half| half.is_stuck(self.config.floor))?;
        let head = ByteRange::with_length(half.contiguous, 1)?;
        match self.ledger.overlapping(stream, head).as_slice() {
            [id] => {
                self.ledger.entry(*id).filter(|it| it.standing == Standing::Owed).map(|it| it.id)
            }
            _ => None,
        }
    }

    fn take_over(&mut self, id: DelegationId, now: Instant) {
        let Some(entry) = self.ledger.entry(id).cloned() else { return };
        let Some(half) = self.halves.get(&entry.stream) else { return };
        let owed = self.ledger.owed_by_others(&entry);
        let rest: Vec<ByteRange> = half
            .wanted_in(entry.range)
            .flat_map(|piece| owed.missing_in(piece).collect::<Vec<_>>())
            .collect();
        if self.saved(&entry, &rest, now) < WORTH || !self.is_sooner_elsewhere(&entry, &rest, now) {
            return;
        }
        let len: u64 = rest.iter().copied().map(ByteRange::len).sum();
        if len > self.bucket.balance(self.stats.delivered_bytes) {
            self.move_rest(&entry, &rest, now);
            return;
        }
        if let Some(entry) = self.ledger.entry_mut(id) {
            entry.copied = true;
        }
        rest.into_iter().for_each(|piece| self.ask_others(&entry, piece, Role::Copy, now));
    }

    /// Seconds by which others would have the rest sooner than its owner at its rate.
    fn saved(&self, entry: &Entry, rest: &[ByteRange], now: Instant) -> f64 {
        let owner = self.sources.get(&entry.path);
        let Some(rate) = owner.and_then(|owner| owner.share().rate) else { return 0.0 };
        let len: u64 = rest.iter().copied().map(ByteRange::len).sum();
        let others = rest.iter().flat_map(|&piece| self.second_sources(entry, piece, now));
        let soonest = others.map(|other| other.finish(len)).min_by(f64::total_cmp);
        soonest.map_or(0.0, |soonest| len as f64 / rate.max(1) as f64 - soonest)
    }
}
