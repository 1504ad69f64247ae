//! The table of golden vectors: a frame, and what it means in protobuf's JSON, written by hand for each.

mod control;
mod orders;

use bytes::Bytes;
use kwik_proto::frame::{CarrierKind, ControlFrame, Orders, StreamHeader};
use kwik_proto::{ByteRange, DelegationId, Offset, StreamId};
use serde_json::{Value, json};

pub(crate) struct Vector {
    pub(crate) name: &'static str,
    pub(crate) golden: Golden,
    pub(crate) meaning: Value,
}

pub(crate) enum Golden {
    Control(ControlFrame),
    Orders(Orders),
    Header(StreamHeader),
    Data { header: StreamHeader, offset: Offset, fin: bool, payload: Bytes },
}

pub(crate) fn vectors() -> Vec<Vector> {
    let mut all = control::vectors();
    all.extend(orders::vectors());
    all.extend(data());
    all
}

pub(crate) fn stream(id: u64) -> StreamId {
    StreamId::from_wire(id).unwrap()
}

pub(crate) fn offset(value: u64) -> Offset {
    Offset::new(value).unwrap()
}

pub(crate) fn range(start: u64, length: u64) -> ByteRange {
    ByteRange::with_length(offset(start), length).unwrap()
}

/// Bytes in protobuf's JSON: base64 (RFC 4648, 4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, &byte| bits << 8 | u32::from(byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn header(id: u64, kind: CarrierKind) -> StreamHeader {
    StreamHeader { stream: stream(id), kind, delegation: None, promised: None }
}

fn data() -> Vec<Vector> {
    let public = header(4, CarrierKind::Public);
    let contribution = StreamHeader {
        delegation: Some(DelegationId(7)),
        promised: Some(range(1 << 20, 65_536)),
        ..header(1, CarrierKind::Contribution)
    };
    let public_frame = |at, fin, payload: &'static [u8]| Golden::Data {
        header: public,
        offset: offset(at),
        fin,
        payload: Bytes::from_static(payload),
    };
    vec![
        Vector {
            name: "stream_header_public",
            golden: Golden::Header(public),
            meaning: json!({ "stream_id": "4", "kind": "CARRIER_KIND_PUBLIC" }),
        },
        Vector {
            name: "stream_header_contribution",
            golden: Golden::Header(contribution),
            meaning: json!({
                "stream_id": "1",
                "kind": "CARRIER_KIND_CONTRIBUTION",
                "delegation_id": "7",
                "promised": { "start": "1048576", "length": "65536" },
            }),
        },
        Vector {
            name: "data_frame_public",
            golden: public_frame(300, false, b"some bytes"),
            meaning: json!({ "stream_id": "4", "offset": "300", "payload": base64(b"some bytes") }),
        },
        Vector {
            name: "data_frame_fin",
            golden: public_frame((1 << 62) - 2, true, b"z"),
            meaning: json!({
                "stream_id": "4",
                "offset": "4611686018427387902",
                "fin": true,
                "payload": base64(b"z"),
            }),
        },
        Vector {
            name: "data_frame_empty_fin",
            golden: public_frame(310, true, b""),
            meaning: json!({ "stream_id": "4", "offset": "310", "fin": true, "payload": "" }),
        },
        Vector {
            name: "data_frame_contribution",
            golden: Golden::Data {
                header: contribution,
                offset: offset(1 << 20),
                fin: false,
                payload: Bytes::from_static(b"123456789"),
            },
            meaning: json!({
                "stream_id": "1",
                "offset": "1048576",
                "crc32c": CRC_OF_CONTRIBUTION,
                "payload": base64(b"123456789"),
            }),
        },
    ]
}

/// CRC32C of 1, 1048576, 0 and 9 as little-endian words and "123456789"; `interop/check.py` computes it anew, bit by bit.
const CRC_OF_CONTRIBUTION: u32 = 3_879_478_540;
