//! Each clock and each rule, with paths at 20 ms: patience at the head is 1.25 * 20 = 25 ms.
#![allow(clippy::unwrap_used)]

use super::*;

mod account;
mod pace;
mod patience;
mod waiting;

const P: PathId = PathId::new(1);
const Q: PathId = PathId::new(2);
const D: DelegationId = DelegationId(7);
const E: DelegationId = DelegationId(8);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Instant {
    Instant::from_start(ms(millis))
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap()
}

fn new(bytes: u64) -> Arrival {
    Arrival { new: bytes, duplicate: 0 }
}

fn stream() -> StreamId {
    StreamId::from_wire(0).unwrap()
}

struct Bench {
    promises: Promises,
    head: u64,
    missing: Vec<ByteRange>,
    waiting: bool,
    unwritten: bool,
    opened: bool,
}

impl Bench {
    /// 10,000 bytes known, none here, the reader waits; both paths are connected.
    fn new() -> Self {
        let mut promises = Promises::new(GapConfig::default());
        let timing = PathTiming { srtt: Some(ms(20)), rttvar: Duration::ZERO };
        for path in [PathId::PRIMARY, P, Q] {
            promises.set_path(path, timing, at(0));
        }
        let missing = vec![range(0, 10_000)];
        Self { promises, head: 0, missing, waiting: true, unwritten: false, opened: false }
    }

    fn record(&mut self, path: PathId, id: DelegationId, range: ByteRange, millis: u64) {
        self.promises.record(path, id, stream(), range, at(millis));
    }

    /// Bytes in order from the head on.
    fn bytes(&mut self, path: PathId, id: DelegationId, len: u64, millis: u64) {
        if self.promises.handle_bytes(path, id, new(len), at(millis)).is_some() {
            self.promises.handle_kept(path, id, at(millis));
        }
        self.head += len;
        self.missing = vec![range(self.head, 10_000)];
    }

    fn poll(&mut self, millis: u64) -> Option<GapAction> {
        let head = Offset::new(self.head).unwrap();
        let view = StreamView {
            read_offset: head,
            contiguous_end: head,
            missing: &self.missing,
            waiting: self.waiting,
            unwritten: self.unwritten,
            opened: self.opened,
        };
        self.promises.poll(stream(), &view, at(millis))
    }

    fn due(&self) -> Option<Duration> {
        self.promises.poll_timeout().map(|(due, _)| due.elapsed())
    }
}

fn gap(range: ByteRange, reason: GapReason, path: PathId, id: DelegationId) -> Option<GapAction> {
    let (path, delegation) = (Some(path), Some(id));
    Some(GapAction::Report(Gap { stream: stream(), range, reason, path, delegation }))
}

#[test]
fn the_head_is_late_after_its_patience_and_said_once() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 5000), 0);
    assert_eq!(bench.poll(0), None);
    // Due after one round trip, late 25 ms later.
    assert_eq!(bench.due(), Some(ms(45)));
    assert_eq!(bench.poll(44), None);
    assert_eq!(bench.poll(45), gap(range(0, 5000), GapReason::Late, P, D));
    assert_eq!(bench.poll(46), None);
    bench.bytes(P, D, 1000, 50);
    assert_eq!(bench.poll(50), None);
    assert_eq!(bench.poll(75), gap(range(1000, 5000), GapReason::Late, P, D), "the rest only");
}

#[test]
fn bytes_that_were_there_before_keep_no_promise_alive() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 10_000), 0);
    bench.poll(0);
    let again = Arrival { new: 0, duplicate: 1 };
    let mut reports = 0;
    for millis in (1..10_100).step_by(5) {
        bench.promises.handle_bytes(P, D, again, at(millis));
        match bench.poll(millis) {
            Some(GapAction::Report(_)) => reports += 1,
            Some(GapAction::GiveUp { .. }) => {
                assert!(millis > 10_000, "{millis}");
                return assert_eq!(reports, 1);
            }
            _ => {}
        }
    }
    panic!("the reader waits for ever");
}

#[test]
fn a_head_that_several_are_late_with_is_waited_for_longer() {
    let mut bench = Bench::new();
    let mut now = 0;
    // Due after 20 ms, and then 25 ms of patience, 50, 100, 200 and never more.
    for (id, patience) in [(10, 25), (11, 50), (12, 100), (13, 200), (14, 200)] {
        bench.record(P, DelegationId(id), range(0, 5000), now);
        assert_eq!(bench.poll(now), None, "{id}");
        assert_eq!(bench.poll(now + 20 + patience - 1), None, "{id}");
        let late = gap(range(0, 5000), GapReason::Late, P, DelegationId(id));
        assert_eq!(bench.poll(now + 20 + patience), late, "{id}");
        now += 20 + patience;
        bench.promises.revoke(P, DelegationId(id), at(now));
    }
    // One byte, and all is forgiven.
    bench.record(P, D, range(0, 5000), now);
    bench.bytes(P, D, 1, now + 1);
    assert_eq!(bench.poll(now + 1), None);
    assert_eq!(bench.poll(now + 25), None);
    assert!(bench.poll(now + 26).is_some());
}

#[test]
fn nobody_is_late_before_an_order_could_arrive() {
    let mut bench = Bench::new();
    let far = PathTiming { srtt: Some(ms(150)), rttvar: ms(0) };
    bench.promises.set_path(PathId::PRIMARY, far, at(0));
    bench.record(P, D, range(0, 5000), 0);
    // Due after one round trip.
    assert_eq!(bench.poll(0), None);
    assert_eq!(bench.poll(169), None);
    assert_eq!(bench.poll(170), gap(range(0, 5000), GapReason::Late, P, D));
}

