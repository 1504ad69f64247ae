//! Every kind of bad input on a carrier has its own error, which says what, in which field, how far in.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use kwik_proto::data::{
    self, DataDecoder, DataEvent, MAX_CONTRIBUTION_PAYLOAD, MAX_PUBLIC_PAYLOAD,
};
use kwik_proto::frame::ErrorCode;
use kwik_proto::id::MAX_VARINT;
use kwik_proto::{DecodeError, InvalidField, Offset, Problem, StreamId};

/// The header of a public carrier of stream 5: 5 bytes.
const PUBLIC: [u8; 5] = [4, 0x08, 5, 0x10, 1];
/// The header of a contribution to stream 5: 5 bytes.
const CONTRIBUTION: [u8; 5] = [4, 0x08, 5, 0x10, 2];
/// CRC32C of the words 5, 7, 1, 3 and `abc`.
const KNOWN_CRC: u32 = 0x5e98_846c;
/// `stream_id: 5`.
const STREAM: [u8; 2] = [0x08, 5];

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// The message with its length.
fn message(fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    [varint(body.len() as u64), body].concat()
}

fn carrier(parts: &[&[u8]]) -> Bytes {
    parts.concat().into()
}

/// The first error, in one piece and byte by byte; `finish` counts.
fn error(bytes: &Bytes) -> DecodeError {
    let whole = decode(std::slice::from_ref(bytes)).unwrap_err();
    let single: Vec<Bytes> = (0..bytes.len()).map(|at| bytes.slice(at..=at)).collect();
    assert_eq!(decode(&single).unwrap_err(), whole);
    whole
}

fn decode(chunks: &[Bytes]) -> Result<Vec<DataEvent>, DecodeError> {
    let (mut decoder, mut events) = (DataDecoder::new(), Vec::new());
    for chunk in chunks {
        decoder.push(chunk.clone());
        while let Some(event) = decoder.poll()? {
            events.push(event);
        }
    }
    decoder.finish()?;
    Ok(events)
}

/// The error of one frame on a public carrier.
fn public(fields: &[&[u8]]) -> DecodeError {
    error(&carrier(&[&PUBLIC, &message(fields)]))
}

/// The error of one frame on a contribution.
fn contribution(fields: &[&[u8]]) -> DecodeError {
    error(&carrier(&[&CONTRIBUTION, &message(fields)]))
}

/// A good frame of a contribution: `payload` at offset 0 of stream 5.
fn good(payload: &[u8]) -> Vec<u8> {
    let stream = StreamId::from_wire(5).unwrap();
    let crc = data::checksum(stream, Offset::ZERO, false, payload.len(), [payload]);
    let length = varint(payload.len() as u64);
    message(&[&STREAM, &[0x25], &crc.to_le_bytes(), &[0x7a], &length, payload])
}

#[test]
fn a_carrier_without_a_header() {
    assert_eq!(DataDecoder::new().finish(), Err(DecodeError::HeaderMissing { at: 0 }));
    assert_eq!(error(&carrier(&[&[4, 0x08]])), DecodeError::HeaderMissing { at: 0 });
}

#[test]
fn a_frame_in_the_place_of_the_header() {
    let frame = message(&[&STREAM, &[0x10, 1], &[0x7a, 2], b"ab"]);
    assert_eq!(error(&frame.into()), DecodeError::HeaderMissing { at: 5 });
    // A contribution's checksum stands where a header has its range.
    assert_eq!(error(&good(b"ab").into()), DecodeError::HeaderMissing { at: 3 });
}

/// Whatever else a carrier begins with, its sender is told that the header is missing.
#[test]
fn a_first_message_that_is_no_header_has_the_code_of_a_missing_one() {
    let large = message(&[&STREAM, &[0x7a], &varint(1000), &[7; 1000]]);
    let promised = message(&[&STREAM, &[0x10, 2], &[0x22, 4, 0x08, 1, 0x08, 1]]);
    for first in [
        &large[..],
        &good(b"ab"),
        &message(&[&STREAM]),
        &message(&[&STREAM, &STREAM]),
        &promised,
        &[0x84, 0x00],
        &[1, 0],
        b"GET / HTTP/1.1\r\n",
    ] {
        let error = error(&Bytes::copy_from_slice(first));
        assert_eq!(error.code(), ErrorCode::HeaderMissing, "{error}");
    }
    assert_eq!(public(&[&STREAM, &STREAM]).code(), ErrorCode::FrameEncoding);
    let twice = DecodeError::FieldTwice { field: "StreamHeader.promised.start", at: 9 };
    assert_eq!(error(&promised.into()), twice);
}

