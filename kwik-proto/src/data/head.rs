//! Everything of a data frame before its payload's bytes.

use super::{MAX_FRAME_HEAD, max_payload};
use crate::error::{DecodeError, InvalidField, Problem};
use crate::frame::CarrierKind;
use crate::id::{MAX_VARINT, Offset, StreamId};
use crate::reader::{Extent, FIXED32, Form, LENGTH_DELIMITED, Reader, Stop, Tag, VARINT};

/// A frame without its payload, every limit checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) stream: StreamId,
    pub(super) offset: Offset,
    /// `offset + length`.
    pub(super) end: Offset,
    pub(super) fin: bool,
    pub(super) crc32c: Option<u32>,
    /// Bytes of payload.
    pub(super) length: usize,
    /// Bytes that the head takes.
    pub(super) size: usize,
}

/// Decodes the head at the start of `bytes`, of which no more than [`MAX_FRAME_HEAD`] are looked at.
pub(super) fn parse(bytes: &[u8], base: u64, kind: CarrierKind) -> Result<Head, Stop> {
    let window = &bytes[..bytes.len().min(MAX_FRAME_HEAD)];
    let mut reader = Reader::new(window, base, Extent::Partial, Form::Shortest);
    let size = reader.varint("DataFrame")?;
    let limit = (max_payload(kind) + MAX_FRAME_HEAD) as u64;
    if size > limit {
        return Err(DecodeError::TooLarge { field: "DataFrame", size, limit, at: base }.into());
    }
    let end = reader.index() + size as usize;
    reader.end_at(end);
    let result = Fields::read_all(&mut reader, end, kind);
    match result {
        Err(Stop::More) if window.len() == MAX_FRAME_HEAD => Err(DecodeError::TooLarge {
            field: "DataFrame before its payload",
            size: size.min(end as u64),
            limit: MAX_FRAME_HEAD as u64,
            at: base,
        }
        .into()),
        Err(stop) => Err(stop),
        Ok(fields) => Ok(fields.head(base, reader.index(), kind)?),
    }
}

#[derive(Default)]
struct Fields {
    stream: Option<u64>,
    offset: Option<u64>,
    fin: Option<u64>,
    crc32c: Option<u32>,
    length: usize,
}

impl Fields {
    #[inline]
    fn read_all(reader: &mut Reader<'_>, end: usize, kind: CarrierKind) -> Result<Self, Stop> {
        let mut fields = Self::default();
        while reader.index() < end {
            let tag = reader.tag("DataFrame")?;
            match tag.number {
                1 => number(&mut fields.stream, tag, reader, "DataFrame.stream_id", MAX_VARINT)?,
                2 => number(&mut fields.offset, tag, reader, "DataFrame.offset", MAX_VARINT)?,
                3 => fields.read_fin(tag, reader, kind)?,
                4 => fields.read_checksum(tag, reader, kind)?,
                15 => {
                    fields.length = payload_length(tag, reader, end, kind)?;
                    break;
                }
                _ => reader.skip(tag, "DataFrame")?,
            }
        }
        Ok(fields)
    }

    fn read_fin(
        &mut self,
        tag: Tag,
        reader: &mut Reader<'_>,
        kind: CarrierKind,
    ) -> Result<(), Stop> {
        number(&mut self.fin, tag, reader, "DataFrame.fin", 1)?;
        match (kind, self.fin) {
            (CarrierKind::Contribution, Some(1)) => {
                Err(DecodeError::FinNotAllowed { at: tag.at }.into())
            }
            _ => Ok(()),
        }
    }

    #[inline]
    fn read_checksum(
        &mut self,
        tag: Tag,
        reader: &mut Reader<'_>,
        kind: CarrierKind,
    ) -> Result<(), Stop> {
        let field = "DataFrame.crc32c";
        if kind == CarrierKind::Public {
            return Err(DecodeError::ChecksumNotAllowed { at: tag.at }.into());
        }
        if self.crc32c.is_some() {
            return Err(DecodeError::FieldTwice { field, at: tag.at }.into());
        }
        tag.expect(FIXED32, field)?;
        self.crc32c = Some(reader.fixed32(field)?);
        Ok(())
    }

    #[inline]
    fn head(self, at: u64, size: usize, kind: CarrierKind) -> Result<Head, DecodeError> {
        if kind == CarrierKind::Contribution && self.crc32c.is_none() {
            return Err(DecodeError::ChecksumMissing { at });
        }
        let (offset, length) = (self.offset.unwrap_or(0), self.length as u64);
        let overflow = DecodeError::OffsetOverflow { offset, length, at };
        let Some(offset) = Offset::new(offset) else { return Err(overflow) };
        let Some(end) = offset.checked_add(length) else { return Err(overflow) };
        let stream = StreamId::from_wire(self.stream.unwrap_or(0))
            .expect("the id was compared with the largest when it was read");
        let (fin, crc32c) = (self.fin == Some(1), self.crc32c);
        Ok(Head { stream, offset, end, fin, crc32c, length: self.length, size })
    }
}

/// A varint field of at most `max`, once.
#[inline]
fn number(
    slot: &mut Option<u64>,
    tag: Tag,
    reader: &mut Reader<'_>,
    field: &'static str,
    max: u64,
) -> Result<(), Stop> {
    if slot.is_some() {
        return Err(DecodeError::FieldTwice { field, at: tag.at }.into());
    }
    tag.expect(VARINT, field)?;
    let value = reader.varint(field)?;
    if value > max {
        let problem = Problem::OutOfRange { value, min: 0, max };
        let invalid = InvalidField { field, problem };
        return Err(DecodeError::Invalid { invalid, at: tag.at }.into());
    }
    *slot = Some(value);
    Ok(())
}

/// The length of the payload, which is the rest of a frame that ends at byte `end`.
#[inline]
fn payload_length(
    tag: Tag,
    reader: &mut Reader<'_>,
    end: usize,
    kind: CarrierKind,
) -> Result<usize, Stop> {
    let field = "DataFrame.payload";
    tag.expect(LENGTH_DELIMITED, field)?;
    let at = reader.at();
    let length = reader.varint(field)?;
    let limit = max_payload(kind) as u64;
    if length > limit {
        return Err(DecodeError::TooLarge { field, size: length, limit, at }.into());
    }
    let rest = (end - reader.index()) as u64;
    if length > rest {
        return Err(DecodeError::PayloadOverrun { length, rest, at }.into());
    }
    if length < rest {
        return Err(DecodeError::PayloadNotLast { rest: rest - length, at }.into());
    }
    Ok(length as usize)
}
