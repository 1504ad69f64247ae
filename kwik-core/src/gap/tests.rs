//! Each clock and each rule, with paths at 20 ms: patience at the head is 1.25 * 20 = 25 ms.
#![allow(clippy::unwrap_used)]

use super::*;

mod patience;

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
    // Due after 20 ms, and then 25 ms of patience, 50, 100, 200, 400 and never more.
    for (id, patience) in [(10, 25), (11, 50), (12, 100), (13, 200), (14, 400), (15, 400)] {
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
fn one_that_is_much_slower_than_a_copy_is_late_though_bytes_come() {
    let mut bench = Bench::new();
    bench.missing = vec![range(0, 10_000_000)];
    bench.record(P, D, range(0, 5_000_000), 0);
    bench.record(Q, E, range(5_000_000, 9_000_000), 0);
    // 20 kB/s against 20 MB/s.
    for step in 1..=20u64 {
        let now = at(20 + step * 10);
        bench.promises.handle_bytes(P, D, new(200), now);
        bench.promises.handle_bytes(Q, E, new(200_000), now);
    }
    let Some(GapAction::Report(late)) = bench.poll(221) else { panic!() };
    assert_eq!((late.path, late.delegation), (Some(P), Some(D)));
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
fn the_gap_timeout_runs_only_without_hope_and_restarts_with_progress() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 10_000), 0);
    bench.poll(0);
    assert!(matches!(bench.poll(45), Some(GapAction::Report(_))));
    assert_eq!(bench.poll(45), None);
    // 9 s later one byte comes: everything starts again.
    bench.bytes(P, D, 1, 9000);
    assert_eq!(bench.poll(9000), None);
    assert!(matches!(bench.poll(9025), Some(GapAction::Report(_))));
    assert_eq!(bench.poll(9025), None);
    assert_eq!(bench.poll(19_024), None);
    let given_up =
        GapAction::GiveUp { stream: stream(), offset: Offset::new(1).unwrap(), len: 9999 };
    assert_eq!(bench.poll(19_025), Some(given_up));
    assert_eq!(bench.poll(19_026), None);
}

#[test]
fn progress_at_an_unpromised_head_restarts_the_gap_timeout() {
    let mut bench = Bench::new();
    let gave_up = |bench: &mut Bench, millis| {
        std::iter::from_fn(|| bench.poll(millis))
            .any(|action| matches!(action, GapAction::GiveUp { .. }))
    };
    assert!(!gave_up(&mut bench, 0));
    assert!(!gave_up(&mut bench, 9000));
    // The primary's own stream moves the head, which is promised by nobody still.
    bench.head = 100;
    bench.missing = vec![range(100, 10_000)];
    assert!(!gave_up(&mut bench, 9001));
    assert!(!gave_up(&mut bench, 19_000));
    assert!(gave_up(&mut bench, 19_001));
}

#[test]
fn hope_of_another_source_stops_the_gap_timeout() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 10_000), 0);
    bench.poll(0);
    bench.poll(45);
    bench.poll(45);
    bench.record(Q, E, range(0, 10_000), 9990);
    assert_eq!(bench.poll(9990), None);
    assert_eq!(bench.poll(10_030), None, "the second one has its own patience");
    assert_eq!(bench.poll(10_060), gap(range(0, 10_000), GapReason::Late, Q, E), "twice as long");
    assert_eq!(bench.promises.owner_of(stream(), Offset::ZERO), Some((P, D)));
}

#[test]
fn promises_that_are_never_kept_do_not_restart_the_gap_timeout() {
    let mut bench = Bench::new();
    let mut gave_up = false;
    // A source that accepts every second and delivers nothing: late after 45 ms, in the end after 420 ms.
    for round in 0..24 {
        let (start, id) = (round * 1000, DelegationId(100 + round));
        bench.record(P, id, range(0, 10_000), start);
        for step in 0..20 {
            while let Some(action) = bench.poll(start + step * 50) {
                gave_up |= matches!(action, GapAction::GiveUp { .. });
            }
        }
        bench.promises.revoke(P, id, at(start + 999));
        assert!(!gave_up || round >= 9, "in round {round}");
    }
    assert!(gave_up);
}

