//! The head of a data frame as senders write it: parsed in place, without a cursor.
//!
//! Nearly every frame begins so, and the general parser takes three times as long for it. This one knows no errors:
//! whatever it does not take, the general parser judges.

use super::head::Head;
use super::{field, max_payload};
use crate::frame::CarrierKind;
use crate::id::{Offset, StreamId};

/// The head at the start of `bytes`, if it has this version's fields alone, in the order of their numbers, and is all
/// there. `None` says nothing: it may be another head, a part of one, or a wrong one.
#[inline]
pub(super) fn parse(bytes: &[u8], kind: CarrierKind) -> Option<Head> {
    let mut rest = Rest { bytes, index: 0 };
    let size = rest.varint()?;
    let start = rest.index as u64;
    let stream = rest.field(field::STREAM_ID)?;
    let offset = rest.field(field::OFFSET)?;
    let fin = rest.field(field::FIN)?;
    let crc32c = match kind {
        CarrierKind::Public => None,
        CarrierKind::Contribution => Some(rest.checksum()?),
    };
    if !rest.take(field::PAYLOAD)? {
        return None;
    }
    let length = rest.varint()?;
    let fills = rest.index as u64 + length == start + size;
    let allowed = fin == 0 || fin == 1 && kind == CarrierKind::Public;
    if !fills || !allowed || length > max_payload(kind) as u64 {
        return None;
    }
    let (stream, offset) = (StreamId::from_wire(stream)?, Offset::new(offset)?);
    let end = offset.checked_add(length)?;
    let (length, size) = (length as usize, rest.index);
    Some(Head { stream, offset, end, fin: fin == 1, crc32c, length, size })
}

struct Rest<'a> {
    bytes: &'a [u8],
    index: usize,
}

impl Rest<'_> {
    /// Whether the next byte is this tag, which is then taken.
    #[inline]
    fn take(&mut self, tag: u8) -> Option<bool> {
        let found = *self.bytes.get(self.index)? == tag;
        self.index += usize::from(found);
        Some(found)
    }

    /// The number in the field with that tag; 0 if another field comes next.
    #[inline]
    fn field(&mut self, tag: u8) -> Option<u64> {
        if self.take(tag)? { self.varint() } else { Some(0) }
    }

    /// The checksum, which has to come next.
    #[inline]
    fn checksum(&mut self) -> Option<u32> {
        if !self.take(field::CRC32C)? {
            return None;
        }
        let bytes = self.bytes.get(self.index..)?.first_chunk()?;
        self.index += bytes.len();
        Some(u32::from_le_bytes(*bytes))
    }

    /// A varint of up to eight bytes in its shortest form, read as one word; `None` where fewer bytes are at hand.
    #[inline]
    fn varint(&mut self) -> Option<u64> {
        let first = *self.bytes.get(self.index)?;
        if first < 0x80 {
            self.index += 1;
            return Some(u64::from(first));
        }
        let word = u64::from_le_bytes(*self.bytes.get(self.index..)?.first_chunk()?);
        // The first byte without the high bit ends the varint.
        let stops = !word & 0x8080_8080_8080_8080;
        if stops == 0 {
            return None;
        }
        let bits = stops.trailing_zeros() + 1;
        let word = word & u64::MAX >> (64 - bits);
        if word >> (bits - 8) == 0 {
            return None;
        }
        self.index += bits as usize / 8;
        Some(join_groups(word))
    }
}

/// Moves the seven low bits of every byte together.
#[inline]
const fn join_groups(word: u64) -> u64 {
    let word = word & 0x007f_007f_007f_007f | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let word = word & 0x0000_3fff_0000_3fff | (word & 0x3fff_0000_3fff_0000) >> 2;
    word & 0x0fff_ffff | (word & 0x0fff_ffff_0000_0000) >> 4
}

#[cfg(test)]
mod tests;