#[test]
fn a_header_that_says_nothing_of_its_kind() {
    let invalid = InvalidField { field: "StreamHeader.kind", problem: Problem::Missing };
    assert_eq!(error(&message(&[&STREAM]).into()), DecodeError::Invalid { invalid, at: 0 });
    let problem = Problem::UnknownValue { value: 3 };
    let invalid = InvalidField { field: "StreamHeader.kind", problem };
    let header = message(&[&STREAM, &[0x10, 3]]);
    assert_eq!(error(&header.into()), DecodeError::Invalid { invalid, at: 0 });
}

#[test]
fn a_header_with_a_range_beyond_the_largest_offset() {
    let range = [&[0x08][..], &varint(MAX_VARINT), &[0x10, 1]].concat();
    let header = message(&[&STREAM, &[0x10, 2], &[0x22], &varint(range.len() as u64), &range]);
    let problem = Problem::BadRange { start: MAX_VARINT };
    let invalid = InvalidField { field: "StreamHeader.promised", problem };
    assert_eq!(error(&header.into()), DecodeError::Invalid { invalid, at: 5 });
}

#[test]
fn a_header_above_its_limit() {
    let expected = DecodeError::TooLarge { field: "StreamHeader", size: 255, limit: 254, at: 0 };
    assert_eq!(error(&varint(255).into()), expected);
}

#[test]
fn a_header_with_a_field_twice() {
    let header = message(&[&STREAM, &[0x10, 2], &STREAM]);
    let expected = DecodeError::FieldTwice { field: "StreamHeader.stream_id", at: 5 };
    assert_eq!(error(&header.into()), expected);
    let header = message(&[&[0x10, 2], &[0x22, 0], &[0x22, 0]]);
    let expected = DecodeError::FieldTwice { field: "StreamHeader.promised", at: 5 };
    assert_eq!(error(&header.into()), expected);
}

#[test]
fn a_stream_that_ends_inside_a_frame() {
    let frame = message(&[&STREAM, &[0x7a, 3], b"abc"]);
    let whole = carrier(&[&PUBLIC, &frame]);
    assert!(decode(std::slice::from_ref(&whole)).is_ok());
    for end in 6..10 {
        let expected = DecodeError::Truncated { field: "DataFrame", at: 5 };
        assert_eq!(error(&whole.slice(..end)), expected, "{end}");
    }
    for end in 10..13 {
        let expected = DecodeError::Truncated { field: "DataFrame.payload", at: end as u64 };
        assert_eq!(decode(&[whole.slice(..end)]), Err(expected), "{end}");
    }
}

#[test]
fn a_field_that_passes_the_end_of_its_frame() {
    // The tag of the offset is the frame's last byte; what follows belongs to the next frame.
    let bytes = carrier(&[&PUBLIC, &message(&[&STREAM, &[0x10]]), &[7, 7, 7]]);
    assert_eq!(error(&bytes), DecodeError::Truncated { field: "DataFrame.offset", at: 9 });
    let bytes = carrier(&[&CONTRIBUTION, &message(&[&STREAM, &[0x25, 1, 2]]), &[7, 7, 7]]);
    assert_eq!(error(&bytes), DecodeError::Truncated { field: "DataFrame.crc32c", at: 9 });
}

