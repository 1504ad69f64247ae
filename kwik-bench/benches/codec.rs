//! The codec: heads of data frames, whole carriers in chunks of a datagram, a control frame.
//!
//! `cargo bench -p kwik-bench --bench codec`

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kwik_proto::Offset;
use kwik_proto::control::ControlDecoder;
use kwik_proto::data::DataHeader;
use kwik_proto::frame::{CarrierKind, ControlFrame, StreamWindow};

#[path = "input/carriers.rs"]
mod carriers;

use carriers::{FRAME, FRAMES, carrier, decoder, frame, header};

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
