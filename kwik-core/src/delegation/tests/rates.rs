//! How fast a path is taken to be.

use super::*;

#[test]
fn idle_time_does_not_count() {
    let mut rate = PathRate::new(64 * KIB);
    assert_eq!(rate.estimate(), None);
    rate.update(100_000, ms(100), ms(60));
    // Minutes later by the clock, but only 100 ms of work.
    rate.update(200_000, ms(200), ms(60));
    assert_eq!(rate.estimate(), Some(1_000_000));
}

#[test]
fn a_rate_that_cannot_be_is_not_believed() {
    let mut rate = PathRate::new(64 * KIB);
    rate.update(0, Duration::from_micros(1), ms(60));
    rate.update(u64::MAX, Duration::from_micros(2), ms(60));
    assert_eq!(rate.estimate(), Some(1_000_000_000_000));
}

#[test]
fn an_old_rate_is_forgotten_after_the_horizon() {
    let mut rate = PathRate::new(64 * KIB);
    (1..=20).for_each(|step| rate.update(step * 10_000, ms(step * 10), ms(60)));
    (1..=20).for_each(|step| rate.update(200_000 + step * 1000, ms(200 + step * 10), ms(60)));
    assert_eq!(rate.estimate(), Some(100_000));
}

/// 20 KB/s; a lost packet holds back 100 ms of it.
#[test]
fn a_burst_behind_a_lost_packet_is_no_rate() {
    let mut rate = PathRate::new(64 * KIB);
    for step in 1..=20 {
        let came = if (15..20).contains(&step) { 15 } else { step };
        rate.update(came * 400, ms(step * 20), ms(60));
    }
    assert_eq!(rate.estimate(), Some(20_000));
}

#[test]
fn time_before_the_first_byte_says_nothing() {
    let mut rate = PathRate::new(64 * KIB);
    rate.update(0, ms(500), ms(60));
    assert_eq!(rate.estimate(), None);
    rate.update(10_000, ms(510), ms(60));
    assert_eq!(rate.estimate(), Some(1_000_000));
    rate.update(10_000, ms(510), ms(60));
    rate.update(9_000, ms(600), ms(60));
    assert_eq!(rate.estimate(), Some(1_000_000), "counters never fall");
}

#[test]
fn the_allowance_doubles_while_the_rate_grows_by_a_quarter() {
    let mut allowance = Allowance::new(100);
    assert_eq!(allowance.target(None, 1.25, 0, true), 200);
    let rates = [1000, 1300, 1700, 1800, 1800, 1800];
    let targets = [400, 800, 1600, 1600, 1600, 0];
    for (turn, (rate, target)) in rates.into_iter().zip(targets).enumerate() {
        let now = at(turn as u64 * 100);
        allowance.range_done(Some(rate), ms(100), now);
        // A second range in the same turn is no second sign of growth.
        allowance.range_done(Some(rate * 10), ms(100), now);
        // What was measured over a turn is ample, until growth is over.
        let turnover = if target > 0 { 1000.0 } else { 0.0 };
        assert_eq!(
            allowance.target(Some(turnover), 1.25, 0, true),
            target.max(turnover as u64 * 5 / 4),
            "turn {turn}"
        );
    }
    assert_eq!(allowance.target(Some(4000.0), 1.25, 0, true), 5000);
}

#[test]
fn an_allowance_does_not_outgrow_what_the_path_delivers() {
    let mut allowance = Allowance::new(100);
    for turn in 0..10 {
        // Bursts make a steady path look as if it grew.
        allowance.range_done(Some(1000 << turn), ms(100), at(turn * 100));
    }
    assert_eq!(allowance.target(Some(1000.0), 1.25, 0, true), 4000);
    // Before anything of it was fast it may have what it had at first.
    assert_eq!(allowance.target(Some(10.0), 1.25, 0, true), 200);
    // When enough came to believe it, no more than four turns of it.
    assert_eq!(allowance.target(Some(10.0), 1.25, 0, false), 40);
}

#[test]
fn a_late_range_halves_what_a_path_gets_until_it_delivers() {
    let mut allowance = Allowance::new(100);
    allowance.range_late(800);
    assert_eq!(allowance.target(Some(640.0), 1.25, 0, true), 400);
    allowance.range_done(Some(1), ms(100), at(0));
    assert_eq!(allowance.target(Some(640.0), 1.25, 0, true), 800);
}

#[test]
fn what_comes_while_nothing_is_owed_is_no_rate() {
    let mut bench = Bench::new(64 * KIB, Candidates::List(vec![PathId::new(1)]), Local::None);
    let report = |bench: &mut Bench, received_bytes, busy_us| {
        let mut status = bench.status(PathId::new(1), PathState::Live);
        (status.received_bytes, status.busy_us) = (received_bytes, busy_us);
        bench.scheduler.handle_path_status(&status, at(1000));
        bench.scheduler.book.sources[&PathId::new(1)].share().rate
    };
    let (path, id, range) = bench.orders()[0];
    report(&mut bench, 0, 100_000);
    assert_eq!(report(&mut bench, 10_000, 200_000), Some(100_000));
    bench.answer(path, id, DelegationState::Refused(GapReason::Busy));
    assert_eq!(bench.scheduler.book.sources[&path].outstanding, 0, "{range:?} is off");
    // The queue of the slow link.
    report(&mut bench, 60_000, 200_000);
    assert_eq!(report(&mut bench, 60_000, 205_000), Some(95_238));
}

/// Path 1 moved 100 kB/s, and path 2 ten times as much.
#[test]
fn a_slow_path_with_nothing_to_do_is_believed_faster_each_second_up_to_the_mean() {
    let bench = Bench::measured([200_000, 2_000_000]);
    let assumed = bench.scheduler.assumed_rate();
    let source = &bench.scheduler.book.sources[&PathId::new(1)];
    assert_eq!(source.outstanding, 0);
    let rate = |millis| source.forecast(assumed, ms(20), at(millis)).rate();
    let table =
        [(2_000, 100_000.0), (3_000, 200_000.0), (4_000, 400_000.0), (9_000, assumed as f64)];
    for (millis, expected) in table {
        assert!((rate(millis) / expected - 1.0).abs() < 0.01, "{} after {millis} ms", rate(millis));
    }
}