#[test]
fn a_frame_above_the_limit_is_refused_by_its_length_alone() {
    for (header, payload) in
        [(PUBLIC, MAX_PUBLIC_PAYLOAD), (CONTRIBUTION, MAX_CONTRIBUTION_PAYLOAD)]
    {
        let limit = (payload + data::MAX_FRAME_HEAD) as u64;
        let size = limit + 1;
        let expected = DecodeError::TooLarge { field: "DataFrame", size, limit, at: 5 };
        assert_eq!(error(&carrier(&[&header, &varint(size)])), expected);
    }
    let size = u64::MAX;
    let limit = (MAX_PUBLIC_PAYLOAD + data::MAX_FRAME_HEAD) as u64;
    let expected = DecodeError::TooLarge { field: "DataFrame", size, limit, at: 5 };
    assert_eq!(error(&carrier(&[&PUBLIC, &varint(u64::MAX)])), expected);
}

#[test]
fn a_payload_above_the_limit_is_refused_by_its_length_alone() {
    let length = MAX_CONTRIBUTION_PAYLOAD as u64 + 1;
    let start = [&varint(length + 9)[..], &STREAM, &[0x7a], &varint(length)].concat();
    let limit = MAX_CONTRIBUTION_PAYLOAD as u64;
    let expected =
        DecodeError::TooLarge { field: "DataFrame.payload", size: length, limit, at: 11 };
    assert_eq!(error(&carrier(&[&CONTRIBUTION, &start])), expected);
}

#[test]
fn unknown_fields_above_the_limit() {
    let unknown = [&[0x32][..], &varint(300), &[0; 300]].concat();
    let frame = message(&[&STREAM, &unknown, &[0x7a, 0]]);
    let size = frame.len() as u64 - 2;
    let field = "DataFrame before its payload";
    assert_eq!(
        error(&carrier(&[&PUBLIC, &frame])),
        DecodeError::TooLarge { field, size, limit: data::MAX_FRAME_HEAD as u64, at: 5 }
    );
}

#[test]
fn a_varint_that_is_not_in_its_shortest_form() {
    let bytes = carrier(&[&PUBLIC, &[0x84, 0x00]]);
    assert_eq!(error(&bytes), DecodeError::NonCanonicalVarint { field: "DataFrame", at: 5 });
    let expected = DecodeError::NonCanonicalVarint { field: "DataFrame.stream_id", at: 7 };
    assert_eq!(public(&[&[0x08, 0x85, 0x00]]), expected);
    let expected = DecodeError::NonCanonicalVarint { field: "DataFrame.payload", at: 9 };
    assert_eq!(public(&[&STREAM, &[0x7a, 0x81, 0x00, 9]]), expected);
    // A tag.
    let expected = DecodeError::NonCanonicalVarint { field: "DataFrame", at: 6 };
    assert_eq!(public(&[&[0x88, 0x00, 5]]), expected);
    let header = carrier(&[&[0x84, 0x00]]);
    assert_eq!(error(&header), DecodeError::NonCanonicalVarint { field: "StreamHeader", at: 0 });
}

#[test]
fn a_varint_that_does_not_fit() {
    let eleven = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02];
    let expected = DecodeError::VarintOverflow { field: "DataFrame.offset", at: 9 };
    assert_eq!(public(&[&STREAM, &[0x10], &eleven]), expected);
}

#[test]
fn a_tag_that_is_none() {
    assert_eq!(public(&[&[0]]), DecodeError::InvalidTag { field: "DataFrame", tag: 0, at: 6 });
    // A group.
    let expected = DecodeError::InvalidTag { field: "DataFrame", tag: 0x33, at: 8 };
    assert_eq!(public(&[&STREAM, &[0x33]]), expected);
    let number = varint(1 << 32);
    let expected = DecodeError::InvalidTag { field: "DataFrame", tag: 1 << 32, at: 6 };
    assert_eq!(public(&[&number]), expected);
}

#[test]
fn a_field_of_another_wire_type() {
    for (tag, field, expected, actual) in [
        (0x0d, "DataFrame.stream_id", 0, 5),
        (0x11, "DataFrame.offset", 0, 1),
        (0x1a, "DataFrame.fin", 0, 2),
        (0x20, "DataFrame.crc32c", 5, 0),
        (0x78, "DataFrame.payload", 2, 0),
    ] {
        let fields: [&[u8]; 2] = [&[tag, 1], &[0; 8]];
        let wrong = DecodeError::WrongWireType { field, expected, actual, at: 6 };
        assert_eq!(contribution(&fields), wrong);
    }
}

