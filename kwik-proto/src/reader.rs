//! Reads protobuf's building blocks from bytes that may not all be there yet.

use crate::error::DecodeError;

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const LENGTH_DELIMITED: u8 = 2;
pub(crate) const FIXED32: u8 = 5;

const MAX_FIELD_NUMBER: u64 = (1 << 29) - 1;

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The bytes that would decide are not there yet.
    More,
    /// What is there is wrong.
    Wrong(DecodeError),
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Self {
        Self::Wrong(error)
    }
}

/// Whether more bytes may follow those that a reader has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// It is the whole message: running out is an error.
    Whole,
    /// More may come: running out means waiting.
    Partial,
}

/// Whether varints must be in their shortest form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Shortest,
    Any,
}

/// Field number, wire type, and where the tag stands.
#[derive(Clone, Copy)]
pub(crate) struct Tag {
    pub(crate) number: u32,
    pub(crate) wire_type: u8,
    pub(crate) at: u64,
}

impl Tag {
    /// Refuses the field unless it has the schema's wire type.
    #[inline]
    pub(crate) fn expect(self, expected: u8, field: &'static str) -> Result<(), DecodeError> {
        if self.wire_type == expected {
            return Ok(());
        }
        Err(DecodeError::WrongWireType { field, expected, actual: self.wire_type, at: self.at })
    }
}

/// A cursor over bytes whose first one stands at `base` in its QUIC stream.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    index: usize,
    base: u64,
    extent: Extent,
    form: Form,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], base: u64, extent: Extent, form: Form) -> Self {
        Self { bytes, index: 0, base, extent, form }
    }

    /// Bytes read so far.
    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Where the next byte stands in the QUIC stream.
    #[inline]
    pub(crate) fn at(&self) -> u64 {
        self.base + self.index as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.index == self.bytes.len()
    }

    /// Ends the reader at byte `end` of its message; beyond the bytes at hand nothing changes.
    pub(crate) fn end_at(&mut self, end: usize) {
        if let Some(message) = self.bytes.get(..end) {
            self.bytes = message;
            self.extent = Extent::Whole;
        }
    }

    fn ran_out(&self, field: &'static str, at: u64) -> Stop {
        match self.extent {
            Extent::Whole => DecodeError::Truncated { field, at }.into(),
            Extent::Partial => Stop::More,
        }
    }

    #[inline]
    pub(crate) fn varint(&mut self, field: &'static str) -> Result<u64, Stop> {
        match self.bytes.get(self.index) {
            Some(&byte) if byte < 0x80 => {
                self.index += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(field),
        }
    }

    fn long_varint(&mut self, field: &'static str) -> Result<u64, Stop> {
        let at = self.at();
        let mut value = 0u64;
        for place in 0..10 {
            let Some(&byte) = self.bytes.get(self.index + place) else {
                return Err(self.ran_out(field, at));
            };
            if place == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                if byte == 0 && place > 0 && self.form == Form::Shortest {
                    return Err(DecodeError::NonCanonicalVarint { field, at }.into());
                }
                self.index += place + 1;
                return Ok(value);
            }
        }
        Err(DecodeError::VarintOverflow { field, at }.into())
    }

    #[inline]
    pub(crate) fn tag(&mut self, message: &'static str) -> Result<Tag, Stop> {
        let at = self.at();
        let tag = self.varint(message)?;
        let (number, wire_type) = (tag >> 3, (tag & 7) as u8);
        let known = matches!(wire_type, VARINT | FIXED64 | LENGTH_DELIMITED | FIXED32);
        if number == 0 || number > MAX_FIELD_NUMBER || !known {
            return Err(DecodeError::InvalidTag { field: message, tag, at }.into());
        }
        Ok(Tag { number: number as u32, wire_type, at })
    }

    /// A field of `length` bytes.
    #[inline]
    pub(crate) fn bytes(&mut self, length: u64, field: &'static str) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.index..];
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let Some(taken) = taken else {
            return Err(self.ran_out(field, self.at()));
        };
        self.index += taken.len();
        Ok(taken)
    }

    #[inline]
    pub(crate) fn fixed32(&mut self, field: &'static str) -> Result<u32, Stop> {
        let bytes = self.bytes(4, field)?;
        Ok(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte)))
    }

    /// The content of a length-delimited field.
    pub(crate) fn delimited(&mut self, field: &'static str) -> Result<&'a [u8], Stop> {
        let length = self.varint(field)?;
        self.bytes(length, field)
    }

    /// Passes over a field that is of no interest.
    pub(crate) fn skip(&mut self, tag: Tag, message: &'static str) -> Result<(), Stop> {
        match tag.wire_type {
            VARINT => self.varint(message).map(drop),
            FIXED64 => self.bytes(8, message).map(drop),
            FIXED32 => self.bytes(4, message).map(drop),
            _ => self.delimited(message).map(drop),
        }
    }
}
