//! The golden vectors: committed bytes of every frame, with their meaning in JSON.
//!
//! `KWIK_REGENERATE=1 cargo test -p kwik-proto --test vectors` writes `vectors/` anew from the table in
//! `tests/golden/`. `interop/check.py` reads the same files with another implementation of protobuf and writes its own
//! encodings of the meanings, which are decoded here: those of the last run that were committed, or of
//! `KWIK_INTEROP_DIR`.

#![allow(clippy::unwrap_used)]

mod golden;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use bytes::{Bytes, BytesMut};
use golden::{Golden, Vector};
use kwik_proto::control::ControlDecoder;
use kwik_proto::data::{self, DataDecoder, DataEvent, DataHeader};
use kwik_proto::frame::{CarrierKind, ControlFrame, Orders, StreamHeader};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// The bytes that this crate writes for the vector.
fn encode(golden: &Golden) -> Bytes {
    let mut out = BytesMut::new();
    match golden {
        Golden::Control(frame) => frame.encode(&mut out),
        Golden::Orders(orders) => return orders.encode(),
        Golden::Header(header) => data::encode_stream_header(header, &mut out),
        Golden::Data { header, offset, fin, payload } => {
            let (stream, length) = (header.stream, payload.len());
            let crc32c = (header.kind == CarrierKind::Contribution)
                .then(|| data::checksum(stream, *offset, *fin, length, [&payload[..]]));
            DataHeader { stream, offset: *offset, fin: *fin, length, crc32c }.encode(&mut out);
            out.extend_from_slice(payload);
        }
    }
    out.freeze()
}

fn decode_control(bytes: Bytes) -> ControlFrame {
    let mut decoder = ControlDecoder::new();
    decoder.push(bytes);
    let frame = decoder.poll().unwrap().unwrap();
    assert_eq!(decoder.poll(), Ok(None));
    decoder.finish().unwrap();
    frame
}

fn decode_carrier(bytes: impl IntoIterator<Item = Bytes>) -> Vec<DataEvent> {
    let mut decoder = DataDecoder::new();
    bytes.into_iter().for_each(|bytes| decoder.push(bytes));
    let mut events = Vec::new();
    while let Some(event) = decoder.poll().unwrap() {
        events.push(event);
    }
    decoder.finish().unwrap();
    events
}

/// That the bytes say what the vector says.
fn assert_decodes(name: &str, golden: &Golden, bytes: Bytes) {
    match golden {
        Golden::Control(frame) => assert_eq!(&decode_control(bytes), frame, "{name}"),
        Golden::Orders(orders) => assert_eq!(Orders::decode(&bytes).as_ref(), Ok(orders), "{name}"),
        Golden::Header(header) => {
            assert_eq!(decode_carrier([bytes]), [DataEvent::Header(*header)], "{name}");
        }
        Golden::Data { header, offset, fin, payload } => {
            let mut expected = vec![DataEvent::Header(*header)];
            if !payload.is_empty() {
                expected.push(DataEvent::Chunk { offset: *offset, payload: payload.clone() });
            }
            if *fin {
                let final_size = offset.checked_add(payload.len() as u64).unwrap();
                expected.push(DataEvent::Fin { final_size });
            }
            assert_eq!(decode_carrier([header_bytes(header), bytes]), expected, "{name}");
        }
    }
}

fn header_bytes(header: &StreamHeader) -> Bytes {
    let mut out = BytesMut::new();
    data::encode_stream_header(header, &mut out);
    out.freeze()
}

fn file(vector: &Vector) -> String {
    let (message, delimited) = match vector.golden {
        Golden::Control(_) => ("kwik.v1.ControlFrame", true),
        Golden::Orders(_) => ("kwik.v1.Orders", false),
        Golden::Header(_) => ("kwik.v1.StreamHeader", true),
        Golden::Data { .. } => ("kwik.v1.DataFrame", true),
    };
    let hex: String = encode(&vector.golden).iter().map(|byte| format!("{byte:02x}")).collect();
    let value = json!({
        "message": message,
        "length_delimited": delimited,
        "bytes": hex,
        "meaning": vector.meaning,
    });
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}

fn unhex(hex: &str) -> Bytes {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

#[test]
fn golden_vectors_are_what_this_crate_writes_and_reads() {
    for vector in golden::vectors() {
        let path = folder().join(vector.name).with_extension("json");
        let expected = file(&vector);
        if env::var_os("KWIK_REGENERATE").is_some() {
            fs::write(&path, &expected).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap();
        assert_eq!(committed, expected, "{}", vector.name);
        let value: Value = serde_json::from_str(&committed).unwrap();
        assert_decodes(vector.name, &vector.golden, unhex(value["bytes"].as_str().unwrap()));
    }
}

#[test]
fn bytes_of_another_implementation_decode_to_the_same() {
    let folder = match env::var_os("KWIK_INTEROP_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => folder().join("python"),
    };
    for vector in golden::vectors() {
        let path = folder.join(vector.name).with_extension("hex");
        let hex = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_decodes(vector.name, &vector.golden, unhex(hex.trim()));
    }
}

#[test]
fn every_frame_has_a_vector_and_every_file_is_one() {
    let vectors = golden::vectors();
    let kinds: BTreeSet<String> = vectors
        .iter()
        .filter_map(|vector| match &vector.golden {
            Golden::Control(frame) => Some(format!("{frame:?}").split('(').next()?.to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(kinds.len(), 25, "{kinds:?}");
    let names: BTreeSet<_> = vectors.iter().map(|vector| format!("{}.json", vector.name)).collect();
    let files: BTreeSet<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    assert_eq!(files, names);
}