#[test]
fn a_field_that_occurs_twice() {
    for (twice, field) in [
        (&[0x08, 5][..], "DataFrame.stream_id"),
        (&[0x10, 1], "DataFrame.offset"),
        (&[0x18, 0], "DataFrame.fin"),
        (&[0x25, 0, 0, 0, 0], "DataFrame.crc32c"),
    ] {
        let at = 6 + twice.len() as u64;
        assert_eq!(contribution(&[twice, twice]), DecodeError::FieldTwice { field, at });
    }
}

#[test]
fn a_payload_that_is_not_last() {
    let fields: [&[u8]; 4] = [&STREAM, &[0x7a, 1], b"a", &[0x10, 1]];
    assert_eq!(public(&fields), DecodeError::PayloadNotLast { rest: 2, at: 9 });
    // Twice is not last either.
    let fields: [&[u8]; 3] = [&STREAM, &[0x7a, 0], &[0x7a, 0]];
    assert_eq!(public(&fields), DecodeError::PayloadNotLast { rest: 2, at: 9 });
}

#[test]
fn a_payload_longer_than_its_frame() {
    let fields: [&[u8]; 3] = [&STREAM, &[0x7a, 4], b"abc"];
    assert_eq!(public(&fields), DecodeError::PayloadOverrun { length: 4, rest: 3, at: 9 });
}

#[test]
fn bytes_beyond_the_largest_offset() {
    let last = varint(MAX_VARINT);
    let fine = message(&[&STREAM, &[0x10], &last, &[0x7a, 0]]);
    assert!(decode(&[carrier(&[&PUBLIC, &fine])]).is_ok());
    let fields: [&[u8]; 5] = [&STREAM, &[0x10], &last, &[0x7a, 1], b"a"];
    let expected = DecodeError::OffsetOverflow { offset: MAX_VARINT, length: 1, at: 5 };
    assert_eq!(public(&fields), expected);
}

#[test]
fn numbers_above_the_largest() {
    let (value, max) = (MAX_VARINT + 1, MAX_VARINT);
    for (tag, field) in [(0x08, "DataFrame.stream_id"), (0x10, "DataFrame.offset")] {
        let problem = Problem::OutOfRange { value, min: 0, max };
        let expected = DecodeError::Invalid { invalid: InvalidField { field, problem }, at: 6 };
        assert_eq!(public(&[&[tag], &varint(value)]), expected);
    }
    let problem = Problem::OutOfRange { value: 2, min: 0, max: 1 };
    let invalid = InvalidField { field: "DataFrame.fin", problem };
    assert_eq!(public(&[&STREAM, &[0x18, 2]]), DecodeError::Invalid { invalid, at: 8 });
}

#[test]
fn a_checksum_that_does_not_match_drops_its_frame_alone() {
    let mut bad = good(b"abcd");
    *bad.last_mut().unwrap() ^= 1;
    let bytes = carrier(&[&CONTRIBUTION, &bad, &good(b"wxyz")]);
    let mut decoder = DataDecoder::new();
    decoder.push(bytes.clone());
    assert!(matches!(decoder.poll(), Ok(Some(DataEvent::Header(_)))));
    let error = decoder.poll().unwrap_err();
    assert!(!error.is_fatal());
    let DecodeError::ChecksumMismatch { stream, offset, length, expected, actual, at } = error
    else {
        panic!("{error}")
    };
    assert_eq!((stream.value(), offset.value(), length, at), (5, 0, 4, 5));
    assert_ne!(expected, actual);
    let chunk = DataEvent::Chunk { offset: Offset::ZERO, payload: b"wxyz"[..].into() };
    assert_eq!(decoder.poll(), Ok(Some(chunk)));
    assert_eq!(decoder.poll(), Ok(None));
    assert_eq!(decoder.finish(), Ok(()));
}