#[test]
fn a_head_that_nobody_promised_is_reported_twice_a_second() {
    let mut bench = Bench::new();
    bench.record(P, D, range(4000, 5000), 0);
    assert_eq!(bench.poll(0), None);
    let unassigned = GapAction::Report(Gap {
        stream: stream(),
        range: range(0, 4000),
        reason: GapReason::Unassigned,
        path: None,
        delegation: None,
    });
    assert_eq!(bench.poll(499), None);
    assert_eq!(bench.poll(500), Some(unassigned));
    assert_eq!(bench.poll(501), None);
    assert_eq!(bench.poll(1000), Some(unassigned));
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

#[test]
fn pending_owes_nothing_until_accepted() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 5000), 0);
    bench.promises.handle_status(P, D, DelegationState::Pending, at(10));
    assert!(!bench.promises.owes(P));
    assert_eq!(bench.poll(400), None);
    bench.promises.handle_status(P, D, DelegationState::Accepted, at(3000));
    assert!(bench.promises.owes(P));
    assert_eq!(bench.poll(3000), None);
    assert_eq!(bench.poll(3045), gap(range(0, 5000), GapReason::Late, P, D));
}

#[test]
fn a_pending_promise_of_a_path_without_a_measurement_stands() {
    let mut promises = Promises::new(GapConfig::default());
    promises.record(P, D, stream(), range(0, 1000), at(0));
    promises.record(P, E, stream(), range(1000, 2000), at(0));
    assert!(promises.handle_status(P, D, DelegationState::Pending, at(1)));
    promises.revoke(P, E, at(2));
    assert!(promises.handle_status(P, D, DelegationState::Accepted, at(3)));
    assert!(promises.owes(P));
}

#[test]
fn only_time_with_work_counts_as_busy() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 1000), 100);
    bench.bytes(P, D, 1000, 150);
    bench.record(P, E, range(1000, 2000), 500);
    let work = bench.promises.work(P, at(520));
    assert_eq!(work, PathWork { received_bytes: 1000, busy: ms(70) });
    bench.promises.revoke(P, E, at(530));
    bench.promises.handle_bytes(P, E, new(100), at(540));
    let work = bench.promises.work(P, at(900));
    assert_eq!(work, PathWork { received_bytes: 1100, busy: ms(80) }, "late data counts");
}

#[test]
fn the_handshake_does_not_count_as_busy() {
    let mut promises = Promises::new(GapConfig::default());
    promises.record(P, D, stream(), range(0, 1000), at(0));
    let timing = PathTiming { srtt: Some(ms(20)), rttvar: Duration::ZERO };
    promises.set_path(P, timing, at(300));
    assert_eq!(promises.work(P, at(310)).busy, ms(10));
}

#[test]
fn the_oldest_promise_makes_room() {
    let config = GapConfig { promises: 2, ..GapConfig::default() };
    let mut promises = Promises::new(config);
    for id in 0..3 {
        promises.record(P, DelegationId(id), stream(), range(id * 10, id * 10 + 10), at(0));
    }
    assert_eq!(promises.count(), 2);
    assert_eq!(promises.owner_of(stream(), Offset::ZERO), None);
}

#[test]
fn what_the_primary_has_not_written_yet_may_take_any_time() {
    let mut bench = Bench::new();
    bench.unwritten = true;
    let given_up = GapAction::GiveUp { stream: stream(), offset: Offset::ZERO, len: 10_000 };
    for look in 0..=200 {
        let said: Vec<_> = std::iter::from_fn(|| bench.poll(look * 500)).collect();
        let reported = matches!(said[..], [GapAction::Report(_)]);
        assert!(reported || look == 0, "at look {look}: {said:?}");
    }
    // From the stream's end on it has to be on its way.
    bench.unwritten = false;
    for look in 200..=220 {
        let said: Vec<_> = std::iter::from_fn(|| bench.poll(look * 500)).collect();
        assert_eq!(said.contains(&given_up), look == 220, "at look {look}: {said:?}");
    }
}

