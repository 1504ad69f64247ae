//! What the primary is told about streams that have several sources, and what is missing of them.

use std::collections::BTreeSet;
use std::time::Duration;

use kwik_proto::frame::{CarrierKind, ControlFrame, ErrorCode, PathState, StreamProgress};
use kwik_proto::{ByteRange, Offset, PathId, StreamId};

use super::ClientSession;
use super::held::Turns;
use crate::gap::{GapAction, StreamView};
use crate::interval::RangeSet;
use crate::mapping::Route;
use crate::stream::{Failure, ReceiveHalf};
use crate::time::Instant;

/// Held ranges that reports name by turns, at most: those nearest to the head.
const MAX_LOOKED_AT: usize = 1024;
/// Missing ranges that the judgement of gaps looks at.
const MAX_MISSING: usize = 64;
/// Separate ranges of a stream that nobody can be asked for. A primary that names more has its reader wait for those.
const MAX_UNSERVED: usize = 64;

/// When a stream with several sources was last reported.
#[derive(Debug, Default)]
pub(super) struct StreamWatch {
    last_report: Option<Instant>,
    /// What was last seen, with all ranges that are held.
    last: Option<StreamProgress>,
    turns: Turns,
    due: Option<Instant>,
    now: bool,
    /// What the primary can ask nobody for.
    unserved: RangeSet,
}

impl StreamWatch {
    pub(super) fn note_unserved(&mut self, range: ByteRange) {
        if self.unserved.count() < MAX_UNSERVED {
            self.unserved.insert(range);
        }
    }

    /// Somebody is asked for it: if that fails too, the primary says so again.
    pub(super) fn asked_anew(&mut self, range: ByteRange) {
        self.unserved.remove(range);
        // Each order in the middle makes two of one; who orders so many has its reader wait.
        while self.unserved.count() > MAX_UNSERVED
            && let Some(last) = self.unserved.last()
        {
            self.unserved.remove(last);
        }
    }

