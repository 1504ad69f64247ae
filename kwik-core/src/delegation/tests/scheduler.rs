//! Each input against a small scheduler.

use super::*;

#[test]
fn every_byte_is_asked_for_once() {
    let mut bench = Bench::new(MIB, Candidates::All, Local::None);
    let orders = bench.orders();
    let asked = RangeSet::from_iter(orders.iter().map(|order| order.2));
    assert_eq!((asked.total_len(), all_bytes(&orders)), (MIB, MIB));
    assert!(orders.iter().any(|order| order.0 == PathId::new(1)));
    assert!(orders.iter().any(|order| order.0 == PathId::new(2)));
}

#[test]
fn nothing_is_asked_for_beyond_the_window() {
    let mut scheduler = Scheduler::new(DelegationConfig::default(), 1);
    let stream = StreamId::from_wire(0).unwrap();
    scheduler.set_path(PathId::new(1), PathView::DIALING, at(0));
    let whole = range(0, MIB);
    let order = |scheduler: &mut Scheduler| {
        scheduler.delegate(stream, whole, Bytes::new(), Candidates::All, Local::None, at(0))
    };
    order(&mut scheduler).unwrap();
    assert_eq!(scheduler.poll(at(0)), None, "a stream without a window");
    scheduler.handle_window(stream, Offset::new(1000).unwrap(), at(0));
    let Some(Decision::Delegate { delegation, .. }) = scheduler.poll(at(0)) else { panic!() };
    assert_eq!(delegation.range, range(0, 1000));
    assert_eq!(scheduler.poll(at(0)), None);
}

#[test]
fn what_cannot_be_delegated_is_refused() {
    let mut bench = Bench::new(MIB, Candidates::All, Local::None);
    let stream = bench.stream;
    let nobody = || Candidates::List(vec![PathId::PRIMARY]);
    let long = Bytes::from(vec![0; 4097]);
    let table = [
        (range(5, 5), Bytes::new(), Candidates::All, DelegateError::Empty),
        (range(5, 6), Bytes::new(), Candidates::All, DelegateError::Overlap),
        (range(MIB, MIB + 1), long, Candidates::All, DelegateError::ResourceTooLong),
        (range(MIB, MIB + 1), Bytes::new(), nobody(), DelegateError::NoCandidates),
    ];
    for (range, resource, candidates, error) in table {
        let result =
            bench.scheduler.delegate(stream, range, resource, candidates, Local::None, at(0));
        assert_eq!(result, Err(error));
    }
}

#[test]
fn a_refused_range_goes_to_somebody_else_and_never_back() {
    for reason in [GapReason::Stale, GapReason::NotFound, GapReason::Refused] {
        let mut bench = Bench::new(MIB, Candidates::All, Local::None);
        let orders = bench.orders();
        let (one, two) = (PathId::new(1), PathId::new(2));
        let mine: Vec<_> = orders.iter().filter(|order| order.0 == one).copied().collect();
        for &(path, id, _) in &mine {
            bench.answer(path, id, DelegationState::Refused(reason));
        }
        bench
            .held(0, &orders.iter().filter(|o| o.0 == two).map(|o| (o.2, two)).collect::<Vec<_>>());
        let again = bench.orders();
        assert_eq!(all_bytes(&again), all_bytes(&mine));
        assert!(again.iter().all(|order| order.0 == two), "{again:?}");
        let events: Vec<_> = std::iter::from_fn(|| bench.scheduler.poll_event()).collect();
        assert!(events.iter().any(|e| matches!(e, Event::Excluded { path, .. } if *path == one)));
        assert!(events.iter().any(|e| matches!(e, Event::Repaired { .. })));
    }
}

#[test]
fn a_busy_source_is_asked_again_after_a_pause() {
    let list = Candidates::List(vec![PathId::new(1)]);
    let mut bench = Bench::new(64 * KIB, list, Local::None);
    let [(path, id, range)] = bench.orders()[..] else { panic!() };
    bench.answer(path, id, DelegationState::Refused(GapReason::Busy));
    assert_eq!(bench.orders(), []);
    let due = bench.scheduler.poll_timeout().unwrap();
    assert_eq!(due, at(250));
    bench.now = due;
    let [(again, _, same)] = bench.orders()[..] else { panic!() };
    assert_eq!((again, same), (path, range));
}