#[test]
fn patience_grows_with_the_variation_up_to_half_a_second() {
    let table = [(20, 0, 25), (1, 0, 20), (20, 10, 75), (300, 50, 500), (2000, 0, 500)];
    for (srtt, rttvar, patience) in table {
        let mut work = Work::new();
        assert_eq!(work.patience(), ms(500), "unknown");
        work.set_timing(PathTiming { srtt: Some(ms(srtt)), rttvar: ms(rttvar) }, at(0));
        assert_eq!(work.patience(), ms(patience), "{srtt} {rttvar}");
    }
}

#[test]
fn nobody_is_late_while_the_reader_is_not_waiting() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 5000), 0);
    bench.bytes(P, D, 1000, 20);
    bench.waiting = false;
    assert_eq!(bench.poll(20), None);
    assert_eq!(bench.poll(900), None);
}

#[test]
fn a_range_without_a_byte_is_late_wherever_it_lies() {
    let mut bench = Bench::new();
    bench.waiting = false;
    bench.record(P, D, range(5000, 6000), 0);
    assert_eq!(bench.poll(0), None);
    assert_eq!(bench.due(), Some(ms(1040)));
    assert_eq!(bench.poll(1040), gap(range(5000, 6000), GapReason::Late, P, D));
    assert_eq!(bench.poll(1041), None);
}

#[test]
fn what_ended_early_is_reported_at_once() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 5000), 0);
    bench.bytes(P, D, 1000, 20);
    bench.promises.handle_end((P, stream(), D), &[range(1000, 5000)], GapReason::Reset, at(21));
    assert_eq!(bench.due(), Some(ms(21)));
    assert_eq!(bench.poll(21), gap(range(1000, 5000), GapReason::Reset, P, D));
    assert_eq!(bench.promises.count(), 0);
}

#[test]
fn a_process_that_overslept_blames_nobody_once() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 5000), 0);
    bench.poll(0);
    assert_eq!(bench.poll(2000), None, "stopped for two seconds");
    assert_eq!(bench.poll(2024), None);
    assert_eq!(bench.poll(2025), gap(range(0, 5000), GapReason::Late, P, D));
    let mut sluggish = Bench::new();
    sluggish.record(P, D, range(0, 5000), 0);
    sluggish.poll(0);
    assert_eq!(sluggish.poll(2000), None);
    assert!(sluggish.poll(4000).is_some(), "not a second time");
}

#[test]
fn a_suspect_paths_promises_do_not_count_until_it_heals() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 5000), 0);
    bench.promises.path_suspect(P, at(1));
    assert_eq!(bench.promises.owner_of(stream(), Offset::ZERO), Some((P, D)), "to blame");
    assert_eq!(bench.poll(1), None);
    bench.promises.path_healed(P, at(100));
    assert_eq!(bench.promises.owner_of(stream(), Offset::ZERO), Some((P, D)));
    assert_eq!(bench.poll(100), None);
    assert_eq!(bench.poll(145), gap(range(0, 5000), GapReason::Late, P, D));
    bench.promises.path_gone(P, at(200));
    assert_eq!((bench.promises.count(), bench.promises.owes(P)), (0, false));
}

/// Every report until the reader is given up or the time is over, and when that was.
fn until_given_up(
    bench: &mut Bench,
    until: u64,
    mut act: impl FnMut(&mut Bench, u64),
) -> (Vec<Gap>, Option<u64>) {
    let mut gaps = Vec::new();
    for millis in (0..until).step_by(5) {
        act(bench, millis);
        while let Some(action) = bench.poll(millis) {
            match action {
                GapAction::Report(gap) => gaps.push(gap),
                GapAction::GiveUp { .. } => return (gaps, Some(millis)),
            }
        }
    }
    (gaps, None)
}

#[test]
fn a_promise_that_is_not_due_yet_is_waited_for() {
    let mut bench = Bench::new();
    bench.waiting = false;
    bench.missing = vec![range(0, 10_000_000)];
    // 100 kB/s, and 4 MB to send before the head: that is 40 s.
    bench.record(P, D, range(5_000_000, 9_000_000), 0);
    for step in 1..=20u64 {
        bench.promises.handle_bytes(P, D, new(1000), at(20 + step * 10));
    }
    bench.waiting = true;
    bench.record(P, E, range(0, 5000), 250);
    let (_, end) = until_given_up(&mut bench, 39_000, |bench, millis| {
        // What lies before it comes.
        bench.promises.handle_bytes(P, D, new(500), at(millis));
    });
    assert_eq!(end, None);
}

#[test]
fn a_promise_full_of_holes_is_told_in_64_gaps() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 10_000), 0);
    let holes: Vec<ByteRange> = (0..5000).map(|n| range(2 * n, 2 * n + 1)).collect();
    bench.promises.handle_end((P, stream(), D), &holes, GapReason::Reset, at(1));
    let reports = std::iter::from_fn(|| match bench.poll(1) {
        Some(GapAction::Report(gap)) => Some(gap.range),
        _ => None,
    });
    let told: Vec<ByteRange> = reports.collect();
    assert_eq!(told.len(), 64);
    assert_eq!(told[..63], holes[..63]);
    assert_eq!(told[63], range(126, 9999), "the last is about all the rest");
}

#[test]
fn what_was_read_takes_no_room_among_what_was_reported() {
    let mut bench = Bench::new();
    (bench.missing, bench.waiting) = (Vec::new(), false);
    let mut told = 0;
    for n in 0..3000 {
        let lost = range(3 * n, 3 * n + 1);
        bench.promises.handle_end((P, stream(), E), &[lost], GapReason::Reset, at(1));
        let reports = std::iter::from_fn(|| bench.poll(1));
        told += reports.filter(|action| matches!(action, GapAction::Report(_))).count();
        bench.head = 3 * n + 2;
    }
    assert_eq!(told, 3000);
}
