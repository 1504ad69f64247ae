//! Adjacent pieces of a stream, as they arrived.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use kwik_proto::PathId;

use super::block::{Blocks, Pin};
use crate::time::Instant;

/// Bytes of one frame of one path.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// Offset of the first byte.
    pub(super) start: u64,
    pub(super) pin: Pin,
    pub(super) path: PathId,
    /// When its frame was taken.
    pub(super) arrived: Instant,
}

impl Chunk {
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn end(&self) -> u64 {
        self.start + self.len()
    }
}

/// Chunks without a hole between them, in order.
pub(super) type Chunks = VecDeque<Chunk>;

/// Cuts `chunks` at offset `at`, which lies within them or at an end; what lies at or beyond it is returned.
pub(super) fn split_at(chunks: &mut Chunks, at: u64, blocks: &mut Blocks) -> Chunks {
    let index = chunks.partition_point(|chunk| chunk.end() <= at);
    let mut tail = chunks.split_off(index);
    if let Some(first) = tail.front_mut()
        && first.start < at
    {
        let pin = blocks.split(first.pin, first.len());
        let near = first.bytes.split_to(offset_in(first.start, at));
        let Chunk { start, path, arrived, .. } = *first;
        chunks.push_back(Chunk { bytes: near, start, pin, path, arrived });
        first.start = at;
        first.pin = pin;
    }
    tail
}

/// Lets go of all chunks.
pub(super) fn release(chunks: Chunks, blocks: &mut Blocks) {
    for chunk in chunks {
        blocks.unpin(chunk.pin, chunk.len());
    }
}

/// Gives every chunk that shares a buffer one of its own.
pub(super) fn compact(chunks: &mut Chunks, blocks: &mut Blocks) {
    for chunk in chunks {
        if chunk.pin != Pin::Exact {
            let old = chunk.pin;
            (chunk.bytes, chunk.pin) = blocks.copy(&chunk.bytes);
            blocks.unpin(old, chunk.len());
        }
    }
}

/// Chunks below this size are joined with their neighbours when there are too many.
const SMALL: usize = 1 << 10;
/// Joined chunks grow up to this size.
const JOINED: usize = 4 << 10;

/// Copies neighbouring small chunks of one path together.
pub(super) fn join_small(chunks: &mut Chunks, blocks: &mut Blocks) {
    let mut joined = Chunks::with_capacity(chunks.len());
    let mut buffer = BytesMut::new();
    while let Some(first) = chunks.pop_front() {
        let mut total = first.bytes.len();
        let mut others = 0;
        while let Some(next) = chunks.get(others)
            && next.path == first.path
            && next.bytes.len() < SMALL
            && first.bytes.len() < SMALL
            && total + next.bytes.len() <= JOINED
        {
            total += next.bytes.len();
            others += 1;
        }
        if others == 0 {
            joined.push_back(first);
            continue;
        }
        buffer.reserve(total);
        let Chunk { start, path, mut arrived, .. } = first;
        for chunk in std::iter::once(first).chain(chunks.drain(..others)) {
            buffer.extend_from_slice(&chunk.bytes);
            arrived = arrived.min(chunk.arrived);
            blocks.unpin(chunk.pin, chunk.len());
        }
        let (bytes, pin) = blocks.copy(&buffer);
        buffer.clear();
        joined.push_back(Chunk { bytes, start, pin, path, arrived });
    }
    *chunks = joined;
}

/// Distance from `start` to `at`, both within one chunk.
pub(super) fn offset_in(start: u64, at: u64) -> usize {
    usize::try_from(at - start).expect("a chunk is shorter than the address space")
}
