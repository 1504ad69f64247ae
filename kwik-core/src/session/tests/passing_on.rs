//! What the client passes on between its servers, and what it keeps to itself.

use super::*;

fn status(id: u64, state: DelegationState) -> ControlFrame {
    let (path, delegation) = (EDGE, DelegationId(id));
    ControlFrame::DelegationStatus(DelegationStatus { path, delegation, state })
}

fn credit(max_bytes: u64) -> ControlFrame {
    ControlFrame::RelayCredit(RelayCredit { path: EDGE, max_bytes })
}

const MOST: u64 = crate::relay::INITIAL_CREDIT;

/// The primary sends the edge a message of 4 KiB.
fn message(bench: &mut Bench, epoch: u32) {
    let relay = Relay {
        path: EDGE,
        message_id: 0,
        message_size: 4096,
        piece_offset: 0,
        piece: vec![7; 4096].into(),
    };
    bench.order(EDGE, epoch, 1, vec![Order::Relay(relay)]);
}

/// Statuses and credits that the primary was sent.
fn passed(bench: &Bench) -> usize {
    let counts = |frame: &&&ControlFrame| {
        matches!(frame, ControlFrame::DelegationStatus(_) | ControlFrame::RelayCredit(_))
    };
    bench.sent(PathId::PRIMARY).iter().filter(counts).count()
}

#[test]
fn answers_to_nothing_and_answers_again_do_not_reach_the_primary() {
    let mut bench = Bench::attached(EDGE);
    bench.attach(OTHER, 1);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    bench.forget();
    for _ in 0..100 {
        bench.secondary(OTHER, 1, status(1, DelegationState::Accepted));
        bench.secondary(EDGE, 1, status(2, DelegationState::Refused(GapReason::Busy)));
        for state in [DelegationState::Pending, DelegationState::Accepted, DelegationState::Sent] {
            bench.secondary(EDGE, 1, status(1, state));
        }
    }
    assert_eq!(passed(&bench), 3);
    let failed = DelegationState::Failed(GapReason::SourceFailed);
    bench.secondary(EDGE, 1, status(1, failed));
    bench.secondary(EDGE, 1, status(1, failed));
    assert_eq!(passed(&bench), 4);
}

/// Whatever sixteen secondaries say, their client sends its primary a few answers for each order, and so never more than its
/// primary takes of it (`throttle::Rates`).
#[test]
fn a_client_with_hostile_secondaries_answers_each_order_a_few_times() {
    const ORDERS: u64 = 5;
    let mut bench = Bench::attached(EDGE);
    let paths: Vec<PathId> = (EDGE.value()..EDGE.value() + 16).map(PathId::new).collect();
    for (path, number) in paths.iter().zip(0..) {
        if *path != EDGE {
            bench.attach(*path, 1);
        }
        let order = |it: u64| {
            let id = number * ORDERS + it;
            delegation(id, stream(0), range(100 * id, 100 * id + 100))
        };
        bench.order(*path, 1, 1, (0..ORDERS).map(order).collect());
    }
    bench.forget();
    for turn in 0..2_000 {
        for path in &paths {
            for state in [
                DelegationState::Pending,
                DelegationState::Accepted,
                DelegationState::Sent,
                DelegationState::Failed(GapReason::Busy),
                DelegationState::Refused(GapReason::Busy),
            ] {
                bench.secondary(*path, 1, status(turn % (20 * ORDERS), state));
            }
        }
    }
    assert!(passed(&bench) as u64 <= 4 * 16 * ORDERS, "{}", passed(&bench));
}

#[test]
fn credit_that_does_not_grow_does_not_reach_the_primary() {
    let mut bench = Bench::attached(EDGE);
    for max_bytes in [0, 1, MOST] {
        bench.secondary(EDGE, 1, credit(max_bytes));
    }
    assert_eq!(passed(&bench), 0);
    message(&mut bench, 1);
    for max_bytes in [MOST + 4096, MOST + 4096, MOST + 1] {
        bench.secondary(EDGE, 1, credit(max_bytes));
    }
    assert_eq!(passed(&bench), 1);
    bench.attach(EDGE, 2);
    bench.secondary(EDGE, 2, credit(MOST + 4096));
    assert_eq!(passed(&bench), 1, "a new epoch begins anew: nothing was sent in it");
    message(&mut bench, 2);
    bench.secondary(EDGE, 2, credit(MOST + 4096));
    assert_eq!(passed(&bench), 2);
}

