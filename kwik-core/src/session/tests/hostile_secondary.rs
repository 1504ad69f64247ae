//! No sequence of inputs makes a secondary's session panic, or speak after its end.

use proptest::prelude::*;

use super::arbitrary::*;
use super::*;
use crate::session::SecondarySession;
use crate::session::secondary::Output as SecondaryOutput;

#[derive(Clone, Debug)]
enum Input {
    Frame(ControlFrame),
    Orders(Vec<Order>),
    Strange(Orders),
    Accept(StreamId, u64),
    Postpone(u64),
    Refuse(u64),
    Fail(u64),
    Open(StreamId),
    Blocked(StreamId, Offset),
    Carrier(u64, StreamHeader),
    CarrierEnd(u64, bool),
    Message(usize),
    Taken(usize),
    Close,
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        3 => from_client().prop_map(Input::Frame),
        1 => any_frame().prop_map(Input::Frame),
        8 => any_order_list().prop_map(Input::Orders),
        1 => prop_oneof![
            10 => Just(Input::Taken(1)),
            1 => any_orders().prop_map(Input::Strange),
            1 => Just(Input::Close),
        ],
        3 => (any_stream(), 0u64..6).prop_map(|(id, number)| Input::Accept(id, number)),
        1 => (0u64..6).prop_map(Input::Postpone),
        1 => (0u64..6).prop_map(Input::Refuse),
        1 => (0u64..6).prop_map(Input::Fail),
        2 => any_stream().prop_map(Input::Open),
        1 => (any_stream(), any_offset()).prop_map(|(id, at)| Input::Blocked(id, at)),
        3 => (0u64..6, any_header()).prop_map(|(at, header)| Input::Carrier(at, header)),
        2 => (0u64..6, any::<bool>()).prop_map(|(at, sent)| Input::CarrierEnd(at, sent)),
        1 => (0usize..70_000).prop_map(Input::Message),
        1 => prop_oneof![0usize..70_000, Just(usize::MAX)].prop_map(Input::Taken),
    ]
}

fn apply(session: &mut SecondarySession, input: Input, number: &mut u64) {
    let id = DelegationId;
    match input {
        Input::Frame(frame) => session.handle_control(frame),
        Input::Orders(orders) => {
            *number += 1;
            let (path, epoch) = (EDGE, Epoch::FIRST);
            session.handle_orders(Orders {
                session: SESSION,
                path,
                epoch,
                number: *number,
                orders,
            });
        }
        Input::Strange(orders) => session.handle_orders(orders),
        Input::Accept(stream, number) => drop(session.accept(stream, id(number))),
        Input::Postpone(number) => session.postpone(id(number)),
        Input::Refuse(number) => session.refuse(id(number), GapReason::NotFound),
        Input::Fail(number) => session.fail_delegation(id(number), GapReason::SourceFailed),
        Input::Open(stream) => drop(session.open(stream)),
        Input::Blocked(stream, at) => session.handle_blocked(stream, at),
        Input::Carrier(carrier, header) => session.handle_carrier_open(carrier, header),
        Input::CarrierEnd(carrier, sent) => session.handle_carrier_end(carrier, sent),
        Input::Message(size) => drop(session.send_message(vec![0; size].into())),
        Input::Taken(size) => session.handle_message_taken(size),
        Input::Close => session.close(ErrorCode::None, "x"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_inputs_harms_a_secondary(inputs in prop::collection::vec(any_input(), 1..40)) {
        let (mut over, mut number) = (false, 0);
        let mut windows = BTreeMap::new();
        let config = SessionConfig::default();
        let mut session =
            SecondarySession::new(&config, &hello(), SESSION, EDGE, Epoch::FIRST).unwrap();
        for input in inputs {
            apply(&mut session, input, &mut number);
            while let Some(output) = session.poll_output() {
                prop_assert!(!over, "a closed session gave {output:?}");
                match output {
                    SecondaryOutput::Send(frame) => prop_assert_eq!(frame.validate(), Ok(())),
                    SecondaryOutput::Close(..) => over = true,
                    SecondaryOutput::Stop { stream, delegation: None, .. } => {
                        windows.remove(&stream);
                    }
                    SecondaryOutput::Window(stream, at) => {
                        prop_assert!(windows.insert(stream, at) < Some(at), "a window fell");
                    }
                    _ => {}
                }
            }
        }
    }
}
