//! Orders at a secondary, and questions about mappings at both servers.

use super::*;
use crate::session::primary::Output as PrimaryOutput;
use crate::session::secondary::{MAX_RESOURCES, OpenError, Output as SecondaryOutput};
use crate::session::{PrimarySession, SecondarySession};

fn edge() -> SecondarySession {
    let config = SessionConfig::default();
    let mut edge = SecondarySession::new(&config, &hello(), SESSION, EDGE, Epoch::FIRST).unwrap();
    while edge.poll_output().is_some() {}
    edge
}

fn orders(number: u64, orders: Vec<Order>) -> Orders {
    Orders { session: SESSION, path: EDGE, epoch: Epoch::FIRST, number, orders }
}

fn after(edge: &mut SecondarySession) -> Vec<SecondaryOutput> {
    std::iter::from_fn(|| edge.poll_output()).collect()
}

fn closed_with(outputs: &[SecondaryOutput]) -> Option<ErrorCode> {
    outputs.iter().find_map(|output| match output {
        SecondaryOutput::Close(code, _) => Some(*code),
        _ => None,
    })
}

#[test]
fn orders_count_from_one_without_holes() {
    let work = || vec![delegation(1, stream(0), range(0, 100))];
    for numbers in [&[0][..], &[2], &[1, 1], &[1, 3]] {
        let mut edge = edge();
        let (last, good) = numbers.split_last().unwrap();
        for number in good {
            edge.handle_orders(orders(*number, work()));
            assert_eq!(closed_with(&after(&mut edge)), None);
        }
        edge.handle_orders(orders(*last, vec![delegation(9, stream(0), range(0, 100))]));
        let outputs = after(&mut edge);
        assert_eq!(closed_with(&outputs), Some(ErrorCode::OrderInvalid), "{numbers:?}");
        let offered = |output: &SecondaryOutput| matches!(output, SecondaryOutput::Offer(_));
        assert!(!outputs.iter().any(offered), "nothing of the body is carried out");
    }
}

#[test]
fn orders_for_another_session_path_or_epoch_are_refused() {
    let good = orders(1, vec![open_grant(stream(0))]);
    for wrong in [
        Orders { session: SessionId([9; 16]), ..good.clone() },
        Orders { path: OTHER, ..good.clone() },
        Orders { epoch: Epoch(2), ..good.clone() },
    ] {
        let mut edge = edge();
        edge.handle_orders(wrong);
        assert_eq!(closed_with(&after(&mut edge)), Some(ErrorCode::OrderInvalid));
        assert!(edge.open(stream(0)).is_err());
    }
}

#[test]
fn a_secondary_opens_only_what_it_was_granted() {
    let mut edge = edge();
    let wrong = OpenError::WrongDirection { stream: stream(2) };
    assert_eq!(edge.open(stream(2)), Err(wrong));
    assert_eq!(edge.open(stream(0)), Err(OpenError::NotGranted { stream: stream(0) }));
    edge.handle_orders(orders(1, vec![delegation(1, stream(0), range(0, 100))]));
    let alone = OpenError::NotGranted { stream: stream(0) };
    assert_eq!(edge.open(stream(0)), Err(alone), "a delegation is for its own contribution");
    let plan = edge.accept(stream(0), DelegationId(1)).unwrap();
    assert_eq!((plan.allowed, plan.max_offset), (range(0, 100), offset(100)));
    let closed = StreamClosed { stream: stream(0), complete: true };
    edge.handle_control(ControlFrame::StreamClosed(closed));
    assert!(edge.accept(stream(0), DelegationId(1)).is_err());
    edge.handle_orders(orders(2, vec![bounded_grant(50, 150)]));
    assert_eq!(edge.open(stream(0)).unwrap().allowed, range(50, 150));
    edge.handle_control(ControlFrame::StreamClosed(closed));
    assert!(edge.open(stream(0)).is_err());
}

#[test]
fn a_contribution_has_the_rank_of_its_order_and_its_streams_newest_priority() {
    let ranked = |id, priority, urgent| {
        let Order::Delegation(mut order) =
            delegation(id, stream(0), range(100 * id, 100 * id + 100))
        else {
            panic!()
        };
        order.rank = Rank { priority, urgent };
        Order::Delegation(order)
    };
    let mut edge = edge();
    edge.handle_orders(orders(1, vec![ranked(1, 5, true), ranked(2, -9, false)]));
    let plan = edge.accept(stream(0), DelegationId(1)).unwrap();
    assert_eq!(plan.rank, Rank { priority: -9, urgent: true });
    let plan = edge.accept(stream(0), DelegationId(2)).unwrap();
    assert_eq!(plan.rank, Rank { priority: -9, urgent: false });
    // What nobody ordered goes with the rest of its stream.
    edge.handle_orders(orders(2, vec![open_grant(stream(0))]));
    assert_eq!(edge.open(stream(0)).unwrap().rank, Rank { priority: -9, urgent: false });
    edge.handle_orders(orders(3, vec![open_grant(stream(4))]));
    assert_eq!(edge.open(stream(4)).unwrap().rank, Rank::default());
}