#[test]
fn reports_end_at_the_end_of_time() {
    let mut bench = Bench::new();
    let forever = Instant::from_start(Duration::MAX);
    let view = StreamView {
        read_offset: Offset::ZERO,
        contiguous_end: Offset::ZERO,
        missing: &[range(0, 10_000)],
        waiting: true,
        unwritten: false,
        opened: false,
    };
    let said = std::iter::from_fn(|| bench.promises.poll(stream(), &view, forever)).take(10);
    assert!(said.count() < 10);
}

#[test]
fn answers_go_one_way_and_only_news_count() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 5000), 0);
    let mut says = |path, id, state| bench.promises.handle_status(path, id, state, at(1));
    assert!(!says(Q, D, DelegationState::Accepted), "another path's");
    assert!(!says(P, E, DelegationState::Accepted), "nobody asked");
    assert!(says(P, D, DelegationState::Pending));
    assert!(!says(P, D, DelegationState::Pending));
    assert!(says(P, D, DelegationState::Accepted));
    for old in [DelegationState::Pending, DelegationState::Accepted] {
        assert!(!says(P, D, old), "{old:?}");
    }
    assert!(says(P, D, DelegationState::Sent));
    assert!(says(P, D, DelegationState::Failed(GapReason::SourceFailed)));
    assert!(!says(P, D, DelegationState::Failed(GapReason::SourceFailed)), "it is over");
}

#[test]
fn a_promise_is_not_kept_by_the_same_byte_again_and_again() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 100), 0);
    for _ in 0..100 {
        bench.promises.handle_bytes(P, D, new(1), at(1));
    }
    assert_eq!(bench.promises.range_of(P, D), Some((stream(), range(0, 100))));
    bench.promises.handle_end((P, stream(), D), &[range(1, 100)], GapReason::Reset, at(2));
    assert_eq!(bench.poll(2), gap(range(1, 100), GapReason::Reset, P, D));
}

