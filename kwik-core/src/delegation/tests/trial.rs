//! A source that failed shows that it works again, where that risks little.

use super::*;

const ONE: PathId = PathId::new(1);

/// Path 1 said Busy to everything that it was asked for.
fn failed_once(size: u64) -> Bench {
    let mut bench = Bench::new(size, Candidates::All, Local::None);
    for (path, id, _) in bench.orders() {
        if path == ONE {
            bench.answer(path, id, DelegationState::Refused(GapReason::Busy));
        }
    }
    bench.decisions();
    bench
}

fn delegate(bench: &mut Bench, range: ByteRange) {
    let (stream, resource) = (bench.stream, Bytes::from_static(b"r"));
    let (all, now) = (Candidates::All, bench.now);
    bench.scheduler.delegate(stream, range, resource, all, Local::None, now).unwrap();
}

#[test]
fn many_small_plans_are_as_good_as_a_large_one() {
    let mut bench = failed_once(MIB);
    for index in 1..8 {
        delegate(&mut bench, range(index * MIB, (index + 1) * MIB));
    }
    bench.now = at(5000);
    let tried: Vec<_> = bench.orders().into_iter().filter(|order| order.0 == ONE).collect();
    let [(_, _, tail)] = tried[..] else { panic!("{tried:?}") };
    assert_eq!(tail, range(8 * MIB - 64 * KIB, 8 * MIB), "the last bytes of the last plan");
}

#[test]
fn little_is_risked_only_after_a_long_time() {
    for (wait, expected) in [(3_900, 0), (4_000, 1)] {
        let mut bench = failed_once(MIB);
        bench.held(MIB, &[]);
        bench.now = at(wait);
        delegate(&mut bench, range(MIB, 2 * MIB));
        let tried = bench.orders().iter().filter(|order| order.0 == ONE).count();
        assert_eq!(tried, expected, "after {wait} ms");
    }
}

#[test]
fn nobody_else_means_no_trial() {
    let mut bench = failed_once(MIB);
    bench.state(PathId::new(2), PathState::Gone);
    bench.now = at(5000);
    let asked = bench.orders();
    assert!(asked.iter().all(|order| order.0 == ONE) && all_bytes(&asked) > 64 * KIB, "{asked:?}");
}

#[test]
fn what_fails_at_once_is_one_failure() {
    let mut bench = Bench::new(8 * MIB, Candidates::All, Local::None);
    let mine: Vec<_> = bench.orders().into_iter().filter(|order| order.0 == ONE).collect();
    assert!(mine.len() > 1);
    for (path, id, _) in mine {
        bench.answer(path, id, DelegationState::Refused(GapReason::Busy));
    }
    bench.decisions();
    assert_eq!(bench.scheduler.poll_timeout(), Some(at(250)));
}

/// Path 1 delivered, and was measured across a silence: path 2 could bring the whole window sooner than it one range.
#[test]
fn a_rate_that_was_measured_across_a_silence_is_measured_again() {
    let mut bench = Bench::measured([16 * KIB, 20 * MIB]);
    for (millis, expected) in [(2_000, 0), (2_999, 0), (3_000, 1)] {
        bench.now = at(millis);
        bench.held(0, &[(range(0, 1), ONE)]);
        let orders = bench.orders();
        let tried: Vec<_> = orders.iter().filter(|order| order.0 == ONE).collect();
        assert_eq!(tried.len(), expected, "after {millis} ms: {tried:?}");
        assert!(tried.iter().all(|order| order.2.len() == 64 * KIB), "{tried:?}");
    }
}