    fn handle_read(&mut self, offset: Offset) {
        if let Some(read) = ByteRange::new(Offset::ZERO, offset) {
            self.unserved.remove(read);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The next look reports, whatever the time.
    pub(super) fn report_soon(&mut self) {
        self.now = true;
    }

    /// What is to be sent now of `seen`, which has all held ranges; if it is only too early, it is due later. The ranges
    /// of `urgent` paths go before others.
    fn decide(
        &mut self,
        seen: StreamProgress,
        urgent: &BTreeSet<PathId>,
        interval: Duration,
        now: Instant,
    ) -> Option<StreamProgress> {
        if self.last.as_ref() != Some(&seen) {
            self.turns.start(&seen.held);
        } else if self.turns.is_over() {
            self.now = false;
            self.due = None;
            return None;
        }
        let next = self.last_report.map_or(now, |last| last + interval);
        if now < next && !self.now {
            self.due = Some(next);
            return None;
        }
        self.now = false;
        self.last_report = Some(now);
        let held = self.turns.next(&seen.held, urgent);
        self.due = (!self.turns.is_over()).then(|| now + interval);
        let told = StreamProgress { held, ..seen };
        self.last = Some(seen);
        Some(told)
    }
}

impl ClientSession {
    pub(super) fn watch(&mut self, id: StreamId) {
        if self.streams.receives(id) {
            self.watches.entry(id).or_default();
        }
    }

    /// Looks at a receiving half after it changed or when [`Output::Service`](super::Output::Service) asks for it:
    /// window, progress, gaps, end.
    pub fn service_stream(&mut self, id: StreamId, half: &mut ReceiveHalf, now: Instant) {
        for (range, hash) in self.hashes.remove(&id).unwrap_or_default() {
            if !half.expect_hash(range, hash) {
                self.close(ErrorCode::LimitExceeded, None, "too many hashes of ranges");
            }
        }
        while let Some(conflict) = half.next_conflict() {
            self.handle_conflict(id, conflict, half, now);
        }
        self.note_arrivals(id, half, now);
        if let Some(slept) = self.promises.overslept(id, now) {
            self.stalls.slept(id, slept, now);
        }
        self.note_stall(id, half, now);
        for source in self.stale.remove(&id).unwrap_or_default() {
            half.remove_source(source);
        }
        if self.watches.contains_key(&id) {
            let supply = self.promises.supply(id);
            half.demand_window(supply.window(self.loop_time()));
        }
        self.streams.service(id, half, now, self.loop_time());
        if self.orphans.is_some() {
            return self.judge_orphan(id, half);
        }
        if half.final_size().is_some_and(|end| end > half.contiguous_end()) {
            // Whoever ends a stream that has a hole owes the hole, even if nobody else was ever asked for it.
            self.watch(id);
        }
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.handle_read(half.read_offset());
        self.grants.handle_read(id, half.read_offset());
        self.judge_gaps(id, half, now);
        self.report(id, half, now);
    }

    /// The longest control loop of the Live paths: an order travels to the client and on, its bytes back, and the primary
    /// hears of them with the next report.
    fn loop_time(&self) -> Duration {
        let live = self.paths.iter().filter(|path| path.state() == PathState::Live);
        let far = live.filter_map(|path| path.smoothed_rtt()).max();
        self.primary_rtt + far.unwrap_or_default() + self.report_interval()
    }

    fn report(&mut self, id: StreamId, half: &ReceiveHalf, now: Instant) {
        let interval = self.report_interval();
        let seen = StreamProgress {
            stream: id,
            read_offset: half.read_offset(),
            contiguous_end: half.contiguous_end(),
            held: half.held(MAX_LOOKED_AT),
            reader_waiting: half.waiting_since().is_some(),
        };
        let Some(watch) = self.watches.get_mut(&id) else { return };
        let Some(progress) = watch.decide(seen, &self.pending_status, interval, now) else {
            return;
        };
        // Rates before positions: the primary hands out the next ranges when it sees the positions.
        let paths: Vec<PathId> = self.grants.paths_for(id).into_iter().collect();
        for path in paths.into_iter().chain([PathId::PRIMARY]) {
            self.send_rate(path, now);
        }
        self.send(PathId::PRIMARY, ControlFrame::StreamProgress(progress));
    }

    fn judge_gaps(&mut self, id: StreamId, half: &mut ReceiveHalf, now: Instant) {
        let contiguous_end = half.contiguous_end();
        let known_end = self.known_end(id, half);
        let missing: Vec<ByteRange> = ByteRange::new(contiguous_end, known_end)
            .map(|open| half.missing_in(open).take(MAX_MISSING).collect())
            .unwrap_or_default();
        let first = missing.first().map_or(known_end, |missing| missing.start());
        let unserved = self.watches.get(&id).is_some_and(|watch| watch.unserved.contains(first));
        let unwritten = !unserved && half.final_size().is_none() && self.is_the_primarys(id, first);
        let opened = self.is_open(id, first);
        loop {
            let view = StreamView {
                read_offset: half.read_offset(),
                contiguous_end,
                missing: &missing,
                waiting: half.waiting_since().is_some(),
                unwritten,
                opened,
            };
            match self.promises.poll(id, &view, now) {
                Some(GapAction::Report(gap)) => {
                    self.stalls.reported(id, gap.range, gap.reason);
                    self.send(PathId::PRIMARY, ControlFrame::Gap(gap));
                }
                Some(GapAction::GiveUp { offset, len, .. }) => {
                    self.give_up(id, offset, len);
                    return;
                }
                None => return,
            }
        }
    }

    fn give_up(&mut self, id: StreamId, offset: Offset, len: u64) {
        self.fail_stream(id, Failure::Missing { offset, len }, ErrorCode::PathTimeout);
    }

    /// Where the stream goes at least: what arrived, what was ever granted, or can be asked of nobody, and the final size.
    fn known_end(&self, id: StreamId, half: &ReceiveHalf) -> Offset {
        let granted = self.grants.known_end(id);
        let unserved = self.watches.get(&id).and_then(|watch| watch.unserved.last());
        let unserved = unserved.map_or(Offset::ZERO, ByteRange::end);
        let known = half.received_end().max(granted).max(unserved);
        half.final_size().map_or(known, |end| end.max(known))
    }

    /// Whether nobody else was ever asked for that byte: then the primary sends it, or has still to ask.
    fn is_the_primarys(&self, id: StreamId, at: Offset) -> bool {
        let byte = ByteRange::with_length(at, 1).unwrap_or_default();
        let paths = self.grants.paths_for(id);
        !paths.into_iter().any(|path| self.grants.allows(path, id, byte))
    }

    /// Whether somebody has a contribution open that may bring that byte though nobody was ordered to. The primary needs no
    /// grant.
    fn is_open(&self, id: StreamId, at: Offset) -> bool {
        let byte = ByteRange::with_length(at, 1).unwrap_or_default();
        let is_up = |path| {
            let path = self.paths.path(path);
            path.is_some_and(|path| path.state() != PathState::Suspect)
        };
        let brings = |path: PathId, route: &Route| match path.is_primary() {
            true => route.promised.is_none_or(|promised| promised.contains(at)),
            false => is_up(path) && self.grants.allows(path, id, byte),
        };
        let unordered =
            |route: &Route| route.kind == CarrierKind::Contribution && route.delegation.is_none();
        let mut keys = self.mapping.carriers_of(id).filter(|key| self.carriers.contains_key(key));
        keys.any(|(path, carrier)| {
            let route = self.mapping.route(path, carrier);
            route.is_some_and(|route| unordered(&route) && brings(path, &route))
        })
    }

    fn note_stall(&mut self, id: StreamId, half: &mut ReceiveHalf, now: Instant) {
        // Of a stream that the primary sends alone nobody knows how far it goes: what it waited for is known afterwards, and
        // before its first byte an answer was still being made.
        let alone = !self.watches.contains_key(&id);
        while let Some(wait) = half.next_ended_wait() {
            match alone {
                true if wait.offset == Offset::ZERO => {}
                true => self.stalls.ended_untold(id, wait),
                false => self.stalls.ended(id, wait),
            }
        }
        if half.waiting_since().is_none() {
            return self.stalls.abandoned(id, now);
        }
        let at = half.read_offset();
        let owner = self.promises.owner_of(id, at).map(|(path, _)| path);
        let owner = owner.or_else(|| self.is_the_primarys(id, at).then_some(PathId::PRIMARY));
        let end = self.known_end(id, half).max(at);
        let missing = ByteRange::new(at, end).and_then(|open| half.missing_in(open).next());
        // What is there and waits for the proof of its range is waited for as well.
        if let Some(range) = missing.and_then(|missing| ByteRange::new(at, missing.end())) {
            self.stalls.waiting(id, range, owner, now);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use kwik_proto::frame::HeldRange;

    use super::*;

    #[test]
    fn ranges_that_no_server_has_are_remembered_up_to_a_bound() {
        let at = |offset| Offset::new(offset).unwrap();
        let range = |start, end| ByteRange::new(at(start), at(end)).unwrap();
        let mut watch = StreamWatch::default();
        (0..200).for_each(|n| watch.note_unserved(range(100 * n, 100 * n + 50)));
        assert_eq!(watch.unserved.count(), 64);
        // An order in the middle of each makes two of one.
        (0..200).for_each(|n| watch.asked_anew(range(100 * n + 20, 100 * n + 30)));
        assert_eq!(watch.unserved.count(), 64);
        assert!(watch.unserved.overlaps(range(0, 20)), "the first ones stay");
    }

    const INTERVAL: Duration = Duration::from_millis(5);

    fn at_ms(millis: u64) -> Instant {
        Instant::from_start(Duration::from_millis(millis))
    }

    /// What the client has: all below `end`, and so many ranges above it.
    fn seen(end: u64, held: u64) -> StreamProgress {
        let offset = |value| Offset::new(value).unwrap();
        let range = |n| ByteRange::with_length(offset(end + 10 * (n + 1)), 5).unwrap();
        let held = (0..held).map(|n| HeldRange { range: range(n), path: PathId::new(1) });
        StreamProgress {
            stream: StreamId::from_wire(0).unwrap(),
            read_offset: offset(0),
            contiguous_end: offset(end),
            held: held.collect(),
            reader_waiting: false,
        }
    }

    fn decide(watch: &mut StreamWatch, seen: StreamProgress, millis: u64) -> Option<usize> {
        let told = watch.decide(seen, &BTreeSet::new(), INTERVAL, at_ms(millis));
        told.map(|told| told.held.len())
    }

    #[test]
    fn a_change_is_reported_once_and_not_again_before_the_interval_is_over() {
        let mut watch = StreamWatch::default();
        assert_eq!(decide(&mut watch, seen(1, 0), 100), Some(0), "the first at once");
        for millis in 100..200 {
            assert_eq!(decide(&mut watch, seen(1, 0), millis), None, "nothing changed");
        }
        assert_eq!(watch.poll_timeout(), None);
        assert_eq!(decide(&mut watch, seen(2, 0), 200), Some(0), "the last is long ago");
        for millis in 201..205 {
            assert_eq!(decide(&mut watch, seen(millis, 0), millis), None, "{millis} ms");
            assert_eq!(watch.poll_timeout(), Some(at_ms(205)), "it is not forgotten");
        }
        assert_eq!(decide(&mut watch, seen(300, 0), 205), Some(0));
        assert_eq!(watch.poll_timeout(), None);
    }

    #[test]
    fn what_cannot_wait_is_reported_whatever_the_time() {
        let mut watch = StreamWatch::default();
        decide(&mut watch, seen(1, 0), 100);
        watch.report_soon();
        assert_eq!(decide(&mut watch, seen(2, 0), 101), Some(0));
        assert_eq!(decide(&mut watch, seen(3, 0), 102), None, "once");
        // Not without news, however urgent.
        let mut watch = StreamWatch::default();
        decide(&mut watch, seen(1, 0), 100);
        watch.report_soon();
        assert_eq!(decide(&mut watch, seen(1, 0), 101), None);
        assert_eq!(decide(&mut watch, seen(2, 0), 102), None, "it was over with that");
    }

    #[test]
    fn ranges_without_room_in_a_report_follow_at_the_same_pace() {
        let mut watch = StreamWatch::default();
        assert_eq!(decide(&mut watch, seen(1, 100), 100), Some(32));
        assert_eq!(watch.poll_timeout(), Some(at_ms(105)));
        let mut reports = 1;
        for millis in 101..200 {
            let due = watch.poll_timeout();
            let told = decide(&mut watch, seen(1, 100), millis).is_some();
            assert!(!told || due == Some(at_ms(millis)), "{millis} ms");
            reports += usize::from(told);
        }
        // The 8 nearest each time, and 24 of the other 92.
        assert_eq!(reports, 4);
        assert_eq!(watch.poll_timeout(), None);
    }
}