#[test]
fn credit_for_what_was_never_sent_and_crumbs_do_not_reach_the_primary() {
    let mut bench = Bench::attached(EDGE);
    for more in 1..10_000 {
        bench.secondary(EDGE, 1, credit(MOST + more));
    }
    assert_eq!(passed(&bench), 0, "the primary sent nothing that could have been taken");
    message(&mut bench, 1);
    for more in 1..10_000 {
        bench.secondary(EDGE, 1, credit(MOST + more));
    }
    let told = ControlFrame::RelayCredit(RelayCredit { path: EDGE, max_bytes: MOST + 4096 });
    assert!(bench.sent(PathId::PRIMARY).contains(&&told));
    assert_eq!(passed(&bench), 1, "one frame for 4 KiB of messages");
}

#[test]
fn a_stopped_stream_is_told_to_each_source_once() {
    let mut bench = Bench::attached(EDGE);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    bench.forget();
    bench.halves.get_mut(&stream(0)).unwrap().stop(3);
    bench.client.stop_stream(stream(0), 3);
    bench.read(stream(0));
    bench.client.stop_stream(stream(0), 3);
    bench.drain();
    let told = ControlFrame::StreamClosed(StreamClosed { stream: stream(0), complete: false });
    assert_eq!(bench.sent(EDGE), [&told]);
}

fn results(bench: &Bench) -> Vec<AddPathResult> {
    let result = |frame: &&ControlFrame| match frame {
        ControlFrame::AddPathResult(result) => Some(result.clone()),
        _ => None,
    };
    bench.sent(PathId::PRIMARY).iter().filter_map(result).collect()
}

#[test]
fn why_an_epoch_failed_is_not_said_of_the_next() {
    let mut bench = Bench::attached(EDGE);
    bench.client.handle_lost(EDGE, Epoch(1), ErrorCode::Unreachable, "cut off", bench.now);
    bench.attach(EDGE, 2);
    let result = results(&bench).pop().unwrap();
    assert_eq!((result.code, result.detail.as_str()), (ErrorCode::None, ""));
    bench.client.handle_lost(EDGE, Epoch(1), ErrorCode::Unreachable, "of old", bench.now);
    bench.client.handle_lost(EDGE, Epoch(2), ErrorCode::Unreachable, "cut off", bench.now);
    bench.forget();
    bench.primary(add_path(EDGE, 3));
    // The dial time is 10.1 s: seen late, at 11 s, it runs once more.
    for _ in 0..22 {
        bench.wait(ms(1000));
    }
    let result = results(&bench).pop().unwrap();
    assert_eq!((result.code, result.detail.as_str()), (ErrorCode::Unreachable, ""));
}

#[test]
fn a_redial_that_is_refused_takes_no_slot() {
    let path_policy = crate::path::policy::PathPolicy::default().with_max_paths(1);
    let mut bench = Bench::with(SessionConfig { path_policy, ..Default::default() });
    bench.primary(welcome());
    bench.attach(EDGE, 1);
    bench.client.handle_lost(EDGE, Epoch(1), ErrorCode::Unreachable, "lost", bench.now);
    bench.wait(ms(60_000));
    bench.wait(ms(60_000));
    let mut add = add_path(EDGE, 2);
    if let ControlFrame::AddPath(add) = &mut add {
        add.addresses = vec!["127.0.0.1:443".parse().unwrap()];
    }
    bench.primary(add);
    assert_eq!(results(&bench).pop().unwrap().code, ErrorCode::PathPolicy);
    bench.forget();
    bench.attach(OTHER, 1);
    assert_eq!(bench.state(OTHER), Some(PathState::Live), "{:?}", results(&bench));
    bench.primary(ControlFrame::RemovePath(RemovePath { path: OTHER, drain_ms: 0 }));
    bench.attach(EDGE, 3);
    assert_eq!(bench.state(EDGE), Some(PathState::Live));
}

#[test]
fn a_path_that_is_removed_when_it_is_over_is_reported_all_the_same() {
    let mut bench = Bench::attached(EDGE);
    let remove = ControlFrame::RemovePath(RemovePath { path: EDGE, drain_ms: 0 });
    for _ in 0..2 {
        bench.forget();
        bench.primary(remove.clone());
        let gone = |frame: &&ControlFrame| matches!(frame, ControlFrame::PathStatus(status) if status.state == PathState::Gone);
        assert!(bench.sent(PathId::PRIMARY).iter().any(gone));
    }
}

#[test]
fn grants_without_room_are_handed_back() {
    let mut bench = Bench::attached(EDGE);
    let most = crate::grant::Grants::MAX_RANGES as u64;
    for number in 0..=most {
        let at = number * 10;
        bench.order(EDGE, 1, number + 1, vec![delegation(number, stream(0), range(at, at + 5))]);
    }
    let gaps = bench.gaps();
    let last = range(most * 10, most * 10 + 5);
    assert_eq!((gaps.len(), gaps[0].reason, gaps[0].range), (1, GapReason::Busy, last));
}

