//! In the steady state a data frame costs no allocation, neither its sender nor its receiver.

#![allow(clippy::unwrap_used)]

use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use kwik_proto::control::ControlDecoder;
use kwik_proto::data::{self, DataDecoder, DataHeader};
use kwik_proto::frame::{CarrierKind, StreamHeader};
use kwik_proto::{DecodeError, Offset, StreamId};

const FRAME: usize = 64 * 1024;

fn header(kind: CarrierKind) -> StreamHeader {
    let stream = StreamId::from_wire(5).unwrap();
    StreamHeader { stream, kind, delegation: None, promised: None }
}

/// A carrier of `frames` frames, in chunks of a datagram.
fn carrier(kind: CarrierKind, frames: u64) -> Vec<Bytes> {
    let (payload, mut out) = (vec![7; FRAME], BytesMut::new());
    let stream = header(kind).stream;
    data::encode_stream_header(&header(kind), &mut out);
    for index in 0..frames {
        let offset = Offset::new(index * FRAME as u64).unwrap();
        let crc32c = (kind == CarrierKind::Contribution)
            .then(|| data::checksum(stream, offset, false, FRAME, [&payload[..]]));
        DataHeader { stream, offset, fin: false, length: FRAME, crc32c }.encode(&mut out);
        out.extend_from_slice(&payload);
    }
    let bytes = out.freeze();
    (0..bytes.len()).step_by(1400).map(|at| bytes.slice(at..bytes.len().min(at + 1400))).collect()
}

/// Decodes the chunks and drops what comes out; returns how many bytes that were.
fn drain(decoder: &mut DataDecoder, chunks: impl IntoIterator<Item = Bytes>) -> usize {
    let mut bytes = 0;
    for chunk in chunks {
        decoder.push(chunk);
        while let Some(event) = decoder.poll().unwrap() {
            if let data::DataEvent::Chunk { payload, .. } = event {
                bytes += payload.len();
            }
        }
    }
    bytes
}

#[test]
fn decoding_allocates_nothing_per_frame() {
    for kind in [CarrierKind::Public, CarrierKind::Contribution] {
        let mut chunks = carrier(kind, 20);
        let steady = chunks.split_off(200);
        let mut decoder = DataDecoder::new();
        let warm_up = drain(&mut decoder, chunks);
        let mut bytes = 0;
        let used = measure(|| bytes = drain(&mut decoder, steady));
        assert_eq!(used.count_total, 0, "{kind:?}");
        assert_eq!(warm_up + bytes, 20 * FRAME);
    }
}

#[test]
fn encoding_allocates_nothing_per_frame() {
    let mut out = BytesMut::with_capacity(DataHeader::MAX_ENCODED);
    let (stream, payload) = (header(CarrierKind::Contribution).stream, vec![7; FRAME]);
    let used = measure(|| {
        for index in 0..100 {
            let offset = Offset::new(index).unwrap();
            let crc32c = Some(data::checksum(stream, offset, false, FRAME, [&payload[..]]));
            out.clear();
            DataHeader { stream, offset, fin: false, length: FRAME, crc32c }.encode(&mut out);
        }
    });
    assert_eq!(used.count_total, 0);
}

/// A control frame of one field, its message.
fn control(number: u64, message: &[u8]) -> Bytes {
    fn varint(mut value: u64, out: &mut Vec<u8>) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }
    let (mut body, mut frame) = (Vec::new(), Vec::new());
    varint(number << 3 | 2, &mut body);
    varint(message.len() as u64, &mut body);
    body.extend_from_slice(message);
    varint(body.len() as u64, &mut frame);
    frame.extend_from_slice(&body);
    frame.into()
}

#[test]
fn numbers_above_their_limit_are_refused_before_memory_is_taken_for_them() {
    // 60,000 numbers of one byte, in one field or in one each: eight bytes each decoded.
    let packed = |number: u8, count: usize| {
        [&[number << 3 | 2, 0xe0, 0xd4, 3][..], &vec![1; count]].concat()
    };
    let single = |number: u8| [number << 3, 1].repeat(30_000);
    for (frame, message, field) in [
        (2, packed(1, 60_000), "Hello.versions"),
        (2, packed(2, 60_000), "Hello.features"),
        (2, single(2), "Hello.features"),
        (3, packed(2, 60_000), "Welcome.features"),
        (21, packed(2, 60_000), "MappingQuery.carriers"),
        (21, single(2), "MappingQuery.carriers"),
    ] {
        let mut decoder = ControlDecoder::new();
        decoder.push(control(frame, &message));
        let mut result = None;
        let used = measure(|| result = Some(decoder.poll()));
        let Some(Err(DecodeError::Invalid { invalid, .. })) = result else { panic!("{result:?}") };
        assert_eq!(invalid.field, field);
        assert!(used.bytes_total < 1000, "{field}: {} bytes", used.bytes_total);
    }
}

#[test]
fn a_control_frame_in_single_bytes_takes_little_more_than_its_bytes() {
    let frame = control(99, &vec![7; 65_000]);
    let mut decoder = ControlDecoder::new();
    let used = measure(|| {
        for at in 0..frame.len() {
            decoder.push(frame.slice(at..=at));
            assert!(decoder.poll().unwrap().is_none());
        }
    });
    assert_eq!((decoder.skipped(), decoder.held()), (1, 0));
    assert!(used.bytes_max < 300_000, "{} bytes", used.bytes_max);
}

#[test]
fn a_frame_above_its_limit_takes_no_memory() {
    // The length alone, byte by byte: neither decoder takes memory for what it says is to come.
    let length = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let bytes: Vec<Bytes> = length.iter().map(|byte| Bytes::from(vec![*byte])).collect();
    let mut carrier = DataDecoder::new();
    drain(&mut carrier, [encoded_header()]);
    let mut refused = false;
    let used = measure(|| {
        for byte in bytes.clone() {
            carrier.push(byte);
            refused = carrier.poll().is_err();
        }
    });
    assert!(refused && used.bytes_total < 1000, "{} bytes", used.bytes_total);
    let mut control = ControlDecoder::new();
    let used = measure(|| {
        for byte in bytes {
            control.push(byte);
            refused = control.poll().is_err();
        }
    });
    assert!(refused && used.bytes_total < 1000, "{} bytes", used.bytes_total);
}

fn encoded_header() -> Bytes {
    let mut out = BytesMut::new();
    data::encode_stream_header(&header(CarrierKind::Contribution), &mut out);
    out.freeze()
}

#[test]
fn entries_above_their_limit_are_refused_before_memory_is_taken_for_them() {
    // A snapshot of 32,000 empty mappings: two bytes each on the wire, 80 each decoded.
    let mappings = [0x12, 0].repeat(32_000);
    let mut frame = BytesMut::from(&[0x85, 0xf4, 0x03, 0xb2, 0x01, 0x80, 0xf4, 0x03][..]);
    frame.extend_from_slice(&mappings);
    let mut decoder = ControlDecoder::new();
    decoder.push(frame.freeze());
    let mut result = None;
    let used = measure(|| result = Some(decoder.poll()));
    let Some(Err(DecodeError::Invalid { invalid, .. })) = result else { panic!("{result:?}") };
    assert_eq!(invalid.field, "MappingSnapshot.mappings");
    assert!(used.bytes_total < 1000, "{} bytes", used.bytes_total);
}
