//! No sequence of inputs makes a primary's session panic, or speak after its end.

use proptest::prelude::*;

use super::arbitrary::*;
use super::*;
use crate::delegation::{Candidates, Local};
use crate::session::PrimarySession;
use crate::session::primary::{Output as PrimaryOutput, PathSpec};

#[derive(Clone, Debug)]
enum Input {
    Frame(ControlFrame),
    Header(u64, StreamId),
    Opened(u64, StreamId),
    Unanswered(u64, ErrorCode),
    Refusal(u64, ErrorCode),
    AddPath(u8, bool),
    RemovePath(PathId),
    Grant(PathId, StreamId, Offset, Option<Offset>),
    Delegate(StreamId, ByteRange, bool),
    SupplyFailed(StreamId, ByteRange, u64),
    Carrier(u64, StreamHeader),
    CarrierEnd(u64),
    Message(PathId, usize),
    Taken(PathId, usize),
    Open(StreamKind),
    Stop(StreamId),
    Reset(StreamId, Offset),
    Detach(StreamId, bool),
    Rtt(u64),
    Time(u64),
    Close,
}

fn any_input() -> impl Strategy<Value = Input> {
    let kind = prop_oneof![Just(StreamKind::Bidirectional), Just(StreamKind::Unidirectional)];
    prop_oneof![
        16 => any_frame().prop_map(Input::Frame),
        3 => (0u64..6, any_stream()).prop_map(|(at, id)| Input::Header(at, id)),
        1 => (0u64..6, any_stream()).prop_map(|(at, id)| Input::Opened(at, id)),
        1 => (0u64..6, any_code()).prop_map(|(at, code)| Input::Unanswered(at, code)),
        1 => (0u64..6, any_code()).prop_map(|(at, code)| Input::Refusal(at, code)),
        3 => (0u8..8, any::<bool>()).prop_map(|(server, all)| Input::AddPath(server, all)),
        1 => any_path().prop_map(Input::RemovePath),
        2 => (any_path(), any_stream(), any_offset(), prop::option::of(any_offset()))
            .prop_map(|(path, id, start, end)| Input::Grant(path, id, start, end)),
        6 => (any_stream(), any_range(), any::<bool>())
            .prop_map(|(id, range, local)| Input::Delegate(id, range, local)),
        1 => (any_stream(), any_range(), 0u64..6)
            .prop_map(|(id, range, number)| Input::SupplyFailed(id, range, number)),
        1 => (0u64..6, any_header()).prop_map(|(at, header)| Input::Carrier(at, header)),
        1 => (0u64..6).prop_map(Input::CarrierEnd),
        1 => (any_path(), 0usize..70_000).prop_map(|(path, size)| Input::Message(path, size)),
        1 => (any_path(), 0usize..70_000).prop_map(|(path, size)| Input::Taken(path, size)),
        2 => kind.prop_map(Input::Open),
        1 => any_stream().prop_map(Input::Stop),
        1 => (any_stream(), any_offset()).prop_map(|(id, size)| Input::Reset(id, size)),
        1 => (any_stream(), any::<bool>()).prop_map(|(id, delivered)| Input::Detach(id, delivered)),
        1 => any::<u64>().prop_map(Input::Rtt),
        4 => prop_oneof![0u64..100, 0u64..40_000, any::<u64>()].prop_map(Input::Time),
        1 => prop_oneof![20 => Just(Input::Time(1)), 1 => Just(Input::Close)],
    ]
}

fn spec(server: u8, grant_all: bool) -> PathSpec {
    let addresses = match server {
        0 => Vec::new(),
        _ => vec![format!("198.51.100.{server}:443").parse().unwrap()],
    };
    PathSpec { addresses, identity: ServerIdentity::Pin([server; 32]), grant_all }
}

fn apply(session: &mut PrimarySession, input: Input, now: &mut Instant) {
    match input {
        Input::Frame(frame) => session.handle_control(frame, *now),
        Input::Header(carrier, id) => drop(session.handle_header(carrier, id)),
        Input::Opened(carrier, id) => session.handle_opened(carrier, id),
        Input::Unanswered(carrier, code) => session.handle_unanswered(carrier, code),
        Input::Refusal(carrier, code) => session.handle_refusal(carrier, code.quic_code()),
        Input::AddPath(server, all) => drop(session.add_path(spec(server, all), *now)),
        Input::RemovePath(path) => drop(session.remove_path(path, *now)),
        Input::Grant(path, id, start, end) => drop(session.grant(path, id, start, end)),
        Input::Delegate(id, range, local) => {
            let local = if local { Local::Fallback } else { Local::None };
            let _ = session.delegate(id, range, "x".into(), Candidates::All, local, *now);
        }
        Input::SupplyFailed(id, range, number) => {
            let reason = GapReason::SourceFailed;
            session.handle_supply_failed(id, range, DelegationId(number), reason, *now);
        }
        Input::Carrier(carrier, header) => session.handle_carrier_open(carrier, header),
        Input::CarrierEnd(carrier) => session.handle_carrier_end(carrier),
        Input::Message(path, size) => drop(session.send_message(path, vec![0; size].into())),
        Input::Taken(path, size) => session.handle_message_taken(path, size),
        Input::Open(kind) => drop(session.open_stream(kind)),
        Input::Stop(id) => session.stop_stream(id, 3),
        Input::Reset(id, size) => session.reset_stream(id, 3, size),
        Input::Detach(id, delivered) => session.detach_stream(id, delivered, *now),
        Input::Rtt(micros) => session.handle_rtt(Duration::from_micros(micros)),
        Input::Time(millis) => {
            *now = *now + Duration::from_millis(millis);
            session.handle_timeout(*now);
        }
        Input::Close => session.close(ErrorCode::None, None, "x"),
    }
}

/// Drains; whether the session's end was among the outputs.
fn drain(session: &mut PrimarySession, over: &mut bool, now: Instant) {
    for count in 0.. {
        assert!(count < 200_000, "the outputs never end");
        let Some(output) = session.poll_output(now) else { return };
        let speaks = matches!(
            output,
            PrimaryOutput::Send(_) | PrimaryOutput::Sign(_) | PrimaryOutput::Attach { .. }
        );
        assert!(!(*over && speaks), "a closed session sent {output:?}");
        match output {
            PrimaryOutput::Send(frame) => assert_eq!(frame.validate(), Ok(())),
            PrimaryOutput::Sign(orders) => assert_eq!(orders.validate(), Ok(())),
            PrimaryOutput::Close(..) => {
                assert!(!*over, "the session ended twice");
                *over = true;
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_inputs_harms_a_primary(inputs in prop::collection::vec(any_input(), 1..60)) {
        let (mut now, mut over) = (Instant::ZERO, false);
        let config = SessionConfig::default();
        let mut session = PrimarySession::new(&config, &hello(), SESSION, 7, now).unwrap();
        for input in inputs {
            apply(&mut session, input, &mut now);
            drain(&mut session, &mut over, now);
        }
    }
}
