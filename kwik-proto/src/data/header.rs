//! The first message on a carrier.

use bytes::{BufMut, BytesMut};

use super::{MAX_STREAM_HEADER, field, nonzero_len, put_nonzero};
use crate::error::{DecodeError, InvalidField, Problem};
use crate::frame::{CarrierKind, StreamHeader};
use crate::id::{ByteRange, DelegationId, MAX_VARINT, Offset, StreamId};
use crate::reader::{Extent, FIXED32, Form, LENGTH_DELIMITED, Reader, Stop, Tag, VARINT};
use crate::varint;

/// Writes the first message of a carrier, with its length prefix.
///
/// ```
/// # use bytes::BytesMut;
/// # use kwik_proto::{data::encode_stream_header, frame::{CarrierKind, StreamHeader}, StreamId};
/// let stream = StreamId::from_wire(4).expect("below 2^62");
/// let header = StreamHeader { stream, kind: CarrierKind::Public, delegation: None, promised: None };
/// let mut out = BytesMut::new();
/// encode_stream_header(&header, &mut out);
/// assert_eq!(&out[..], [4, 1 << 3, 4, 2 << 3, 1]);
/// ```
pub fn encode_stream_header(header: &StreamHeader, out: &mut BytesMut) {
    let promised = header.promised.map(|range| (range, range_len(range)));
    let size = nonzero_len(header.stream.value())
        + nonzero_len(kind_number(header.kind))
        + header.delegation.map_or(0, |id| 1 + varint::len(id.0))
        + promised.map_or(0, |(_, len)| 1 + varint::len(len as u64) + len);
    varint::put(size as u64, out);
    put_nonzero(field::STREAM_ID, header.stream.value(), out);
    put_nonzero(field::KIND, kind_number(header.kind), out);
    if let Some(id) = header.delegation {
        out.put_u8(field::DELEGATION_ID);
        varint::put(id.0, out);
    }
    if let Some((range, len)) = promised {
        out.put_u8(field::PROMISED);
        varint::put(len as u64, out);
        put_nonzero(field::START, range.start().value(), out);
        put_nonzero(field::LENGTH, range.len(), out);
    }
}

fn range_len(range: ByteRange) -> usize {
    nonzero_len(range.start().value()) + nonzero_len(range.len())
}

const fn kind_number(kind: CarrierKind) -> u64 {
    match kind {
        CarrierKind::Public => 1,
        CarrierKind::Contribution => 2,
    }
}

/// Decodes the header at the start of `bytes`; returns it with its size.
pub(super) fn parse(bytes: &[u8], base: u64) -> Result<(StreamHeader, usize), Stop> {
    let mut reader = Reader::new(bytes, base, Extent::Partial, Form::Shortest);
    let size = reader.varint("StreamHeader")?;
    let end = (reader.index() as u64).saturating_add(size);
    if end > MAX_STREAM_HEADER as u64 {
        let limit = (MAX_STREAM_HEADER - reader.index()) as u64;
        return Err(DecodeError::TooLarge { field: "StreamHeader", size, limit, at: base }.into());
    }
    let end = end as usize;
    reader.end_at(end);
    let mut fields = Fields::default();
    while reader.index() < end {
        let tag = reader.tag("StreamHeader")?;
        fields.read(tag, &mut reader)?;
    }
    Ok((fields.header(base)?, end))
}

#[derive(Default)]
struct Fields {
    stream: Option<u64>,
    kind: Option<u64>,
    delegation: Option<u64>,
    promised: Option<ByteRange>,
}

impl Fields {
    fn read(&mut self, tag: Tag, reader: &mut Reader<'_>) -> Result<(), Stop> {
        match tag.number {
            1 => once(&mut self.stream, tag, reader, "StreamHeader.stream_id"),
            2 => once(&mut self.kind, tag, reader, "StreamHeader.kind"),
            3 => once(&mut self.delegation, tag, reader, "StreamHeader.delegation_id"),
            // A DataFrame's checksum: the header was left out.
            4 if tag.wire_type == FIXED32 => Err(DecodeError::HeaderMissing { at: tag.at }.into()),
            4 => {
                let field = "StreamHeader.promised";
                tag.expect(LENGTH_DELIMITED, field)?;
                let range = parse_range(tag, reader)?;
                if self.promised.replace(range).is_some() {
                    return Err(DecodeError::FieldTwice { field, at: tag.at }.into());
                }
                Ok(())
            }
            // A DataFrame's payload: the header was left out.
            15 => Err(DecodeError::HeaderMissing { at: tag.at }.into()),
            _ => reader.skip(tag, "StreamHeader"),
        }
    }

    fn header(self, at: u64) -> Result<StreamHeader, DecodeError> {
        let stream = self.stream.unwrap_or(0);
        Ok(StreamHeader {
            stream: StreamId::from_wire(stream)
                .ok_or_else(|| above_max("StreamHeader.stream_id", stream, at))?,
            kind: carrier_kind(self.kind.unwrap_or(0), at)?,
            delegation: match self.delegation {
                Some(id) if id > MAX_VARINT => {
                    return Err(above_max("StreamHeader.delegation_id", id, at));
                }
                id => id.map(DelegationId),
            },
            promised: self.promised,
        })
    }
}

fn once(
    slot: &mut Option<u64>,
    tag: Tag,
    reader: &mut Reader<'_>,
    field: &'static str,
) -> Result<(), Stop> {
    if slot.is_some() {
        return Err(DecodeError::FieldTwice { field, at: tag.at }.into());
    }
    tag.expect(VARINT, field)?;
    *slot = Some(reader.varint(field)?);
    Ok(())
}

fn carrier_kind(number: u64, at: u64) -> Result<CarrierKind, DecodeError> {
    let problem = match number {
        1 => return Ok(CarrierKind::Public),
        2 => return Ok(CarrierKind::Contribution),
        0 => Problem::Missing,
        other => Problem::UnknownValue { value: i32::try_from(other).unwrap_or(i32::MAX) },
    };
    Err(DecodeError::Invalid { invalid: InvalidField { field: "StreamHeader.kind", problem }, at })
}

fn above_max(field: &'static str, value: u64, at: u64) -> DecodeError {
    let problem = Problem::OutOfRange { value, min: 0, max: MAX_VARINT };
    DecodeError::Invalid { invalid: InvalidField { field, problem }, at }
}

fn parse_range(tag: Tag, reader: &mut Reader<'_>) -> Result<ByteRange, Stop> {
    let body = reader.delimited("StreamHeader.promised")?;
    let base = reader.at() - body.len() as u64;
    let mut inner = Reader::new(body, base, Extent::Whole, Form::Shortest);
    let (mut start, mut length) = (None, None);
    while !inner.is_empty() {
        let tag = inner.tag("StreamHeader.promised")?;
        match tag.number {
            1 => once(&mut start, tag, &mut inner, "StreamHeader.promised.start")?,
            2 => once(&mut length, tag, &mut inner, "StreamHeader.promised.length")?,
            _ => inner.skip(tag, "StreamHeader.promised")?,
        }
    }
    let start = start.unwrap_or(0);
    let range =
        Offset::new(start).and_then(|start| ByteRange::with_length(start, length.unwrap_or(0)));
    range.ok_or_else(|| {
        let problem = Problem::BadRange { start };
        let invalid = InvalidField { field: "StreamHeader.promised", problem };
        DecodeError::Invalid { invalid, at: tag.at }.into()
    })
}
