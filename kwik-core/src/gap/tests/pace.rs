//! The comparison with a fresh copy, and the time that a range should take.

use super::*;

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
