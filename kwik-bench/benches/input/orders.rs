//! The frames of one stream in the orders in which they may arrive.

use std::hint::black_box;

use bytes::Bytes;
use kwik_core::reassembly::{Hint, Reassembler};
use kwik_core::time::Instant;
use kwik_proto::{Offset, PathId};

pub(crate) const FRAME: usize = 1_200;
/// s2n-quic hands out slices of buffers of this size.
pub(crate) const BUFFER: usize = 64 << 10;
pub(crate) const PER_BUFFER: usize = BUFFER / FRAME;
pub(crate) const STREAM: usize = 16 << 20;
pub(crate) const SOURCES: usize = 8;

pub(crate) struct Frame {
    pub(crate) source: usize,
    pub(crate) offset: u64,
    pub(crate) payload: Bytes,
}

/// The frames of one stream, in the order of their offsets, all of source 0.
pub(crate) fn in_order() -> Vec<Frame> {
    let mut buffer = Bytes::new();
    (0..STREAM / FRAME)
        .map(|index| {
            if index % PER_BUFFER == 0 {
                buffer = Bytes::from(vec![index as u8; BUFFER]);
            }
            let from = index % PER_BUFFER * FRAME;
            let payload = buffer.slice(from..from + FRAME);
            Frame { source: 0, offset: (index * FRAME) as u64, payload }
        })
        .collect()
}

pub(crate) fn reversed() -> Vec<Frame> {
    in_order().into_iter().rev().collect()
}

/// Eight sources, each with an eighth of the stream, take turns.
pub(crate) fn interleaved() -> Vec<Frame> {
    let part = STREAM / FRAME / SOURCES;
    let mut queues: Vec<Vec<Frame>> = (0..SOURCES).map(|_| Vec::new()).collect();
    for (index, mut frame) in in_order().into_iter().take(part * SOURCES).enumerate() {
        frame.source = index / part;
        queues[index / part].push(frame);
    }
    let mut queues: Vec<_> = queues.into_iter().map(Vec::into_iter).collect();
    (0..part * SOURCES).map(|turn| queues[turn % SOURCES].next().unwrap()).collect()
}

pub(crate) fn random() -> Vec<Frame> {
    let mut frames = in_order();
    let mut state = 1;
    for index in (1..frames.len()).rev() {
        frames.swap(index, next_random(&mut state) % (index + 1));
    }
    frames
}

/// xorshift64*.
pub(crate) fn next_random(state: &mut u64) -> usize {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize
}

pub(crate) fn kwik(frames: &[Frame]) -> u64 {
    let mut reassembler = Reassembler::new();
    let mut hints = [Hint::default(); SOURCES];
    for frame in frames {
        let offset = Offset::new(frame.offset).unwrap();
        let path = PathId::new(frame.source as u16);
        let hint = &mut hints[frame.source];
        reassembler.insert(hint, path, offset, frame.payload.clone(), BUFFER, Instant::ZERO);
        while let Some(bytes) = reassembler.read(usize::MAX) {
            black_box(&bytes);
        }
    }
    reassembler.read_offset().value()
}