#[test]
fn a_welcome_with_less_than_the_least_window_is_an_error() {
    let mut limits = SessionConfig::default().limits();
    limits.initial_window -= 1;
    let small = ControlFrame::Welcome(Welcome {
        version: 1,
        features: Vec::new(),
        limits,
        session: SESSION,
    });
    let mut bench = Bench::new();
    bench.primary(small.clone());
    assert_eq!(bench.closed_with(), Some(ErrorCode::ProtocolViolation));
    let mut bench = Bench::established();
    bench.primary(add_path(EDGE, 1));
    bench.wait(ms(2000));
    bench.connect(EDGE, 1);
    bench.secondary(EDGE, 1, small);
    assert_eq!(bench.path_closed_with(EDGE), Some(ErrorCode::ProtocolViolation));
}

#[test]
fn messages_that_find_no_room_do_not_close_a_secondary() {
    use crate::relay::Inbox;
    use crate::session::SecondarySession;
    use crate::session::secondary::Output as SecondaryOutput;
    let config = SessionConfig::default();
    let mut edge = SecondarySession::new(&config, &hello(), SESSION, EDGE, Epoch::FIRST).unwrap();
    for number in 0..=Inbox::MAX_WAITING as u64 {
        let piece = Bytes::from_static(b"x");
        let relay =
            Relay { path: EDGE, message_id: number, message_size: 1, piece_offset: 0, piece };
        edge.handle_orders(Orders {
            session: SESSION,
            path: EDGE,
            epoch: Epoch::FIRST,
            number: number + 1,
            orders: vec![Order::Relay(relay)],
        });
    }
    let outputs: Vec<_> = std::iter::from_fn(|| edge.poll_output()).collect();
    assert!(!outputs.iter().any(|output| matches!(output, SecondaryOutput::Close(..))));
    let credit = RelayCredit { path: EDGE, max_bytes: crate::relay::INITIAL_CREDIT + 1 };
    let given_back = SecondaryOutput::Send(ControlFrame::RelayCredit(credit));
    assert_eq!(outputs.last(), Some(&given_back));
}

#[test]
fn a_revocation_of_everything_leaves_nothing_owed() {
    let mut bench = Bench::attached(EDGE);
    bench.client.open_stream(StreamKind::Bidirectional).unwrap();
    bench.drain();
    let orders = vec![
        delegation(1, stream(0), range(0, 100)),
        delegation(2, stream(0), range(100, 200)),
        delegation(3, stream(4), range(0, 100)),
    ];
    bench.order(EDGE, 1, 1, orders);
    bench.read(stream(0));
    bench.read(stream(4));
    bench.forget();
    let revoke = Revoke { stream: stream(0), delegation: None };
    bench.order(EDGE, 1, 2, vec![Order::Revoke(revoke)]);
    (0..20).for_each(|_| bench.wait(ms(10)));
    let missed: Vec<_> = bench.gaps().iter().map(|gap| gap.delegation).collect();
    assert_eq!(missed, [Some(DelegationId(3))], "what was taken back is owed by nobody");
}

#[test]
fn a_secondary_answers_for_itself_whomever_it_names() {
    let mut bench = Bench::attached(EDGE);
    bench.attach(OTHER, 1);
    bench.order(OTHER, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    bench.forget();
    // It names the other server's path.
    bench.secondary(OTHER, 1, status(1, DelegationState::Accepted));
    let told = bench.sent(PathId::PRIMARY).into_iter().find_map(|frame| match frame {
        ControlFrame::DelegationStatus(status) => Some(status.path),
        _ => None,
    });
    assert_eq!(told, Some(OTHER));
}

#[test]
fn orders_of_another_session_are_not_passed_on() {
    let mut bench = Bench::attached(EDGE);
    let order = vec![delegation(1, stream(0), range(0, 100))];
    let (session, epoch) = (SessionId([9; 16]), Epoch(1));
    let orders = Orders { session, path: EDGE, epoch, number: 1, orders: order };
    let signed = SignedOrders { body: orders.encode(), signature: [0; 64], key_id: String::new() };
    bench.primary(ControlFrame::Orders(signed));
    assert_eq!(bench.closed_with(), Some(ErrorCode::ProtocolViolation));
    let passed = |frame: &&ControlFrame| matches!(frame, ControlFrame::Orders(_));
    assert_eq!(bench.sent(EDGE).into_iter().filter(passed).count(), 0);
}
