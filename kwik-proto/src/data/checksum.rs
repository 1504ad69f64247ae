//! CRC32C of a contribution's frames.

use crc_fast::{CrcAlgorithm, Digest};

use crate::id::{Offset, StreamId};

/// The CRC32C (Castagnoli) of a frame: over stream id, offset, fin (0 or 1) and length, each as an eight-byte
/// little-endian word, and then the payload, in as many pieces as it has.
///
/// It guards against what happens to bytes outside QUIC's protection (a bad disk cache, a bad buffer), not against
/// malice.
///
/// ```
/// # use kwik_proto::{data::checksum, Offset, StreamId};
/// let stream = StreamId::from_wire(1).expect("below 2^62");
/// let whole = checksum(stream, Offset::ZERO, false, 4, [&b"abcd"[..]]);
/// assert_eq!(whole, checksum(stream, Offset::ZERO, false, 4, [&b"ab"[..], b"cd"]));
/// ```
pub fn checksum<'a>(
    stream: StreamId,
    offset: Offset,
    fin: bool,
    length: usize,
    payload: impl IntoIterator<Item = &'a [u8]>,
) -> u32 {
    let mut sum = Checksum::new();
    sum.start(stream, offset, fin, length);
    payload.into_iter().for_each(|piece| sum.update(piece));
    sum.value()
}

/// The checksum of a frame whose payload comes in pieces.
#[derive(Debug)]
pub(super) struct Checksum(Digest);

impl Checksum {
    pub(super) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Begins a frame.
    pub(super) fn start(&mut self, stream: StreamId, offset: Offset, fin: bool, length: usize) {
        self.0.reset();
        let mut words = [0; 32];
        let values = [stream.value(), offset.value(), u64::from(fin), length as u64];
        for (word, value) in words.chunks_exact_mut(8).zip(values) {
            word.copy_from_slice(&value.to_le_bytes());
        }
        self.0.update(&words);
    }

    #[inline]
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The checksum of everything since [`start`](Self::start).
    pub(super) fn value(&self) -> u32 {
        self.0.finalize() as u32
    }
}