#[test]
fn a_checksum_covers_every_field_of_the_frame() {
    let stream = StreamId::from_wire(5).unwrap();
    let crc = data::checksum(stream, Offset::ZERO, false, 1, [&b"a"[..]]).to_le_bytes();
    let offset_moved = [&STREAM[..], &[0x10, 1, 0x25], &crc, &[0x7a, 1], b"a"];
    assert!(matches!(contribution(&offset_moved), DecodeError::ChecksumMismatch { .. }));
    let one_more = [&STREAM[..], &[0x25], &crc, &[0x7a, 2], b"ab"];
    assert!(matches!(contribution(&one_more), DecodeError::ChecksumMismatch { .. }));
}

/// The value is from `interop/check.py`'s CRC, bit by bit.
#[test]
fn a_checksum_is_over_four_words_and_the_payload() {
    let sum = |stream, offset, fin, payload: &'static [u8]| {
        let (stream, offset) = (StreamId::from_wire(stream).unwrap(), Offset::new(offset).unwrap());
        data::checksum(stream, offset, fin, payload.len(), [payload])
    };
    assert_eq!(sum(5, 7, true, b"abc"), KNOWN_CRC);
    for other in [sum(4, 7, true, b"abc"), sum(5, 6, true, b"abc"), sum(5, 7, false, b"abc")] {
        assert_ne!(other, KNOWN_CRC);
    }
}

#[test]
fn a_checksum_of_zero_is_a_checksum() {
    // Present and 0, as `optional` has it: not the same as absent.
    let zero = contribution(&[&STREAM, &[0x25, 0, 0, 0, 0], &[0x7a, 1], b"a"]);
    let DecodeError::ChecksumMismatch { expected: 0, .. } = zero else { panic!("{zero}") };
    let absent = contribution(&[&STREAM, &[0x7a, 1], b"a"]);
    assert_eq!(absent, DecodeError::ChecksumMissing { at: 5 });
    // CRC32C is a bijection on the last four bytes: those with which it is 0 exist, and are found here.
    let stream = StreamId::from_wire(5).unwrap();
    let payload = payload_with_checksum_zero(|payload| {
        data::checksum(stream, Offset::ZERO, false, 4, [payload])
    });
    let frame = message(&[&STREAM, &[0x25, 0, 0, 0, 0], &[0x7a, 4], &payload]);
    let events = decode(&[carrier(&[&CONTRIBUTION, &frame])]).unwrap();
    let payload = Bytes::copy_from_slice(&payload);
    assert_eq!(events[1], DataEvent::Chunk { offset: Offset::ZERO, payload });
}

/// Solves `crc(payload) = 0` for four bytes: the sum is linear in their bits over GF(2), but for a constant.
fn payload_with_checksum_zero(crc: impl Fn(&[u8]) -> u32) -> [u8; 4] {
    let constant = crc(&[0; 4]);
    let mut rows: Vec<(u32, u32)> =
        (0..32).map(|bit| (crc(&(1u32 << bit).to_le_bytes()) ^ constant, 1 << bit)).collect();
    let (mut target, mut solution) = (constant, 0);
    for bit in 0..32 {
        let place = rows.iter().position(|(sum, _)| sum >> bit & 1 == 1).unwrap();
        let (sum, bits) = rows.swap_remove(place);
        for row in &mut rows {
            if row.0 >> bit & 1 == 1 {
                *row = (row.0 ^ sum, row.1 ^ bits);
            }
        }
        if target >> bit & 1 == 1 {
            (target, solution) = (target ^ sum, solution ^ bits);
        }
    }
    solution.to_le_bytes()
}

#[test]
fn a_checksum_on_a_public_stream() {
    let fields: [&[u8]; 3] = [&STREAM, &[0x25, 0, 0, 0, 0], &[0x7a, 0]];
    assert_eq!(public(&fields), DecodeError::ChecksumNotAllowed { at: 8 });
}

#[test]
fn a_final_size_on_a_contribution() {
    assert_eq!(contribution(&[&STREAM, &[0x18, 1]]), DecodeError::FinNotAllowed { at: 8 });
}

