//! Instructions that the core and the codec take for fixed work: exact where wall time is noise.
//!
//! `kwik-bench/instructions.sh` runs them under Valgrind and compares with what is committed. What a function makes is
//! returned, so that freeing it is not counted.

#![allow(missing_docs, clippy::unwrap_used, reason = "a measurement, not a library")]
#![allow(unused_qualifications, reason = "the macros qualify all they name")]

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gungraun::{library_benchmark, library_benchmark_group, main};
use kwik_core::delegation::{Candidates, Decision, DelegationConfig, Local, PathView, Scheduler};
use kwik_core::time::Instant;
use kwik_proto::data::{DataDecoder, DataHeader};
use kwik_proto::frame::{CarrierKind, HeldRange, PathState, StreamProgress};
use kwik_proto::{ByteRange, Offset, PathId, StreamId};

#[path = "input/carriers.rs"]
mod carriers;
#[path = "input/orders.rs"]
mod orders;

use orders::Frame;

/// Heads are small: of one the call around it would be a good part.
const HEADS: usize = 1_000;

#[library_benchmark]
#[bench::in_order(setup = orders::in_order)]
#[bench::reversed(setup = orders::reversed)]
#[bench::interleaved_8(setup = orders::interleaved)]
#[bench::random(setup = orders::random)]
fn reassemble(frames: Vec<Frame>) -> Vec<Frame> {
    let read = orders::kwik(black_box(&frames));
    assert_eq!(read, (frames.len() * orders::FRAME) as u64);
    frames
}

fn head() -> (DataHeader, BytesMut) {
    let stream = carriers::header(CarrierKind::Contribution).stream;
    let offset = Offset::new(1 << 40).unwrap();
    let crc32c = Some(0x1234_5678);
    let head = DataHeader { stream, offset, fin: false, length: carriers::FRAME, crc32c };
    (head, BytesMut::with_capacity(4096))
}

#[library_benchmark]
#[bench::contribution(setup = head)]
fn encode_head((head, mut out): (DataHeader, BytesMut)) -> BytesMut {
    for _ in 0..HEADS {
        out.clear();
        black_box(&head).encode(&mut out);
        black_box(&out);
    }
    out
}

/// The shortest frame that has all fields: what is left is the head.
fn short_frames(kind: CarrierKind) -> (DataDecoder, Vec<Bytes>) {
    let mut out = BytesMut::new();
    carriers::frame(kind, 1 << 40, &[7], &mut out);
    (carriers::decoder(kind), vec![out.freeze(); HEADS])
}

#[library_benchmark]
#[bench::public(args = [CarrierKind::Public], setup = short_frames)]
#[bench::contribution(args = [CarrierKind::Contribution], setup = short_frames)]
fn decode_head(input: (DataDecoder, Vec<Bytes>)) -> DataDecoder {
    decode_all(input)
}

fn chunks(kind: CarrierKind) -> (DataDecoder, Vec<Bytes>) {
    (carriers::decoder(kind), carriers::carrier(kind))
}

#[library_benchmark]
#[bench::crc_off(args = [CarrierKind::Public], setup = chunks)]
#[bench::crc_on(args = [CarrierKind::Contribution], setup = chunks)]
fn decode_stream(input: (DataDecoder, Vec<Bytes>)) -> DataDecoder {
    decode_all(input)
}

fn decode_all((mut decoder, chunks): (DataDecoder, Vec<Bytes>)) -> DataDecoder {
    for chunk in chunks {
        decoder.push(chunk);
        while let Some(event) = decoder.poll().unwrap() {
            black_box(event);
        }
    }
    decoder
}

const PLANNED: u64 = 64 << 20;
/// The client reports this often.
const TURN: Duration = Duration::from_millis(10);

/// Eight live servers, 10 to 80 ms away, and one large range to be shared among them.
fn scheduler() -> Scheduler {
    let mut scheduler = Scheduler::new(DelegationConfig::default(), 7);
    scheduler.set_primary_rtt(Duration::from_millis(20));
    for path in 1..=8_u16 {
        let srtt = Some(Duration::from_millis(10 * u64::from(path)));
        let view = PathView { state: PathState::Live, srtt, rttvar: Duration::from_millis(1) };
        scheduler.set_path(PathId::new(path), view, Instant::ZERO);
    }
    let range = ByteRange::with_length(Offset::ZERO, PLANNED).unwrap();
    scheduler.handle_window(stream(), range.end(), Instant::ZERO);
    let resource = Bytes::from_static(b"film.mp4");
    scheduler
        .delegate(stream(), range, resource, Candidates::All, Local::None, Instant::ZERO)
        .unwrap();
    scheduler
}

fn stream() -> StreamId {
    StreamId::from_wire(0).unwrap()
}

// All that was asked for has arrived a turn later, until nothing is left.
#[library_benchmark]
#[bench::eight_paths(setup = scheduler)]
fn share_out(mut scheduler: Scheduler) -> Scheduler {
    let (mut now, mut asked) = (Instant::ZERO, Vec::new());
    while scheduler.stats().delivered_bytes < PLANNED {
        while let Some(decision) = scheduler.poll(now) {
            if let Decision::Delegate { path, delegation } = decision {
                asked.push(HeldRange { range: delegation.range, path });
            }
        }
        assert!(now.since(Instant::ZERO) < Duration::from_secs(60), "the scheduler stands still");
        now = now + TURN;
        scheduler.handle_progress(&progress(&mut asked), now);
    }
    scheduler
}

fn progress(held: &mut [HeldRange]) -> StreamProgress {
    held.sort_by_key(|held| held.range.start());
    let mut end = Offset::ZERO;
    for held in held.iter() {
        if held.range.start() <= end {
            end = end.max(held.range.end());
        }
    }
    StreamProgress {
        stream: stream(),
        read_offset: Offset::ZERO,
        contiguous_end: end,
        held: held.to_vec(),
        reader_waiting: false,
    }
}

library_benchmark_group!(name = core, benchmarks = [reassemble, share_out]);
library_benchmark_group!(name = codec, benchmarks = [encode_head, decode_head, decode_stream]);
main!(library_benchmark_groups = [core, codec]);
