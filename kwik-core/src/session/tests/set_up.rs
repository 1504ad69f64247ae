//! Peers of other versions, and what a peer is told when it breaks a rule of the set-up.

use super::*;
use crate::path::table::Target;
use crate::relay::{INITIAL_CREDIT, Inbox, MAX_PIECE};
use crate::session::primary::Output as PrimaryOutput;
use crate::session::secondary::Output as SecondaryOutput;
use crate::session::{PrimarySession, SecondarySession};

fn primary(hello: &Hello) -> Result<PrimarySession, Refuse> {
    PrimarySession::new(&SessionConfig::default(), hello, SESSION, 7, Instant::ZERO)
}

fn edge(hello: &Hello) -> Result<SecondarySession, Refuse> {
    SecondarySession::new(&SessionConfig::default(), hello, SESSION, EDGE, Epoch::FIRST)
}

fn welcome_of(version: u32, features: Vec<u32>, session: SessionId) -> ControlFrame {
    let limits = SessionConfig::default().limits();
    ControlFrame::Welcome(Welcome { version, features, limits, session })
}

#[test]
fn servers_answer_a_newer_client_with_what_both_speak() {
    let newer = Hello { versions: vec![3, 2, 1], features: vec![7, 2048], ..hello() };
    let common = welcome_of(1, vec![], SESSION);
    let answer = primary(&newer).unwrap().poll_output(Instant::ZERO);
    assert_eq!(answer, Some(PrimaryOutput::Send(common.clone())));
    assert_eq!(edge(&newer).unwrap().poll_output(), Some(SecondaryOutput::Send(common)));
}

#[test]
fn servers_refuse_a_client_without_a_version_in_common() {
    let strange = Hello { versions: vec![3, 2], ..hello() };
    let codes = [primary(&strange).unwrap_err().code, edge(&strange).unwrap_err().code];
    assert_eq!(codes, [ErrorCode::VersionNegotiation; 2]);
}

#[test]
fn a_client_refuses_an_answer_that_it_did_not_offer() {
    for answer in [welcome_of(2, vec![], SESSION), welcome_of(1, vec![9], SESSION)] {
        let mut bench = Bench::new();
        bench.primary(answer.clone());
        assert_eq!(bench.closed_with(), Some(ErrorCode::VersionNegotiation));

        let mut bench = Bench::established();
        bench.primary(add_path(EDGE, 1));
        bench.wait(ms(2000));
        bench.connect(EDGE, 1);
        bench.secondary(EDGE, 1, answer);
        assert_eq!(bench.path_closed_with(EDGE), Some(ErrorCode::VersionNegotiation));
        assert_eq!(bench.closed_with(), None, "a secondary ends its path alone");
    }
}

#[test]
fn a_client_gives_a_primary_that_never_answers_ten_seconds() {
    let mut bench = Bench::new();
    bench.wait(ms(9_999));
    assert_eq!(bench.closed_with(), None);
    assert_eq!(bench.client.poll_timeout(), Some(Instant::ZERO + ms(10_000)));
    bench.wait(ms(1));
    assert_eq!(bench.closed_with(), Some(ErrorCode::HandshakeTimeout));
    let mut bench = Bench::established();
    bench.wait(ms(20_000));
    assert_eq!(bench.closed_with(), None, "it answered");
}

#[test]
fn a_client_refuses_a_secondary_of_another_session() {
    let mut bench = Bench::established();
    bench.primary(add_path(EDGE, 1));
    bench.wait(ms(2000));
    bench.connect(EDGE, 1);
    bench.secondary(EDGE, 1, welcome_of(1, vec![], SessionId([9; 16])));
    assert_eq!(bench.path_closed_with(EDGE), Some(ErrorCode::ProtocolViolation));
}

#[test]
fn relay_messages_beyond_the_credit_cost_their_path_alone() {
    let piece = || {
        ControlFrame::Relay(Relay {
            path: EDGE,
            message_id: 0,
            message_size: MAX_PIECE as u32,
            piece_offset: 0,
            piece: vec![0; MAX_PIECE].into(),
        })
    };
    let mut bench = Bench::attached(EDGE);
    for _ in 0..INITIAL_CREDIT / MAX_PIECE as u64 {
        bench.secondary(EDGE, 1, piece());
    }
    assert_eq!(bench.path_closed_with(EDGE), None);
    bench.secondary(EDGE, 1, piece());
    assert_eq!(bench.path_closed_with(EDGE), Some(ErrorCode::FlowControl));
    assert_eq!(bench.closed_with(), None);
}