#[test]
fn a_reason_that_is_not_a_secondarys_to_give_costs_it_the_same() {
    let theirs = [
        GapReason::Late,
        GapReason::Reset,
        GapReason::PathGone,
        GapReason::PathSuspect,
        GapReason::Corrupt,
        GapReason::Conflict,
        GapReason::Revoked,
        GapReason::Unassigned,
    ];
    for reason in theirs {
        for state in [DelegationState::Refused(reason), DelegationState::Failed(reason)] {
            let one = PathId::new(1);
            let mut bench = Bench::new(64 * KIB, Candidates::List(vec![one]), Local::None);
            let [(path, id, range)] = bench.orders()[..] else { panic!() };
            bench.answer(path, id, state);
            assert_eq!(bench.orders(), [], "{state:?}: not at once");
            bench.now = at(250);
            let [(_, again, same)] = bench.orders()[..] else { panic!("{state:?}") };
            assert_eq!(same, range);
            bench.answer(path, again, state);
            for _ in 0..20 {
                for (path, id, _) in bench.orders() {
                    bench.answer(path, id, state);
                }
                bench.now = bench.now + Duration::from_secs(10);
            }
            let events = std::iter::from_fn(|| bench.scheduler.poll_event());
            let barred = GapReason::SourceFailed;
            let excluded =
                |event| matches!(event, Event::Excluded { reason, .. } if reason == barred);
            assert!(events.into_iter().any(excluded), "{state:?}: not for ever");
        }
    }
}

#[test]
fn who_failed_gets_one_small_range_at_the_end_of_the_window() {
    let mut bench = Bench::new(64 * MIB, Candidates::All, Local::None);
    let one = PathId::new(1);
    for (path, id, _) in bench.orders() {
        if path == one {
            bench.answer(path, id, DelegationState::Refused(GapReason::Busy));
        }
    }
    bench.decisions();
    bench.now = bench.scheduler.poll_timeout().unwrap();
    let [(path, _, tail)] = bench.orders()[..] else { panic!() };
    assert_eq!((path, tail), (one, range(16 * MIB - 64 * KIB, 16 * MIB)));
}

#[test]
fn a_rate_across_a_silence_is_forgotten() {
    let mut bench = Bench::new(MIB, Candidates::All, Local::None);
    let one = PathId::new(1);
    let mut status = bench.status(one, PathState::Live);
    (status.received_bytes, status.busy_us) = (100_000, 100_000);
    bench.scheduler.handle_path_status(&status, at(100));
    assert_eq!(bench.scheduler.path_share(one).unwrap().rate, Some(1_000_000));
    status.state = PathState::Suspect;
    bench.scheduler.handle_path_status(&status, at(400));
    assert_eq!(bench.scheduler.path_share(one).unwrap().rate, None);
}