fn bounded_grant(start: u64, end: u64) -> Order {
    let (start, end) = (offset(start), Some(offset(end)));
    Order::Grant(Grant { stream: stream(0), start, end, max_offset: offset(65_536) })
}

/// As many separate ranges as a path may have on a stream, and more.
const MANY: u64 = crate::grant::Grants::MAX_RANGES as u64 + 100;

#[test]
fn delegations_that_are_over_take_no_room() {
    let mut edge = edge();
    let odd = |n: u64| range(n * 200, n * 200 + 100);
    for n in 0..MANY {
        let id = DelegationId(n);
        edge.handle_orders(orders(n + 1, vec![delegation(n, stream(0), odd(n))]));
        assert_eq!(edge.accept(stream(0), id).unwrap().allowed, odd(n), "order {n}");
        let carrier = 4 * n + 3;
        edge.handle_carrier_open(carrier, contribution(stream(0), n, odd(n)));
        edge.handle_carrier_end(carrier, true);
        after(&mut edge);
    }
    assert_eq!(edge.counts(), (0, 0));
}

#[test]
fn the_newest_grants_of_a_stream_count() {
    let mut edge = edge();
    for n in 0..MANY {
        edge.handle_orders(orders(n + 1, vec![bounded_grant(n * 200, n * 200 + 100)]));
        after(&mut edge);
    }
    let most = crate::grant::Grants::MAX_RANGES as u64;
    let newest = range((MANY - most) * 200, (MANY - 1) * 200 + 100);
    assert_eq!(edge.open(stream(0)).unwrap().allowed, newest);
}

#[test]
fn the_1025th_delegation_is_refused_as_busy() {
    let mut edge = edge();
    for batch in 0..5u64 {
        let work = (0..256)
            .map(|n| delegation(batch * 256 + n, stream(0), range(0, 100)))
            .collect::<Vec<_>>();
        edge.handle_orders(orders(batch + 1, work));
    }
    let busy = |output: &SecondaryOutput| {
        matches!(output, SecondaryOutput::Send(ControlFrame::DelegationStatus(status))
            if status.state == DelegationState::Refused(GapReason::Busy))
    };
    assert_eq!(after(&mut edge).iter().filter(|output| busy(output)).count(), 256);
    assert_eq!(edge.counts(), (0, 1024));
}

#[test]
fn long_names_of_resources_fill_the_table_before_delegations_do() {
    let mut edge = edge();
    for batch in 0..2u64 {
        let named = |n| match delegation(batch * 256 + n, stream(0), range(0, 100)) {
            Order::Delegation(work) => {
                Order::Delegation(Delegation { resource: vec![b'x'; 4096].into(), ..work })
            }
            other => other,
        };
        edge.handle_orders(orders(batch + 1, (0..256).map(named).collect::<Vec<_>>()));
    }
    assert_eq!(edge.counts(), (0, MAX_RESOURCES / 4096));
}

#[test]
fn a_secondary_that_ended_is_silent() {
    let mut edge = edge();
    edge.close(ErrorCode::None, "done");
    after(&mut edge);
    edge.handle_control(ControlFrame::Ping(Ping { nonce: 1 }));
    edge.handle_orders(orders(1, vec![open_grant(stream(0))]));
    edge.handle_message_taken(10);
    edge.close(ErrorCode::None, "again");
    assert_eq!(after(&mut edge), []);
}

#[test]
fn both_servers_answer_a_query_with_what_they_send() {
    let header = contribution(stream(0), 1, range(0, 100));
    let query = MappingQuery { query: 5, carriers: vec![3, 99] };
    let mappings = vec![Mapping {
        carrier: 3,
        stream: stream(0),
        delegation: Some(DelegationId(1)),
        promised: Some(range(0, 100)),
    }];
    let answer = ControlFrame::MappingSnapshot(MappingSnapshot { query: 5, mappings });
    let mut edge = edge();
    edge.handle_carrier_open(3, header);
    edge.handle_carrier_open(7, contribution(stream(0), 2, range(100, 200)));
    edge.handle_control(ControlFrame::MappingQuery(query.clone()));
    assert_eq!(after(&mut edge), [SecondaryOutput::Send(answer.clone())]);

    let (config, now) = (SessionConfig::default(), Instant::ZERO);
    let mut primary = PrimarySession::new(&config, &hello(), SESSION, 7, now).unwrap();
    primary.handle_carrier_open(3, header);
    primary.handle_control(ControlFrame::MappingQuery(query), now);
    let outputs: Vec<_> = std::iter::from_fn(|| primary.poll_output(now)).collect();
    assert!(outputs.contains(&PrimaryOutput::Send(answer)));
}
