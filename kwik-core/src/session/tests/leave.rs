//! Servers that go away.

use super::*;
use crate::session::primary::Output as PrimaryOutput;
use crate::session::secondary::{OpenError, Output as EdgeOutput};
use crate::session::{PrimarySession, SecondarySession};

fn at(millis: u64) -> Instant {
    Instant::ZERO + ms(millis)
}

fn primary() -> PrimarySession {
    let config = SessionConfig::default();
    let mut primary = PrimarySession::new(&config, &hello(), SESSION, 7, at(0)).unwrap();
    while primary.poll_output(at(0)).is_some() {}
    primary
}

fn told(primary: &mut PrimarySession, now: Instant) -> Vec<PrimaryOutput> {
    std::iter::from_fn(|| primary.poll_output(now)).collect()
}

fn away(grace_ms: u32) -> ControlFrame {
    ControlFrame::GoAway(GoAway { grace_ms })
}

#[test]
fn a_primary_says_so_once_and_ends_when_its_grace_does() {
    let mut primary = primary();
    primary.handle_header(4, stream(0)).unwrap();
    told(&mut primary, at(0));
    primary.go_away(at(500), at(100));
    assert_eq!(told(&mut primary, at(100)), [PrimaryOutput::Send(away(400))]);
    assert_eq!(primary.poll_timeout(), Some(at(500)));
    primary.go_away(at(900), at(200));
    primary.go_away(at(300), at(200));
    assert_eq!(told(&mut primary, at(200)), []);
    primary.handle_timeout(at(299));
    assert_eq!(told(&mut primary, at(299)), []);
    primary.handle_timeout(at(300));
    let outputs = told(&mut primary, at(300));
    assert!(matches!(
        outputs[..],
        [
            PrimaryOutput::Send(ControlFrame::SessionClose(_)),
            PrimaryOutput::Close(ErrorCode::GoingAway, None, _),
        ]
    ));
    assert_eq!(primary.poll_timeout(), None);
}

#[test]
fn without_grace_a_primary_ends_at_once() {
    let mut primary = primary();
    primary.go_away(at(100), at(100));
    let outputs = told(&mut primary, at(100));
    assert!(matches!(outputs[1], PrimaryOutput::Close(ErrorCode::GoingAway, None, _)));
}

#[test]
fn what_is_open_at_a_primary_goes_on() {
    let mut primary = primary();
    primary.handle_header(4, stream(0)).unwrap();
    primary.go_away(at(500), at(0));
    told(&mut primary, at(0));
    assert!(primary.handle_header(8, stream(4)).is_ok());
    assert!(primary.open_stream(StreamKind::Unidirectional).is_some());
}

#[test]
fn a_primary_without_open_streams_ends_when_the_client_has_heard_it() {
    let mut primary = primary();
    let ping = |nonce| PrimaryOutput::Send(ControlFrame::Ping(Ping { nonce }));
    let pong = |nonce| ControlFrame::Pong(Pong { nonce });
    primary.go_away(at(500), at(100));
    assert_eq!(told(&mut primary, at(100)), [PrimaryOutput::Send(away(400)), ping(1)]);
    primary.handle_control(pong(7), at(110));
    assert_eq!(told(&mut primary, at(110)), []);
    // One that was opened meanwhile is served.
    let id = primary.open_stream(StreamKind::Unidirectional).unwrap();
    primary.handle_control(pong(1), at(120));
    let outputs = told(&mut primary, at(120));
    assert!(matches!(outputs[..], [PrimaryOutput::Stream(_)]), "{outputs:?}");
    primary.reset_stream(id, 0, Offset::ZERO);
    primary.handle_control(
        ControlFrame::StreamClosed(StreamClosed { stream: id, complete: false }),
        at(130),
    );
    let outputs = told(&mut primary, at(130));
    assert_eq!(outputs.last(), Some(&ping(2)), "{outputs:?}");
    primary.handle_control(pong(2), at(140));
    let outputs = told(&mut primary, at(140));
    assert!(matches!(outputs.last(), Some(PrimaryOutput::Close(ErrorCode::GoingAway, None, _))));
}

struct Edge(SecondarySession);