#[test]
fn what_is_missing_without_a_promise_is_said_once() {
    let mut bench = Bench::new();
    let end = |bench: &mut Bench, missing| {
        bench.promises.handle_end((P, stream(), E), &[missing], GapReason::Reset, at(1));
        bench.poll(1)
    };
    assert_eq!(end(&mut bench, range(0, 100)), gap(range(0, 100), GapReason::Reset, P, E));
    for again in [range(0, 100), range(0, 101), range(50, 60)] {
        assert_eq!(end(&mut bench, again), None, "{again}");
    }
    bench.record(Q, D, range(0, 100), 2);
    bench.promises.revoke(Q, D, at(3));
    assert_eq!(end(&mut bench, range(0, 100)), gap(range(0, 100), GapReason::Reset, P, E));
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
fn sources_that_accept_and_never_send_keep_the_reader_for_two_timeouts_at_most() {
    let mut bench = Bench::new();
    // Two in turns, each asked as soon as the other was late.
    let mut id = 100;
    let (gaps, end) = until_given_up(&mut bench, 200_000, |bench, millis| {
        if millis % 450 == 0 {
            bench.promises.revoke([P, Q][id as usize % 2], DelegationId(id), at(millis));
            id += 1;
            bench.record([P, Q][id as usize % 2], DelegationId(id), range(0, 10_000), millis);
        }
    });
    assert!(gaps.len() > 10, "each is late: {}", gaps.len());
    assert!(end.is_some_and(|end| (10_000..20_200).contains(&end)), "{end:?}");
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
fn who_drips_single_bytes_is_late_though_nobody_else_has_a_rate() {
    let mut bench = Bench::new();
    bench.missing = vec![range(0, 1_000_000)];
    bench.record(P, D, range(0, 1_000_000), 0);
    let (gaps, _) = until_given_up(&mut bench, 5000, |bench, millis| {
        if millis >= 20 {
            bench.promises.handle_bytes(P, D, new(1), at(millis));
            bench.head += 1;
            bench.missing = vec![range(bench.head, 1_000_000)];
        }
    });
    assert!(gaps.iter().all(|gap| gap.reason == GapReason::Late && gap.path == Some(P)));
    assert!((5..=20).contains(&gaps.len()), "a few times a second: {}", gaps.len());
}

#[test]
fn who_drips_one_range_is_late_however_much_else_it_sends() {
    let mut bench = Bench::new();
    bench.missing = vec![range(0, 100_000), range(200_000, 100_000_000)];
    bench.record(P, D, range(0, 100_000), 0);
    bench.record(P, E, range(200_000, 100_000_000), 0);
    let (gaps, _) = until_given_up(&mut bench, 2000, |bench, millis| {
        bench.promises.handle_bytes(P, E, new(10_000), at(millis));
        if millis >= 20 && millis % 10 == 0 {
            bench.promises.handle_bytes(P, D, new(1), at(millis));
            bench.head += 1;
            bench.missing[0] = range(bench.head, 100_000);
        }
    });
    let late = |gap: &&Gap| gap.reason == GapReason::Late && gap.delegation == Some(D);
    assert!(gaps.iter().filter(late).count() > 0, "{gaps:?}");
}

#[test]
fn the_comparison_goes_on_after_a_first_one_was_late() {
    let mut bench = Bench::new();
    bench.missing = vec![range(0, 10_000_000)];
    bench.record(P, DelegationId(1), range(0, 5_000_000), 0);
    assert_eq!(bench.poll(0), None);
    assert!(bench.poll(45).is_some(), "the first one is late");
    bench.promises.revoke(P, DelegationId(1), at(45));
    bench.record(P, D, range(0, 5_000_000), 45);
    bench.record(Q, E, range(5_000_000, 9_000_000), 45);
    // Its bytes come, but none at the head: 1 kB/s, which is never late by the head clock.
    for step in 1..=40u64 {
        let now = 60 + step * 10;
        bench.promises.handle_bytes(P, D, new(10), at(now));
        bench.promises.handle_bytes(Q, E, new(200_000), at(now));
        if let Some(GapAction::Report(gap)) = bench.poll(now) {
            return assert_eq!(gap.delegation, Some(D));
        }
    }
    panic!("it is waited for");
}

#[test]
fn a_path_that_is_gone_is_no_fresh_copy_and_is_forgotten() {
    let mut bench = Bench::new();
    bench.missing = vec![range(0, 10_000_000)];
    bench.record(P, D, range(0, 5_000_000), 0);
    bench.record(Q, E, range(5_000_000, 9_000_000), 0);
    // 400 kB/s against 20 MB/s: faster than the primary is taken to be.
    for step in 1..=20u64 {
        bench.promises.handle_bytes(P, D, new(4000), at(20 + step * 10));
        bench.promises.handle_bytes(Q, E, new(200_000), at(20 + step * 10));
    }
    bench.promises.path_gone(Q, at(221));
    assert_eq!(bench.poll(221), None);
    assert_eq!(bench.promises.paths.len(), 2, "the primary and P");
    // Late data, and an order that crossed its end.
    bench.promises.handle_bytes(Q, E, new(1), at(222));
    bench.record(Q, DelegationId(9), range(5_000_000, 9_000_000), 222);
    let whole = [range(5_000_000, 9_000_000)];
    let whose = (Q, stream(), DelegationId(9));
    bench.promises.handle_end(whose, &whole, GapReason::PathGone, at(222));
    assert_eq!(bench.promises.paths.len(), 2);
}

#[test]
fn what_a_path_had_to_send_before_counts_at_the_rate_that_it_has_now() {
    let mut bench = Bench::new();
    bench.waiting = false;
    bench.missing = vec![range(0, 10_000_000)];
    bench.record(P, D, range(5_000_000, 9_000_000), 0);
    // 10 kB/s when it begins, so that what it owes would take it 400 s.
    bench.promises.handle_bytes(P, D, new(100), at(20));
    bench.promises.handle_bytes(P, D, new(100), at(30));
    bench.record(P, E, range(0, 5000), 31);
    bench.waiting = true;
    // And then 15 MB/s.
    for step in 1..=45u64 {
        bench.promises.handle_bytes(P, D, new(150_000), at(30 + step * 10));
        match bench.poll(30 + step * 10) {
            None => {}
            Some(GapAction::Report(gap)) => return assert_eq!(gap.delegation, Some(E)),
            other => panic!("{other:?}"),
        }
    }
    panic!("the head is waited for as if the path was slow");
}