#[test]
fn messages_that_nobody_takes_are_dropped_and_the_path_lives() {
    let mut edge = edge(&hello()).unwrap();
    let count = Inbox::MAX_WAITING as u64 + 1;
    for number in 1..=count {
        let order = Order::Relay(Relay {
            path: EDGE,
            message_id: number - 1,
            message_size: 1,
            piece_offset: 0,
            piece: vec![0].into(),
        });
        let (session, path, epoch) = (SESSION, EDGE, Epoch::FIRST);
        edge.handle_orders(Orders { session, path, epoch, number, orders: vec![order] });
    }
    let outputs: Vec<SecondaryOutput> = std::iter::from_fn(|| edge.poll_output()).collect();
    let messages =
        outputs.iter().filter(|output| matches!(output, SecondaryOutput::Message(_))).count();
    assert_eq!(messages, Inbox::MAX_WAITING);
    assert!(!outputs.iter().any(|output| matches!(output, SecondaryOutput::Close(..))));
}

fn of_primary(index: u64) -> StreamId {
    stream(index << 2 | 3)
}

#[test]
fn a_header_waits_for_streams_whose_end_is_on_its_way() {
    let mut bench = Bench::established();
    // The ends do not see a stream's end at the same moment: twice the limit is taken.
    let most = 2 * u64::from(SessionConfig::default().max_unidirectional_streams);
    assert!(bench.header(PathId::PRIMARY, 3, public(of_primary(most - 1))).is_ok());
    for (carrier, index) in [(7, most + 1), (11, most)] {
        let routed = bench.header(PathId::PRIMARY, carrier, public(of_primary(index)));
        assert_eq!(routed, Ok(Routed::Wait));
    }
    assert_eq!(bench.admitted(), []);
    for (over, carrier, admitted) in [(0, 11, most), (1, 7, most + 1)] {
        bench.primary(ControlFrame::StreamReset(StreamReset {
            stream: of_primary(over),
            error_code: 0,
            final_size: Offset::ZERO,
        }));
        bench.read(of_primary(over));
        assert_eq!(bench.admitted(), [of_primary(admitted)]);
        bench.forget();
        let routed = bench.header(PathId::PRIMARY, carrier, public(of_primary(admitted)));
        assert!(matches!(routed, Ok(Routed::To(_))), "{routed:?}");
    }
    assert_eq!(bench.closed_with(), None);
}

#[test]
fn a_primary_that_opens_more_streams_than_can_be_under_way_ends_the_session() {
    let mut bench = Bench::established();
    let most = 2 * u64::from(SessionConfig::default().max_unidirectional_streams);
    let far = public(of_primary(most));
    assert_eq!(bench.header(PathId::PRIMARY, 3, far), Err(ErrorCode::LimitExceeded));
    assert_eq!(bench.closed_with(), Some(ErrorCode::LimitExceeded));
}

#[test]
fn as_many_public_streams_as_the_limits_allow_have_carriers_at_a_time() {
    let most = 10_000;
    let config = SessionConfig { max_unidirectional_streams: most, ..SessionConfig::default() };
    let mut bench = Bench::with(config);
    bench.most_promised = u64::MAX;
    bench.primary(welcome());
    for index in 0..u64::from(most) {
        let routed = bench.header(PathId::PRIMARY, index << 2 | 3, public(of_primary(index)));
        assert!(matches!(routed, Ok(Routed::To(_))), "{index}: {routed:?}");
    }
}

#[test]
fn a_dial_does_not_show_its_token() {
    let target = Target { addresses: Vec::new(), identity: ServerIdentity::Pin([0; 32]) };
    let token = "v4.public.x".into();
    let dial = Output::Dial { path: EDGE, epoch: Epoch::FIRST, target, token };
    let shown = format!("{dial:?}");
    assert!(shown.contains("Token(") && !shown.contains("v4.public"), "{shown}");
}
