//! Paths that are still being dialled, beside somebody who is there.

use super::*;

/// Paths 1 and 2, of which only `live` are up.
fn bench(live: &[u16], local: Local) -> Bench {
    let mut scheduler = Scheduler::new(DelegationConfig::default(), 1);
    let stream = StreamId::from_wire(0).unwrap();
    scheduler.set_primary_rtt(ms(20));
    for path in [1, 2] {
        scheduler.set_path(PathId::new(path), PathView::DIALING, at(0));
    }
    let view = PathView { state: PathState::Live, srtt: Some(ms(20)), rttvar: Duration::ZERO };
    for &path in live {
        scheduler.set_path(PathId::new(path), view, at(0));
    }
    scheduler.handle_window(stream, Offset::new(16 * MIB).unwrap(), at(0));
    let (whole, all) = (range(0, 16 * MIB), Candidates::All);
    scheduler.delegate(stream, whole, Bytes::new(), all, local, at(0)).unwrap();
    Bench { scheduler, stream, now: at(0) }
}

fn first_of(orders: &[(PathId, DelegationId, ByteRange)], path: u16) -> Option<u64> {
    let mine = orders.iter().filter(|order| order.0 == PathId::new(path));
    mine.map(|order| order.2.start().value()).min()
}

#[test]
fn a_path_that_is_dialled_leaves_the_head_to_who_is_there() {
    let mut one_is_up = bench(&[2], Local::None);
    let orders = one_is_up.orders();
    assert_eq!(first_of(&orders, 2), Some(0));
    assert!(first_of(&orders, 1).is_some_and(|start| start >= 512 * KIB), "{orders:?}");

    let mut primary_has_it = bench(&[], Local::Share);
    let decisions = primary_has_it.decisions();
    for decision in decisions {
        match decision {
            Decision::SupplyLocally { range, .. } => assert!(range.start().value() < 2 * MIB),
            Decision::Delegate { delegation, .. } => {
                assert!(delegation.range.start().value() >= 512 * KIB, "{delegation:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_head_travels_with_the_first_dial_when_nobody_else_is_there() {
    for local in [Local::None, Local::Fallback] {
        let mut bench = bench(&[], local);
        let orders = bench.orders();
        let first = [1, 2].into_iter().filter_map(|path| first_of(&orders, path)).min();
        assert_eq!(first, Some(0));
    }
}

fn revoked(decisions: &[Decision], path: u16) -> usize {
    let revokes = |decision: &&Decision| match decision {
        Decision::Revoke { path: of, .. } => *of == PathId::new(path),
        _ => false,
    };
    decisions.iter().filter(revokes).count()
}

#[test]
fn a_path_that_does_not_answer_holds_the_head_no_longer_than_a_dial_takes() {
    let mut bench = bench(&[], Local::None);
    let orders = bench.orders();
    let head = orders.iter().find(|order| order.2.start() == Offset::ZERO).unwrap().0;
    let other = PathId::new(3 - head.value());
    bench.state(other, PathState::Live);
    bench.now = at(69);
    assert_eq!(revoked(&bench.decisions(), head.value()), 0);
    bench.now = bench.scheduler.poll_timeout().unwrap();
    assert_eq!(bench.now, at(70));
    let decisions = bench.decisions();
    assert_eq!(revoked(&decisions, head.value()), 1, "{decisions:?}");
    let others: Vec<_> = orders.iter().filter(|order| order.0 == other).collect();
    bench.held(0, &others.iter().map(|order| (order.2, other)).collect::<Vec<_>>());
    let again = bench.orders();
    assert!(again.iter().any(|order| order.0 == other && order.2.start() == Offset::ZERO));
    assert!(again.iter().all(|order| order.0 == other || order.2.start() > Offset::ZERO));
}

#[test]
fn a_path_that_does_not_answer_at_all_loses_everything_to_the_last_resort() {
    let mut bench = bench(&[], Local::Fallback);
    let orders = bench.orders();
    bench.now = at(239);
    assert_eq!(bench.decisions(), [], "the last resort waits for a slow dial");
    bench.now = bench.scheduler.poll_timeout().unwrap();
    assert_eq!(bench.now, at(240));
    let decisions = bench.decisions();
    assert_eq!(revoked(&decisions, 1) + revoked(&decisions, 2), orders.len());
    assert!(decisions.iter().any(|d| matches!(d, Decision::SupplyLocally { .. })));
    assert_eq!(bench.scheduler.poll_timeout(), None);
    bench.held(100, &[]);
    assert!(bench.orders().is_empty(), "asked for nothing until it answers");
}

#[test]
fn a_path_that_answers_late_is_trusted_again() {
    let mut bench = bench(&[], Local::Fallback);
    bench.orders();
    bench.now = at(240);
    bench.decisions();
    bench.state(PathId::new(1), PathState::Live);
    let orders = bench.orders();
    assert!(all_bytes(&orders) >= 256 * KIB, "{orders:?}");
}