#[test]
fn with_nobody_left_the_primary_supplies_or_it_is_said() {
    for local in [Local::Fallback, Local::None] {
        let mut bench = Bench::new(64 * KIB, Candidates::List(vec![PathId::new(1)]), local);
        let [(path, id, range)] = bench.orders()[..] else { panic!() };
        bench.answer(path, id, DelegationState::Refused(GapReason::NotFound));
        let stream = bench.stream;
        match (local, &bench.decisions()[..]) {
            (Local::Fallback, [Decision::SupplyLocally { range: own, .. }]) => {
                assert_eq!(*own, range);
            }
            (Local::None, [said]) => {
                let reason = GapReason::NotFound;
                assert_eq!(*said, Decision::GiveUp { stream, range, reason });
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(bench.decisions(), [], "said once");
    }
}

#[test]
fn a_dead_paths_rest_goes_to_others_without_what_is_held() {
    let mut bench = Bench::new(256 * KIB, Candidates::All, Local::None);
    let orders = bench.orders();
    let (one, two) = (PathId::new(1), PathId::new(2));
    let mine: Vec<_> = orders.iter().filter(|order| order.0 == one).copied().collect();
    let first = mine[0].2;
    let got = range(first.start().value(), first.start().value() + 1000);
    bench.held(0, &[(got, one)]);
    bench.state(one, PathState::Gone);
    bench.held(0, &orders.iter().filter(|o| o.0 == two).map(|o| (o.2, two)).collect::<Vec<_>>());
    let again = bench.orders();
    assert_eq!(all_bytes(&again), all_bytes(&mine) - 1000);
    assert!(again.iter().all(|order| order.0 == two));
}

#[test]
fn a_suspect_path_is_told_to_stop() {
    let mut bench = Bench::new(256 * KIB, Candidates::All, Local::None);
    let count = bench.orders().iter().filter(|order| order.0 == PathId::new(1)).count();
    bench.state(PathId::new(1), PathState::Suspect);
    let revokes = bench.decisions();
    let revokes = revokes.iter().filter(|d| matches!(d, Decision::Revoke { .. })).count();
    assert_eq!(revokes, count);
}

#[test]
fn a_late_head_is_copied_once_and_the_loser_revoked() {
    let mut bench = Bench::new(128 * KIB, Candidates::All, Local::None);
    let orders = bench.orders();
    let &(late, id, range) = orders.iter().find(|o| o.2.start() == Offset::ZERO).unwrap();
    bench.gap(late, id, range, GapReason::Late);
    bench.gap(late, id, range, GapReason::Late);
    let copies = bench.orders();
    let [(other, _, copied)] = copies[..] else { panic!("{copies:?}") };
    assert!(other != late && copied == range);
    assert_eq!(bench.scheduler.stats().redundancy_charged, range.len());
    bench.held(0, &[(range, other)]);
    let stream = bench.stream;
    let revoke = Decision::Revoke { path: late, stream, delegation: id };
    assert!(bench.decisions().contains(&revoke));
}

#[test]
fn beyond_the_bucket_a_late_head_moves_instead() {
    let config = DelegationConfig { redundancy_opening: 0, ..DelegationConfig::default() };
    let mut bench = Bench::new(128 * KIB, Candidates::All, Local::None);
    bench.scheduler.bucket = Bucket::new(&config);
    let orders = bench.orders();
    let &(late, id, range) = orders.iter().find(|o| o.2.start() == Offset::ZERO).unwrap();
    bench.gap(late, id, range, GapReason::Late);
    let stream = bench.stream;
    let revoke = Decision::Revoke { path: late, stream, delegation: id };
    assert!(bench.decisions().contains(&revoke));
    assert_eq!(bench.scheduler.stats().redundancy_charged, 64 * KIB, "may be under way");
}

#[test]
fn a_path_that_delivers_nothing_after_being_late_loses_everything() {
    let mut bench = Bench::new(MIB, Candidates::All, Local::None);
    let orders = bench.orders();
    let &(late, id, range) = orders.iter().find(|o| o.2.start() == Offset::ZERO).unwrap();
    bench.gap(late, id, range, GapReason::Late);
    bench.decisions();
    bench.now = bench.scheduler.poll_timeout().unwrap();
    assert_eq!(bench.now, at(250));
    let owed = orders.iter().filter(|order| order.0 == late).count();
    let revoked = bench.decisions();
    let revoked = revoked.iter().filter(|d| matches!(d, Decision::Revoke { .. })).count();
    assert_eq!(revoked, owed);
    assert_eq!(bench.scheduler.path_share(late).unwrap().outstanding_bytes, 0);
}

#[test]
fn pending_lends_the_range_to_others_and_joins_later() {
    let list = Candidates::List(vec![PathId::new(1)]);
    let mut bench = Bench::new(64 * KIB, list, Local::None);
    let [(path, id, range)] = bench.orders()[..] else { panic!() };
    bench.answer(path, id, DelegationState::Pending);
    assert_eq!(bench.decisions(), []);
    assert_eq!(bench.scheduler.path_share(path).unwrap().outstanding_bytes, 0);
    bench.answer(path, id, DelegationState::Accepted);
    assert_eq!(bench.decisions(), [], "nobody else was asked: the first order holds");
    let owed = bench.scheduler.path_share(path).unwrap().outstanding_bytes;
    assert_eq!(owed, range.len());
}

#[test]
fn late_data_of_a_revoked_source_counts() {
    let mut bench = Bench::new(64 * KIB, Candidates::All, Local::None);
    let [(path, _, range)] = bench.orders()[..] else { panic!() };
    bench.state(path, PathState::Gone);
    bench.held(range.end().value(), &[]);
    assert_eq!(bench.orders(), [], "held, whoever sent it");
    let stats = bench.scheduler.stats();
    assert_eq!(stats.delivered_bytes, range.len());
}

#[test]
fn bytes_that_were_held_may_be_missing_again() {
    let mut bench = Bench::new(64 * KIB, Candidates::All, Local::None);
    let [(path, id, range)] = bench.orders()[..] else { panic!() };
    let unread = super::range(100, range.end().value());
    bench.held(100, &[(unread, path)]);
    bench.decisions();
    bench.gap(path, id, unread, GapReason::Conflict);
    let again = bench.orders();
    assert_eq!(all_bytes(&again), unread.len());
    assert!(again.iter().all(|order| order.0 != path), "not from who was wrong");
    assert_eq!(bench.scheduler.stats().delivered_bytes, 100);
}

#[test]
fn a_closed_stream_is_forgotten() {
    let mut bench = Bench::new(MIB, Candidates::All, Local::Share);
    let local = bench.decisions();
    let local = local.iter().filter(|d| matches!(d, Decision::SupplyLocally { .. })).count();
    bench.scheduler.handle_stream_closed(bench.stream, at(1));
    let cancelled = bench.decisions();
    assert_eq!(cancelled.len(), local);
    assert!(cancelled.iter().all(|d| matches!(d, Decision::CancelLocal { .. })));
    assert_eq!((bench.scheduler.book.ledger.len(), bench.scheduler.plans), (0, 0));
    for path in 0..3 {
        let share = bench.scheduler.path_share(PathId::new(path)).unwrap();
        assert_eq!(share.outstanding_bytes, 0);
    }
}

#[test]
fn foreign_and_unknown_numbers_change_nothing() {
    let mut bench = Bench::new(64 * KIB, Candidates::All, Local::None);
    let [(path, id, range)] = bench.orders()[..] else { panic!() };
    let other = PathId::new(3 - path.value());
    bench.answer(other, id, DelegationState::Refused(GapReason::Stale));
    bench.answer(path, DelegationId(999), DelegationState::Refused(GapReason::Stale));
    bench.gap(other, id, range, GapReason::Reset);
    assert_eq!(bench.decisions(), []);
    assert_eq!(bench.scheduler.path_share(path).unwrap().outstanding_bytes, range.len());
}

#[test]
fn streams_take_turns() {
    let mut scheduler = Scheduler::new(DelegationConfig::default(), 1);
    scheduler.set_path(PathId::new(1), PathView::DIALING, at(0));
    for id in [0, 4] {
        let stream = StreamId::from_wire(id).unwrap();
        scheduler.handle_window(stream, Offset::new(MIB).unwrap(), at(0));
        let whole = range(0, 8 * MIB);
        scheduler
            .delegate(stream, whole, Bytes::new(), Candidates::All, Local::None, at(0))
            .unwrap();
    }
    let streams: Vec<u64> = std::iter::from_fn(|| scheduler.poll(at(0)))
        .filter_map(|decision| match decision {
            Decision::Delegate { delegation, .. } => Some(delegation.stream.value()),
            _ => None,
        })
        .collect();
    assert_eq!(&streams[..2], [0, 4]);
}
