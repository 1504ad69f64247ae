//! Who promised what, and which answers and bytes count.

use super::*;

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

/// A contribution that ends with holes without number does not become as many frames.
#[test]
fn an_end_with_many_holes_tells_sixty_three_and_the_rest_in_one() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 10_000), 0);
    let missing: Vec<ByteRange> = (0..100).map(|n| range(n * 100, n * 100 + 50)).collect();
    bench.promises.handle_end((P, stream(), D), &missing, GapReason::Reset, at(1));
    let reports = &bench.promises.waits[&stream()].reports;
    let told: Vec<ByteRange> = reports.iter().map(|gap| gap.range).collect();
    assert_eq!(told[..63], missing[..63]);
    assert_eq!(told[63..], [range(6_300, 9_950)]);
}

#[test]
fn missing_ranges_that_nobody_promised_are_news_up_to_a_bound() {
    let mut wait = Wait::new(stream(), at(0));
    let news = (0..5_000).filter(|n| wait.is_news(range(2 * n, 2 * n + 1))).count();
    assert_eq!(news, 1_024);
    wait.asked_anew(range(0, 1));
    assert!(wait.is_news(range(0, 1)));
    assert!(!wait.is_news(range(9_000, 9_001)));
}
