//! Writes varints (unsigned LEB128), always in their shortest form.

use bytes::BufMut;

/// Bytes that the longest varint takes.
pub(crate) const MAX_LEN: usize = 10;

#[inline]
pub(crate) fn put(mut value: u64, out: &mut impl BufMut) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Bytes that `value` takes.
#[inline]
pub(crate) const fn len(value: u64) -> usize {
    // Seven bits a byte; 0 takes one byte as well.
    ((70 - (value | 1).leading_zeros()) / 7) as usize
}
