//! Insert and read of 1,200-byte frames: KWIK's reassembler beside s2n-quic's, in one run.
//!
//! `cargo bench -p kwik-bench --bench reassembly`. Times are per frame where a group says `elements`.
//!
//! quinn's assembler is no rival here: `quinn_proto::connection::assembler` is private, and reachable only through a
//! whole connection, which would measure packets and cryptography. A copy of its source would be another program.

#![allow(missing_docs, clippy::unwrap_used, reason = "a measurement, not a library")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use kwik_core::reassembly::{Hint, Reassembler};
use kwik_proto::{Offset, PathId};
use s2n_quic_core::buffer::Reassembler as Rival;
use s2n_quic_core::varint::VarInt;

#[path = "input/orders.rs"]
mod orders;

use orders::{
    BUFFER, FRAME, Frame, PER_BUFFER, SOURCES, in_order, interleaved, kwik, next_random, random,
    reversed,
};

fn rival(frames: &[Frame]) -> u64 {
    let mut reassembler = Rival::new();
    for frame in frames {
        reassembler.write_at(VarInt::new(frame.offset).unwrap(), &frame.payload).unwrap();
        while let Some(bytes) = reassembler.pop() {
            black_box(&bytes);
        }
    }
    reassembler.consumed_len()
}

fn all_orders(criterion: &mut Criterion) {
    let cases = [
        ("in_order", in_order()),
        ("reversed", reversed()),
        ("interleaved_8", interleaved()),
        ("random", random()),
    ];
    for (name, frames) in &cases {
        let mut group = quick(criterion, name);
        group.throughput(Throughput::Elements(frames.len() as u64));
        let end = (frames.len() * FRAME) as u64;
        assert_eq!((kwik(frames), rival(frames)), (end, end));
        group.bench_function("kwik", |bencher| bencher.iter(|| kwik(frames)));
        group.bench_function("s2n-quic", |bencher| bencher.iter(|| rival(frames)));
        group.finish();
    }
}

fn quick<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_secs(1));
    group.measurement_time(Duration::from_secs(3));
    group
}

/// A reassembler with `ranges` pieces far ahead of the reader, none of which touches the next.
fn with_ranges(ranges: u64, hint: &mut Hint) -> Reassembler {
    let mut reassembler = Reassembler::new();
    let payload = Bytes::from_static(&[0; 16]);
    for index in 0..ranges {
        let offset = Offset::new((1 << 40) + index * 32).unwrap();
        reassembler.insert(
            hint,
            PathId::new(99),
            offset,
            payload.clone(),
            16,
            kwik_core::time::Instant::ZERO,
        );
    }
    reassembler
}

/// Eight sources append in turns to ranges of 64 KiB at the head, while other ranges wait far ahead; the cost per frame.
fn flat(criterion: &mut Criterion) {
    let mut group = quick(criterion, "appending_with_ranges_buffered");
    group.throughput(Throughput::Elements((SOURCES * PER_BUFFER) as u64));
    let buffers: Vec<Bytes> = (0..SOURCES).map(|_| Bytes::from(vec![7; BUFFER])).collect();
    for ranges in [10, 1_000, 100_000, 1_000_000] {
        let mut reassembler = with_ranges(ranges, &mut Hint::default());
        let mut hints = [Hint::default(); SOURCES];
        let range = PER_BUFFER * FRAME;
        group.bench_function(BenchmarkId::from_parameter(ranges), |bencher| {
            bencher.iter(|| {
                let start = reassembler.read_offset().value();
                for index in 0..PER_BUFFER {
                    // The head comes last, so that all others wait.
                    for source in (0..SOURCES).rev() {
                        let from = index * FRAME;
                        let offset = Offset::new(start + (source * range + from) as u64).unwrap();
                        let payload = buffers[source].slice(from..from + FRAME);
                        let path = PathId::new(source as u16);
                        reassembler.insert(
                            &mut hints[source],
                            path,
                            offset,
                            payload,
                            BUFFER,
                            kwik_core::time::Instant::ZERO,
                        );
                    }
                }
                while let Some(bytes) = reassembler.read(usize::MAX) {
                    black_box(&bytes);
                }
            });
        });
    }
    group.finish();
}

/// Each frame opens a run of its own at a random place among those that are there: the logarithm shows.
fn random_runs(criterion: &mut Criterion) {
    let mut group = quick(criterion, "new_run_at_a_random_place");
    group.sample_size(10);
    for ranges in [10_usize, 1_000, 100_000, 1_000_000] {
        group.bench_function(BenchmarkId::from_parameter(ranges), |bencher| {
            bencher.iter_custom(|frames| time_random_runs(ranges, frames));
        });
    }
    group.finish();
}

fn time_random_runs(ranges: usize, frames: u64) -> Duration {
    let mut order: Vec<u64> = (0..ranges as u64).collect();
    let mut state = 7;
    for index in (1..ranges).rev() {
        order.swap(index, next_random(&mut state) % (index + 1));
    }
    let payload = Bytes::from_static(&[0; 16]);
    let mut total = Duration::ZERO;
    let mut counted = 0;
    while counted < frames {
        let mut reassembler = Reassembler::new();
        let mut hint = Hint::default();
        let before = Instant::now();
        for index in &order {
            let offset = Offset::new(64 + index * 32).unwrap();
            reassembler.insert(
                &mut hint,
                PathId::PRIMARY,
                offset,
                payload.clone(),
                16,
                kwik_core::time::Instant::ZERO,
            );
        }
        total += before.elapsed();
        counted += ranges as u64;
    }
    total.mul_f64(frames as f64 / counted as f64)
}

criterion_group!(benches, all_orders, flat, random_runs);
criterion_main!(benches);
