//! Every kind of bad input on a control stream has its own error; what a later version adds does no harm.

#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use kwik_proto::control::limits::*;
use kwik_proto::control::{ControlDecoder, MAX_CONTROL_FRAME};
use kwik_proto::frame::*;
use kwik_proto::{
    ByteRange, DecodeError, Epoch, InvalidField, Offset, PathId, Problem, SessionId, StreamId,
};

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A length-delimited field.
fn field(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

/// A control frame of these fields.
fn message(fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    [varint(body.len() as u64), body].concat()
}

fn decode(bytes: &[u8]) -> Result<Vec<ControlFrame>, DecodeError> {
    let (mut decoder, mut frames) = (ControlDecoder::new(), Vec::new());
    decoder.push(Bytes::copy_from_slice(bytes));
    while let Some(frame) = decoder.poll()? {
        frames.push(frame);
    }
    decoder.finish()?;
    Ok(frames)
}

fn error(bytes: &[u8]) -> DecodeError {
    decode(bytes).unwrap_err()
}

const CRITICAL: [u8; 2] = [0x08, 1];
const PING: [u8; 5] = [0xba, 1, 2, 0x08, 7];

fn ping() -> ControlFrame {
    ControlFrame::Ping(Ping { nonce: 7 })
}

#[test]
fn an_unknown_critical_frame_is_refused_with_its_number() {
    let bytes = [&message(&[&PING])[..], &message(&[&CRITICAL, &field(27, b"new")])].concat();
    assert_eq!(error(&bytes), DecodeError::UnknownCriticalFrame { number: 27, at: 9 });
    // Wherever the flag stands.
    let bytes = message(&[&field(1000, b""), &CRITICAL]);
    assert_eq!(error(&bytes), DecodeError::UnknownCriticalFrame { number: 1000, at: 1 });
}

#[test]
fn an_unknown_frame_that_is_not_critical_is_passed_over() {
    let bytes = [&message(&[&field(99, b"new")])[..], &message(&[&PING])].concat();
    let mut decoder = ControlDecoder::new();
    decoder.push(bytes.into());
    assert_eq!(decoder.poll(), Ok(Some(ping())));
    assert_eq!(decoder.skipped(), 1);
}

#[test]
fn unknown_fields_are_passed_over() {
    // Beside the frame, and inside it.
    let inner = field(23, &[&[0x08, 7][..], &field(15, b"new"), &[0x80, 1, 9]].concat());
    for bytes in [
        message(&[&field(50, b"new"), &PING]),
        message(&[&PING, &field(50, b"new")]),
        message(&[&inner]),
    ] {
        assert_eq!(decode(&bytes), Ok(vec![ping()]));
    }
}

#[test]
fn numbers_need_not_be_in_their_shortest_form_inside_a_message() {
    let inner = field(23, &[0x08, 0x87, 0x00]);
    assert_eq!(decode(&message(&[&inner])), Ok(vec![ping()]));
    // Nor around the frame: the flag and the frame's length.
    let around = message(&[&[0x08, 0x80, 0x00], &[0xba, 1, 0x82, 0x00, 0x08, 7]]);
    assert_eq!(decode(&around), Ok(vec![ping()]));
}

#[test]
fn a_frame_above_the_limit_is_refused_by_its_length_alone() {
    let (size, limit) = (MAX_CONTROL_FRAME as u64 + 1, MAX_CONTROL_FRAME as u64);
    let expected = DecodeError::TooLarge { field: "ControlFrame", size, limit, at: 0 };
    assert_eq!(error(&varint(size)), expected);
}

#[test]
fn a_length_that_is_not_in_its_shortest_form() {
    let expected = DecodeError::NonCanonicalVarint { field: "ControlFrame", at: 0 };
    assert_eq!(error(&[0x85, 0x00]), expected);
    let overflow = [0xff; 10];
    let expected = DecodeError::VarintOverflow { field: "ControlFrame", at: 0 };
    assert_eq!(error(&overflow), expected);
}

#[test]
fn a_stream_that_ends_inside_a_frame() {
    let expected = DecodeError::Truncated { field: "ControlFrame", at: 0 };
    assert_eq!(error(&message(&[&PING])[..4]), expected);
}

#[test]
fn a_field_that_passes_the_end_of_its_frame() {
    let bytes = message(&[&[0xba, 1, 9, 0x08, 7]]);
    let expected = DecodeError::Truncated { field: "ControlFrame.frame", at: 4 };
    assert_eq!(error(&bytes), expected);
}

#[test]
fn no_frame_and_two_frames() {
    let missing = InvalidField { field: "ControlFrame.frame", problem: Problem::Missing };
    assert_eq!(error(&[0]), DecodeError::Invalid { invalid: missing, at: 1 });
    assert_eq!(error(&message(&[&CRITICAL])), DecodeError::Invalid { invalid: missing, at: 1 });
    let two = DecodeError::TwoFrames { first: 23, second: 24, at: 6 };
    assert_eq!(error(&message(&[&PING, &field(24, b"")])), two);
    let same = DecodeError::TwoFrames { first: 23, second: 23, at: 6 };
    assert_eq!(error(&message(&[&PING, &PING])), same);
}

#[test]
fn wrong_wire_types() {
    let expected = DecodeError::WrongWireType {
        field: "ControlFrame.critical",
        expected: 0,
        actual: 2,
        at: 1,
    };
    assert_eq!(error(&message(&[&field(1, b"x")])), expected);
    let expected =
        DecodeError::WrongWireType { field: "ControlFrame.frame", expected: 2, actual: 0, at: 1 };
    assert_eq!(error(&message(&[&[0xb8, 1, 7]])), expected);
    let inner = error(&message(&[&field(23, &field(1, b"x"))]));

    let expected =
        DecodeError::WrongWireType { field: "Ping.nonce", expected: 0, actual: 2, at: 4 };
    assert_eq!(inner, expected);
    // In a message in a message: the length of the second HeldRange's range, a fixed32.
    let held = |range: &[u8]| field(4, &field(1, range));
    let ranges = [held(&[0x08, 1, 0x10, 2]), held(&[0x08, 4, 0x15, 0, 0, 0, 0])].concat();
    let expected =
        DecodeError::WrongWireType { field: "ByteRange.length", expected: 0, actual: 5, at: 18 };
    assert_eq!(error(&message(&[&field(17, &ranges)])), expected);
}

#[test]
fn fields_inside_a_message_that_are_cut_off() {
    let expected = DecodeError::Truncated { field: "Ping.nonce", at: 5 };
    assert_eq!(error(&message(&[&field(23, &[0x08])])), expected);
    let expected = DecodeError::Truncated { field: "Refuse.reason", at: 7 };
    assert_eq!(error(&message(&[&field(4, &[0x08, 1, 0x12, 9, b'x'])])), expected);
    // One of several numbers in one field.
    let expected = DecodeError::Truncated { field: "MappingQuery.carriers", at: 7 };
    assert_eq!(error(&message(&[&field(21, &[0x12, 2, 5, 0x80])])), expected);
    let expected = DecodeError::VarintOverflow { field: "Pong.nonce", at: 5 };
    assert_eq!(error(&message(&[&field(24, &[&[0x08][..], &[0xff; 10]].concat())])), expected);
}

#[test]
fn tags_inside_a_message_that_are_none() {
    let expected = |message, tag| DecodeError::InvalidTag { field: message, tag, at: 4 };
    assert_eq!(error(&message(&[&field(23, &[0x00, 1])])), expected("Ping", 0));
    // A group, closed as it should be.
    assert_eq!(error(&message(&[&field(23, &[0x53, 0x54])])), expected("Ping", 0x53));
}

#[test]
fn text_that_is_no_text() {
    let inner = error(&message(&[&field(25, &[0x08, 1, 0x1a, 3, b'a', 0xff, b'b'])]));
    assert_eq!(inner, DecodeError::NotText { field: "SessionClose.reason", at: 9 });
    assert_eq!(inner.to_string(), "SessionClose.reason is no UTF-8 (byte 9)");
}

/// What the decoder says about a frame that `encode` would not let through in a debug build.
fn invalid(number: u64, content: &[u8]) -> InvalidField {
    let error = error(&message(&[&field(number, content)]));
    let DecodeError::Invalid { invalid, .. } = error else { panic!("{error}") };
    invalid
}

#[test]
fn fields_that_are_needed() {
    for (number, content, field) in [
        (2, &[][..], "Hello.limits"),
        (3, &[], "Welcome.limits"),
        (4, &[], "Refuse.code"),
        (5, &[0x08, 1], "AddPath.identity"),
        (6, &[0x08, 1], "AddPathResult.code"),
        (8, &[], "PathStatus.state"),
        (10, &[], "SignedOrders.signature"),
        (11, &[], "DelegationStatus.state"),
        (11, &[0x18, 3], "DelegationStatus.reason"),
        (18, &[], "Gap.range"),
        (19, &[0x18, 1], "Relay.piece"),
        (25, &[], "SessionClose.code"),
    ] {
        assert_eq!(invalid(number, content), InvalidField { field, problem: Problem::Missing });
    }
}

#[test]
fn fields_of_fixed_size() {
    let cut = field(4, &[1; 31]);
    let limits = field(3, &[0x18, 1]);
    let content = [&[0x08, 1][..], &limits, &cut].concat();
    let problem = Problem::WrongSize { size: 31, expected: 32 };
    assert_eq!(invalid(2, &content), InvalidField { field: "Hello.confirmation_key", problem });
}

#[test]
fn numbers_outside_their_range() {
    let largest = varint(u64::MAX);
    for (number, content, field) in [
        (7, &[&[0x08][..], &varint(65_536)].concat(), "RemovePath.path_id"),
        (7, &vec![], "RemovePath.path_id"),
        (7, &[&[0x08, 1, 0x10][..], &varint(5001)].concat(), "RemovePath.drain_ms"),
        (12, &[&[0x08][..], &largest].concat(), "StreamReset.stream_id"),
        (12, &[&[0x10][..], &largest].concat(), "StreamReset.error_code"),
        (12, &[&[0x18][..], &largest].concat(), "StreamReset.final_size"),
        (15, &[&[0x10][..], &largest].concat(), "StreamWindow.max_offset"),
        (21, &[&[0x10][..], &largest].concat(), "MappingQuery.carriers"),
        (
            2,
            &[&[0x08, 1][..], &field(3, &[&[0x18][..], &varint(65_535)].concat())].concat(),
            "Limits.initial_window",
        ),
        (
            3,
            &[&field(3, &[&[0x18][..], &varint(65_536)].concat())[..], &field(4, &[7; 16])]
                .concat(),
            "Welcome.version",
        ),
        (6, &vec![0x08, 1, 0x18, 1], "AddPathResult.epoch"),
        (8, &vec![0x18, 3], "PathStatus.epoch"),
        (9, &vec![0x08, 1], "TokenRequest.epoch"),
        (19, &field(5, b"x"), "Relay.message_size"),
        (22, &field(2, &[&[0x08][..], &largest].concat()), "Mapping.carrier"),
        (22, &field(2, &[&[0x18][..], &largest].concat()), "Mapping.delegation_id"),
        (25, &[&[0x08, 1, 0x10][..], &largest].concat(), "SessionClose.application_code"),
    ] {
        let invalid = invalid(number, content);
        assert_eq!(invalid.field, field);
        assert!(matches!(invalid.problem, Problem::OutOfRange { .. }), "{invalid}");
    }
}

#[test]
fn ranges_that_end_beyond_the_largest_offset() {
    let range = [&[0x08, 1, 0x10][..], &varint((1 << 62) - 1)].concat();
    let content = [field(2, &range), vec![0x18, 1]].concat();
    let problem = Problem::BadRange { start: 1 };
    assert_eq!(invalid(18, &content), InvalidField { field: "Gap.range", problem });
}

#[test]
fn entries_above_their_limit_are_not_even_decoded() {
    let held = field(4, &[]).repeat(MAX_HELD + 1);
    let problem = Problem::TooLong { size: MAX_HELD as u64 + 1, limit: MAX_HELD as u64 };
    assert_eq!(invalid(17, &held), InvalidField { field: "StreamProgress.held", problem });
    let mappings = field(2, &[]).repeat(MAX_MAPPINGS + 1);
    assert_eq!(invalid(22, &mappings).field, "MappingSnapshot.mappings");
    let orders = Bytes::from(field(5, &[]).repeat(MAX_ORDERS + 1));
    let Err(DecodeError::Invalid { invalid, .. }) = Orders::decode(&orders) else { panic!() };
    assert_eq!(invalid.field, "Orders.orders");
}

#[test]
fn codes_and_reasons_of_a_later_version_still_say_that_something_went_wrong() {
    let close = decode(&message(&[&field(25, &[0x08, 99])])).unwrap();
    let [ControlFrame::SessionClose(SessionClose { code, .. })] = &close[..] else { panic!() };
    assert_eq!(*code, ErrorCode::Internal);
    let status = decode(&message(&[&field(11, &[0x18, 3, 0x20, 99])])).unwrap();
    let [ControlFrame::DelegationStatus(DelegationStatus { state, .. })] = &status[..] else {
        panic!()
    };
    assert_eq!(*state, DelegationState::Refused(GapReason::SourceFailed));
}

#[test]
fn states_of_a_later_version_are_refused() {
    let problem = Problem::UnknownValue { value: 7 };
    let expected = InvalidField { field: "PathStatus.state", problem };
    assert_eq!(invalid(8, &[0x18, 7]), expected);
}

#[test]
fn orders_above_their_limits() {
    let body = Bytes::from(vec![0; MAX_ORDERS_BODY + 1]);
    let (size, limit) = (body.len() as u64, MAX_ORDERS_BODY as u64);
    let expected = DecodeError::TooLarge { field: "Orders", size, limit, at: 0 };
    assert_eq!(Orders::decode(&body), Err(expected));
}

#[test]
fn an_order_of_a_later_version_is_refused() {
    let known = orders(vec![Order::Revoke(Revoke { stream: stream(1), delegation: None })]);
    let body = [&known.encode()[..], &field(5, &field(9, b"new"))].concat();
    let invalid = InvalidField { field: "Order.order", problem: Problem::Missing };
    assert_eq!(Orders::decode(&body.into()), Err(DecodeError::Invalid { invalid, at: 0 }));
}

fn stream(id: u64) -> StreamId {
    StreamId::from_wire(id).unwrap()
}

fn orders(orders: Vec<Order>) -> Orders {
    let (session, path, epoch) = (SessionId([1; 16]), PathId::new(1), Epoch::FIRST);
    Orders { session, path, epoch, number: 1, orders }
}

#[test]
fn validate_names_the_field_before_anything_is_sent() {
    let relay = |piece_offset, size| Relay {
        path: PathId::new(1),
        message_id: 0,
        message_size: 10,
        piece_offset,
        piece: vec![0; size].into(),
    };
    assert_eq!(ControlFrame::Relay(relay(0, 10)).validate(), Ok(()));
    assert_eq!(ControlFrame::Relay(relay(1, 10)).validate().unwrap_err().field, "Relay.piece");
    let held = HeldRange {
        range: ByteRange::new(Offset::ZERO, Offset::MAX).unwrap(),
        path: PathId::PRIMARY,
    };
    let progress = StreamProgress {
        stream: stream(1),
        read_offset: Offset::ZERO,
        contiguous_end: Offset::ZERO,
        held: vec![held; MAX_HELD + 1],
        reader_waiting: false,
    };
    let error = ControlFrame::StreamProgress(progress).validate().unwrap_err();
    assert_eq!(error.field, "StreamProgress.held");
    let grant = Grant {
        stream: stream(1),
        start: Offset::MAX,
        end: Some(Offset::ZERO),
        max_offset: Offset::ZERO,
    };
    assert_eq!(orders(vec![Order::Grant(grant)]).validate().unwrap_err().field, "Grant.range");
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "a frame that no receiver takes")]
fn encoding_a_frame_that_no_receiver_takes_is_noticed() {
    let frame = ControlFrame::RemovePath(RemovePath { path: PathId::PRIMARY, drain_ms: 0 });
    frame.encode(&mut BytesMut::new());
}
