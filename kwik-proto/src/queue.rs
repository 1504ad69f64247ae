//! Bytes that arrived and were not decoded yet, in the chunks in which they came.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// A first-in-first-out list of chunks that knows how far into its QUIC stream it is.
///
/// It has no cap of its own: its owner pushes only what it reads, and takes all that can be decoded after each push, so
/// that less than one frame stays. [`compact`](Self::compact) bounds the chunks of that.
#[derive(Debug, Default)]
pub(crate) struct ChunkQueue {
    chunks: VecDeque<Bytes>,
    len: usize,
    taken: u64,
}

impl ChunkQueue {
    #[inline]
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the first byte stands in the QUIC stream.
    #[inline]
    pub(crate) fn at(&self) -> u64 {
        self.taken
    }

    /// The first chunk; empty when there is none.
    #[inline]
    pub(crate) fn front(&self) -> &[u8] {
        self.chunks.front().map_or(&[], |chunk| chunk)
    }

    /// Copies the first bytes without taking them; returns how many there were.
    pub(crate) fn peek(&self, out: &mut [u8]) -> usize {
        let mut filled = 0;
        for chunk in &self.chunks {
            let count = chunk.len().min(out.len() - filled);
            out[filled..filled + count].copy_from_slice(&chunk[..count]);
            filled += count;
            if filled == out.len() {
                break;
            }
        }
        filled
    }

    /// Takes the next bytes as they came: at most `limit`, and at most the first chunk.
    #[inline]
    pub(crate) fn take_chunk(&mut self, limit: usize) -> Option<Bytes> {
        let front = self.chunks.front_mut()?;
        let chunk =
            if front.len() <= limit { self.chunks.pop_front()? } else { front.split_to(limit) };
        self.len -= chunk.len();
        self.taken += chunk.len() as u64;
        Some(chunk)
    }

    /// Drops up to `count` bytes; returns how many there were.
    #[inline]
    pub(crate) fn skip(&mut self, count: usize) -> usize {
        let mut left = count;
        while left > 0 {
            let Some(front) = self.chunks.front_mut() else { break };
            if front.len() > left {
                front.advance(left);
                left = 0;
            } else {
                left -= front.len();
                self.chunks.pop_front();
            }
        }
        let skipped = count - left;
        self.len -= skipped;
        self.taken += skipped as u64;
        skipped
    }

    /// Copies what there is into one chunk if it lies in more than `most`.
    pub(crate) fn compact(&mut self, most: usize) {
        if self.chunks.len() > most {
            let mut whole = BytesMut::with_capacity(self.len);
            self.chunks.drain(..).for_each(|chunk| whole.extend_from_slice(&chunk));
            self.chunks.push_back(whole.freeze());
        }
    }

    /// Takes exactly `count` bytes in one piece, copied only if they came in several; `None` if they are not all there.
    pub(crate) fn take_contiguous(&mut self, count: usize) -> Option<Bytes> {
        if self.len < count {
            return None;
        }
        if self.front().len() >= count {
            return self.take_chunk(count);
        }
        let mut whole = BytesMut::with_capacity(count);
        while whole.len() < count {
            whole.extend_from_slice(&self.take_chunk(count - whole.len())?);
        }
        Some(whole.freeze())
    }
}
