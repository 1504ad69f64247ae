//! The codec: heads of data frames, whole carriers in chunks of a datagram, a control frame.
//!
//! `cargo bench -p kwik-bench --bench codec`

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kwik_proto::control::ControlDecoder;
use kwik_proto::data::{self, DataDecoder, DataEvent, DataHeader};
use kwik_proto::frame::{CarrierKind, ControlFrame, StreamHeader, StreamWindow};
use kwik_proto::{Offset, StreamId};

const FRAME: usize = 64 * 1024;
const FRAMES: usize = 64;
/// What one datagram brings of a stream.
const DATAGRAM: usize = 1_400;

fn header(kind: CarrierKind) -> StreamHeader {
    let stream = StreamId::from_wire(5).expect("below 2^62");
    StreamHeader { stream, kind, delegation: None, promised: None }
}

fn frame(kind: CarrierKind, at: u64, payload: &[u8], out: &mut BytesMut) {
    let (stream, offset) = (header(kind).stream, Offset::new(at).expect("below 2^62"));
    let crc32c = (kind == CarrierKind::Contribution)
        .then(|| data::checksum(stream, offset, false, payload.len(), [payload]));
    DataHeader { stream, offset, fin: false, length: payload.len(), crc32c }.encode(out);
    out.extend_from_slice(payload);
}

/// A decoder that is past the header, as it is for the life of a carrier.
fn decoder(kind: CarrierKind) -> DataDecoder {
    let (mut decoder, mut out) = (DataDecoder::new(), BytesMut::new());
    data::encode_stream_header(&header(kind), &mut out);
    decoder.push(out.freeze());
    assert!(matches!(decoder.poll(), Ok(Some(DataEvent::Header(_)))));
    decoder
}

fn encode_head(c: &mut Criterion) {
    let stream = header(CarrierKind::Contribution).stream;
    let offset = Offset::new(1 << 40).expect("below 2^62");
    let head = DataHeader { stream, offset, fin: false, length: FRAME, crc32c: Some(0x1234_5678) };
    let mut out = BytesMut::with_capacity(4096);
    c.bench_function("head/encode", |b| {
        b.iter(|| {
            out.clear();
            black_box(&head).encode(&mut out);
            black_box(&out);
        });
    });
}

/// The shortest frame that has all fields: what is left is the head.
fn decode_head(c: &mut Criterion) {
    for (name, kind) in
        [("public", CarrierKind::Public), ("contribution", CarrierKind::Contribution)]
    {
        let mut out = BytesMut::new();
        frame(kind, 1 << 40, &[7], &mut out);
        let bytes = out.freeze();
        let mut decoder = decoder(kind);
        c.bench_function(&format!("head/decode_{name}"), |b| {
            b.iter(|| {
                decoder.push(bytes.clone());
                while let Some(event) = decoder.poll().expect("a good frame") {
                    black_box(event);
                }
            });
        });
    }
}

fn carrier(kind: CarrierKind) -> Vec<Bytes> {
    let payload: Vec<u8> = (0..FRAME).map(|byte| (byte * 31 >> 3) as u8).collect();
    let mut out = BytesMut::new();
    for index in 0..FRAMES {
        frame(kind, (index * FRAME) as u64, &payload, &mut out);
    }
    let bytes = out.freeze();
    (0..bytes.len())
        .step_by(DATAGRAM)
        .map(|at| bytes.slice(at..bytes.len().min(at + DATAGRAM)))
        .collect()
}

fn decode_stream(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream_of_64KiB_frames_in_1400B_chunks");
    group.throughput(Throughput::Bytes((FRAMES * FRAME) as u64));
    for (name, kind) in [("crc_off", CarrierKind::Public), ("crc_on", CarrierKind::Contribution)] {
        let chunks = carrier(kind);
        let mut decoder = decoder(kind);
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || chunks.clone(),
                |chunks| {
                    for chunk in chunks.drain(..) {
                        decoder.push(chunk);
                        while let Some(event) = decoder.poll().expect("good frames") {
                            black_box(event);
                        }
                    }
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn control(c: &mut Criterion) {
    let stream = header(CarrierKind::Public).stream;
    let frame = ControlFrame::StreamWindow(StreamWindow { stream, max_offset: Offset::MAX });
    let mut out = BytesMut::with_capacity(4096);
    c.bench_function("control/encode_window", |b| {
        b.iter(|| {
            out.clear();
            black_box(&frame).encode(&mut out);
            black_box(&out);
        });
    });
    let bytes = out.clone().freeze();
    let mut decoder = ControlDecoder::new();
    c.bench_function("control/decode_window", |b| {
        b.iter(|| {
            decoder.push(bytes.clone());
            black_box(decoder.poll().expect("a good frame"));
        });
    });
}

criterion_group!(benches, encode_head, decode_head, decode_stream, control);
criterion_main!(benches);
