//! Streams and pumps over real connections on the loopback.
#![allow(clippy::unwrap_used, missing_docs)]

mod contribution;
mod end;
mod header;
mod public;
mod traits;

/// Bytes that tell their offset, so that a misplaced one shows.
fn pattern(start: u64, length: usize) -> bytes::Bytes {
    let first = start / 8 * 8;
    let skip = (start - first) as usize;
    let mut bytes = Vec::with_capacity(length + 16);
    while bytes.len() < skip + length {
        let at = first + bytes.len() as u64;
        bytes.extend_from_slice(&at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    }
    bytes::Bytes::from(bytes).slice(skip..skip + length)
}