impl Edge {
    /// With an accepted delegation, number 1, and one that waits, number 2.
    fn new() -> Self {
        let config = SessionConfig::default();
        let edge = SecondarySession::new(&config, &hello(), SESSION, EDGE, Epoch::FIRST).unwrap();
        let mut edge = Self(edge);
        edge.order(
            1,
            vec![
                delegation(1, stream(0), range(0, 100)),
                delegation(2, stream(0), range(100, 200)),
            ],
        );
        let plan = edge.0.accept(stream(0), DelegationId(1)).unwrap();
        edge.0.handle_carrier_open(3, plan.header);
        edge.outputs();
        edge
    }

    fn order(&mut self, number: u64, orders: Vec<Order>) {
        let epoch = Epoch::FIRST;
        self.0.handle_orders(Orders { session: SESSION, path: EDGE, epoch, number, orders });
    }

    fn pong(&mut self, nonce: u64) {
        self.0.handle_control(ControlFrame::Pong(Pong { nonce }));
    }

    fn outputs(&mut self) -> Vec<EdgeOutput> {
        std::iter::from_fn(|| self.0.poll_output()).collect()
    }
}

fn states(outputs: &[EdgeOutput]) -> Vec<(u64, DelegationState)> {
    let status = |output: &EdgeOutput| match output {
        EdgeOutput::Send(ControlFrame::DelegationStatus(status)) => {
            Some((status.delegation.0, status.state))
        }
        _ => None,
    };
    outputs.iter().filter_map(status).collect()
}

fn ping(nonce: u64) -> EdgeOutput {
    EdgeOutput::Send(ControlFrame::Ping(Ping { nonce }))
}

const BUSY: DelegationState = DelegationState::Refused(GapReason::Busy);

#[test]
fn a_secondary_hands_back_what_it_has_not_begun_and_finishes_the_rest() {
    let mut edge = Edge::new();
    edge.0.go_away(at(500), at(0));
    let outputs = edge.outputs();
    assert_eq!(outputs[0], EdgeOutput::Send(away(500)));
    assert_eq!(states(&outputs), [(2, BUSY)]);
    let late = edge.0.accept(stream(0), DelegationId(2));
    assert!(matches!(late, Err(OpenError::Closed { .. })));
    edge.order(2, vec![delegation(3, stream(0), range(200, 300)), open_grant(stream(0))]);
    assert_eq!(states(&edge.outputs()), [(3, BUSY)]);
    assert_eq!(edge.0.open(stream(0)), Err(OpenError::Leaving));
    edge.0.handle_carrier_end(3, true);
    let outputs = edge.outputs();
    assert_eq!(states(&outputs), [(1, DelegationState::Sent)]);
    assert_eq!(outputs.last(), Some(&ping(1)));
    edge.pong(1);
    let outputs = edge.outputs();
    assert!(matches!(outputs.last(), Some(EdgeOutput::Close(ErrorCode::GoingAway, _))));
}

#[test]
fn a_secondary_without_work_ends_when_the_client_has_heard_it() {
    let mut edge = Edge::new();
    edge.0.handle_carrier_end(3, true);
    edge.0.refuse(DelegationId(2), GapReason::Busy);
    edge.outputs();
    edge.0.go_away(at(500), at(0));
    let outputs = edge.outputs();
    assert_eq!(outputs, [EdgeOutput::Send(away(500)), ping(1)]);
    edge.pong(7);
    assert_eq!(edge.outputs(), []);
    // An order that was on its way goes back, and the client is asked again.
    edge.order(2, vec![delegation(3, stream(0), range(200, 300))]);
    edge.pong(1);
    let outputs = edge.outputs();
    assert_eq!(states(&outputs), [(3, BUSY)]);
    assert_eq!(outputs.last(), Some(&ping(2)));
    edge.pong(2);
    let outputs = edge.outputs();
    assert!(matches!(outputs.last(), Some(EdgeOutput::Close(ErrorCode::GoingAway, _))));
}

#[test]
fn a_secondary_waits_for_its_grace_and_no_longer() {
    let mut edge = Edge::new();
    edge.0.go_away(at(500), at(0));
    edge.outputs();
    assert_eq!(edge.0.poll_timeout(), Some(at(500)));
    edge.0.handle_timeout(at(499));
    assert_eq!(edge.outputs(), []);
    edge.0.handle_timeout(at(500));
    let outputs = edge.outputs();
    assert!(matches!(outputs.last(), Some(EdgeOutput::Close(ErrorCode::GoingAway, _))));
    assert_eq!(edge.0.poll_timeout(), None);
}
