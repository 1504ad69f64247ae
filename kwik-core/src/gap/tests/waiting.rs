//! How long a reader waits for what nobody delivers.

use super::*;

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

/// Nobody promised the head. What comes of it when every third look is later than its timer.
#[test]
fn a_process_that_oversleeps_again_and_again_gives_up_too() {
    let mut bench = Bench::new();
    let (mut now, mut end) = (0, None);
    for look in 1..1000 {
        while let Some(action) = bench.poll(now) {
            if matches!(action, GapAction::GiveUp { .. }) {
                end = end.or(Some(now));
            }
        }
        let due = bench.due().unwrap().as_millis() as u64;
        now = due + if look % 3 == 0 { 60 } else { 0 };
    }
    // The sleep is left out, and once what was waited before.
    assert!(end.is_some_and(|end| (10_000..12_500).contains(&end)), "{end:?}");
}

#[test]
fn who_sleeps_for_long_has_its_patience_back() {
    let mut bench = Bench::new();
    let gave_up = |bench: &mut Bench, millis| {
        std::iter::from_fn(|| bench.poll(millis))
            .any(|action| matches!(action, GapAction::GiveUp { .. }))
    };
    assert!((0..=9000).step_by(100).all(|millis| !gave_up(&mut bench, millis)));
    // Twice: what was waited for may have to be dialled again, but once.
    let hour = 3_600_000;
    assert!((hour..hour + 9000).step_by(100).all(|millis| !gave_up(&mut bench, millis)));
    assert!(!gave_up(&mut bench, 2 * hour));
    let end = (2 * hour..).step_by(100).find(|&millis| gave_up(&mut bench, millis));
    assert!(end.is_some_and(|end| (900..=1100).contains(&(end - 2 * hour))), "{end:?}");
}