#[test]
fn a_frame_of_another_stream_is_named_and_dropped() {
    for (header, crc) in [(PUBLIC, &[][..]), (CONTRIBUTION, &[0x25, 1, 2, 3, 4])] {
        let wrong = message(&[&[0x08, 9], &[0x10, 70], crc, &[0x7a, 3], b"abc"]);
        let right = match header {
            PUBLIC => message(&[&STREAM, &[0x7a, 1], b"x"]),
            _ => good(b"x"),
        };
        let mut decoder = DataDecoder::new();
        decoder.push(carrier(&[&header, &wrong[..wrong.len() - 2]]));
        assert!(matches!(decoder.poll(), Ok(Some(DataEvent::Header(_)))));
        let error = decoder.poll().unwrap_err();
        assert!(!error.is_fatal());
        let expected = DecodeError::StreamMismatch {
            header: StreamId::from_wire(5).unwrap(),
            frame: StreamId::from_wire(9).unwrap(),
            offset: Offset::new(70).unwrap(),
            length: 3,
            at: 5,
        };
        assert_eq!(error, expected, "said before the payload is there");
        assert_eq!(decoder.poll(), Ok(None));
        decoder.push(carrier(&[&wrong[wrong.len() - 2..], &right]));
        let chunk = DataEvent::Chunk { offset: Offset::ZERO, payload: b"x"[..].into() };
        assert_eq!(decoder.poll(), Ok(Some(chunk)));
        assert_eq!(decoder.finish(), Ok(()));
    }
}

#[test]
fn a_carrier_can_be_mapped_anew() {
    let frame = message(&[&[0x08, 9], &[0x7a, 1], b"x"]);
    let mut decoder = DataDecoder::new();
    decoder.push(carrier(&[&PUBLIC, &frame, &frame]));
    assert!(matches!(decoder.poll(), Ok(Some(DataEvent::Header(_)))));
    assert!(matches!(decoder.poll(), Err(DecodeError::StreamMismatch { .. })));
    decoder.remap(StreamId::from_wire(9).unwrap());
    let chunk = DataEvent::Chunk { offset: Offset::ZERO, payload: b"x"[..].into() };
    assert_eq!(decoder.poll(), Ok(Some(chunk)));
}

#[test]
fn a_fatal_error_stays() {
    let mut decoder = DataDecoder::new();
    decoder.push(carrier(&[&PUBLIC, &[1, 0]]));
    assert!(matches!(decoder.poll(), Ok(Some(DataEvent::Header(_)))));
    let error = decoder.poll().unwrap_err();
    assert!(error.is_fatal());
    decoder.push(message(&[&STREAM, &[0x7a, 1], b"a"]).into());
    assert_eq!(decoder.poll(), Err(error.clone()));
    assert_eq!(decoder.finish(), Err(error));
}

#[test]
fn unknown_fields_before_the_payload_are_passed_over() {
    let unknown = [
        &[0x28, 1][..],                  // 5: varint
        &[0x31, 1, 2, 3, 4, 5, 6, 7, 8], // 6: fixed64
        &[0x3a, 2, 8, 8],                // 7: bytes
        &[0x45, 1, 2, 3, 4],             // 8: fixed32
    ]
    .concat();
    let header = message(&[&unknown, &STREAM, &[0x10, 1]]);
    let frame = message(&[&STREAM, &unknown, &[0x7a, 1], b"x"]);
    let events = decode(&[carrier(&[&header, &frame])]).unwrap();
    let chunk = DataEvent::Chunk { offset: Offset::ZERO, payload: b"x"[..].into() };
    assert_eq!(events[1..], [chunk]);
}

#[test]
fn an_absent_payload_is_an_empty_one() {
    let frame = message(&[&STREAM, &[0x10, 7], &[0x18, 1]]);
    let events = decode(&[carrier(&[&PUBLIC, &frame])]).unwrap();
    assert_eq!(events[1..], [DataEvent::Fin { final_size: Offset::new(7).unwrap() }]);
}

#[test]
fn errors_say_what_and_where() {
    let fields: [&[u8]; 3] = [&STREAM, &[0x7a, 4], b"abc"];
    assert_eq!(
        public(&fields).to_string(),
        "DataFrame.payload: 4 bytes where 3 are left of the frame (byte 9)"
    );
}
