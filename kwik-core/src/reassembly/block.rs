//! Which buffers the held bytes keep alive.

use bytes::Bytes;
use slab::Slab;

/// Where the next payload of a source is likely to lie: in the same buffer as the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Buffer {
    /// Size of the buffer.
    size: u64,
    /// Bytes of it that payloads have used, kept or not.
    used: u64,
    /// Its entry in [`Blocks`], if one of its payloads was kept.
    block: Option<(u32, u64)>,
}

impl Buffer {
    /// The next payload has `len` bytes in a buffer of `size`: the same one if it still fits in.
    fn advance(&mut self, len: u64, size: u64) {
        if size == self.size && self.used + len <= size {
            self.used += len;
        } else {
            *self = Self { size, used: len, block: None };
        }
    }
}

/// What a chunk keeps alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pin {
    /// A buffer of exactly its own bytes.
    Exact,
    /// A counted share of a larger buffer.
    Shared(u32),
}

#[derive(Debug)]
struct Block {
    /// Bytes of memory.
    size: u64,
    /// Chunks that keep it alive.
    chunks: u32,
    /// Tells it from earlier users of the same slot.
    id: u64,
}

/// The account of pinned memory: every buffer once, as long as one chunk lies in it.
#[derive(Debug)]
pub(super) struct Blocks {
    blocks: Slab<Block>,
    next_id: u64,
    /// Bytes of memory kept alive.
    pinned: u64,
    peak: u64,
    /// Most bytes of memory to keep alive.
    bound: u64,
    /// Chunks that are held.
    chunks: usize,
    /// Bytes copied to let go of larger buffers.
    copied: u64,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            blocks: Slab::new(),
            next_id: 0,
            pinned: 0,
            peak: 0,
            bound: u64::MAX,
            chunks: 0,
            copied: 0,
        }
    }
}

impl Blocks {
    pub(super) fn pinned(&self) -> u64 {
        self.pinned
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    pub(super) fn chunks(&self) -> usize {
        self.chunks
    }

    pub(super) fn copied(&self) -> u64 {
        self.copied
    }

    pub(super) fn set_bound(&mut self, bound: u64) {
        self.bound = bound;
    }

    pub(super) fn is_over_bound(&self) -> bool {
        self.pinned > self.bound
    }

    /// The bytes of a payload that fill their buffer: nothing to look up.
    #[inline]
    pub(super) fn pin_exact(&mut self, len: u64) -> Pin {
        self.chunks += 1;
        self.grow(len);
        Pin::Exact
    }

    /// A new payload begins; its pieces are pinned one by one.
    pub(super) fn begin(&mut self, buffer: &mut Buffer, len: u64, size: u64) {
        buffer.advance(len, size.max(len));
    }

    /// Pins one piece of the payload that began last; copies it where its buffer would pass the bound.
    pub(super) fn pin(&mut self, buffer: &mut Buffer, piece: Bytes) -> (Bytes, Pin) {
        if let Some((key, id)) = buffer.block
            && let Some(block) = self.blocks.get_mut(key as usize)
            && block.id == id
        {
            block.chunks += 1;
            self.chunks += 1;
            return (piece, Pin::Shared(key));
        }
        let size = buffer.size.max(piece.len() as u64);
        if self.pinned.saturating_add(size) > self.bound && size > piece.len() as u64 {
            return self.copy(&piece);
        }
        let key = self.open(size, 1);
        buffer.block = Some((key, self.next_id));
        self.chunks += 1;
        (piece, Pin::Shared(key))
    }

    /// Copies a piece into a buffer of its own.
    pub(super) fn copy(&mut self, piece: &[u8]) -> (Bytes, Pin) {
        self.copied += piece.len() as u64;
        let pin = self.pin_exact(piece.len() as u64);
        (Bytes::copy_from_slice(piece), pin)
    }

    /// A chunk of `len` bytes is cut in two, and both halves stay.
    pub(super) fn split(&mut self, pin: Pin, len: u64) -> Pin {
        self.chunks += 1;
        match pin {
            Pin::Shared(key) => {
                if let Some(block) = self.blocks.get_mut(key as usize) {
                    block.chunks += 1;
                }
                pin
            }
            Pin::Exact => {
                self.pinned -= len;
                Pin::Shared(self.open(len, 2))
            }
        }
    }

    /// The front of a chunk of `len` bytes is read away: the rest keeps the whole buffer alive.
    pub(super) fn shorten(&mut self, pin: Pin, len: u64) -> Pin {
        match pin {
            Pin::Shared(_) => pin,
            Pin::Exact => {
                self.pinned -= len;
                Pin::Shared(self.open(len, 1))
            }
        }
    }

    /// A chunk of `len` bytes goes.
    #[inline]
    pub(super) fn unpin(&mut self, pin: Pin, len: u64) {
        self.chunks -= 1;
        match pin {
            Pin::Exact => self.pinned -= len,
            Pin::Shared(key) => self.unpin_shared(key),
        }
    }

    fn unpin_shared(&mut self, key: u32) {
        let Some(block) = self.blocks.get_mut(key as usize) else { return };
        block.chunks -= 1;
        if block.chunks == 0 {
            self.pinned -= block.size;
            self.blocks.remove(key as usize);
        }
    }

    fn open(&mut self, size: u64, chunks: u32) -> u32 {
        self.next_id += 1;
        self.grow(size);
        let key = self.blocks.insert(Block { size, chunks, id: self.next_id });
        u32::try_from(key).expect("fewer than 2^32 buffers fit in memory")
    }

    #[inline]
    fn grow(&mut self, bytes: u64) {
        self.pinned += bytes;
        self.peak = self.peak.max(self.pinned);
    }
}
