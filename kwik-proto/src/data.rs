//! The data plane: what every QUIC stream but the control stream carries.
//!
//! A carrier begins with a [`StreamHeader`](crate::frame::StreamHeader); frames follow. A frame's payload is its last
//! field, so that a sender writes a [`DataHeader`] and then the payload as it is, and a receiver takes the payload out of the
//! chunks that QUIC gave it, both without a copy. `proto/kwik/v1/data.proto` defines the messages.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use kwik_proto::data::{self, DataDecoder, DataEvent, DataHeader};
//! use kwik_proto::frame::{CarrierKind, StreamHeader};
//! use kwik_proto::{Offset, StreamId};
//!
//! let stream = StreamId::from_wire(1).expect("below 2^62");
//! let header =
//!     StreamHeader { stream, kind: CarrierKind::Contribution, delegation: None, promised: None };
//! let payload = Bytes::from_static(b"bytes of the stream");
//! let offset = Offset::ZERO;
//! let crc32c = data::checksum(stream, offset, false, payload.len(), [&payload[..]]);
//!
//! let mut out = BytesMut::new();
//! data::encode_stream_header(&header, &mut out);
//! DataHeader { stream, offset, fin: false, length: payload.len(), crc32c: Some(crc32c) }
//!     .encode(&mut out);
//!
//! let mut decoder = DataDecoder::new();
//! decoder.push(out.freeze());
//! decoder.push(payload.clone());
//! assert_eq!(decoder.poll()?, Some(DataEvent::Header(header)));
//! assert_eq!(decoder.poll()?, Some(DataEvent::Chunk { offset, payload }));
//! assert_eq!(decoder.poll()?, None);
//! decoder.finish()?;
//! # Ok::<(), kwik_proto::DecodeError>(())
//! ```

mod checksum;
mod decoder;
mod head;
mod header;
mod usual;

use bytes::{BufMut, BytesMut};

pub use checksum::checksum;
pub use decoder::{DataDecoder, DataEvent};
pub use header::encode_stream_header;

use crate::frame::CarrierKind;
use crate::id::{Offset, StreamId};
use crate::varint;

/// Most bytes of payload in one frame of a contribution. They are held until the checksum matched, so a larger frame
/// would cost the client more memory per contribution.
pub const MAX_CONTRIBUTION_PAYLOAD: usize = 64 * 1024;

/// Most bytes of payload in one frame of a public stream.
pub const MAX_PUBLIC_PAYLOAD: usize = 1024 * 1024;

/// Most bytes of a carrier's first message, its length prefix included.
pub const MAX_STREAM_HEADER: usize = 256;

/// Most bytes of a frame before its payload: length prefix, all fields (also those of later versions), and the tag and
/// length of the payload.
pub const MAX_FRAME_HEAD: usize = 256;

/// Most bytes of payload in one frame of such a carrier.
///
/// ```
/// use kwik_proto::{data, frame::CarrierKind};
/// assert_eq!(data::max_payload(CarrierKind::Contribution), 64 * 1024);
/// ```
pub const fn max_payload(kind: CarrierKind) -> usize {
    match kind {
        CarrierKind::Public => MAX_PUBLIC_PAYLOAD,
        CarrierKind::Contribution => MAX_CONTRIBUTION_PAYLOAD,
    }
}

pub(crate) mod field {
    //! Tags of `DataFrame` and `StreamHeader`: field number and wire type in one byte.

    pub(crate) const STREAM_ID: u8 = 1 << 3;
    pub(crate) const OFFSET: u8 = 2 << 3;
    pub(crate) const FIN: u8 = 3 << 3;
    pub(crate) const CRC32C: u8 = 4 << 3 | 5;
    pub(crate) const PAYLOAD: u8 = 15 << 3 | 2;

    pub(crate) const KIND: u8 = 2 << 3;
    pub(crate) const DELEGATION_ID: u8 = 3 << 3;
    pub(crate) const PROMISED: u8 = 4 << 3 | 2;

    pub(crate) const START: u8 = 1 << 3;
    pub(crate) const LENGTH: u8 = 2 << 3;
}

/// Everything of a `DataFrame` but the payload's bytes, which follow it on the carrier as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHeader {
    /// The KWIK stream; the same as in the carrier's header.
    pub stream: StreamId,
    /// Offset of the payload's first byte. `offset + length` is at most 2^62 - 1.
    pub offset: Offset,
    /// Whether `offset + length` is the final size. Never on a contribution.
    pub fin: bool,
    /// Bytes of payload that follow: at most [`max_payload`] of the carrier's kind.
    pub length: usize,
    /// [`checksum`] of the frame: needed on a contribution, not allowed on a public stream.
    pub crc32c: Option<u32>,
}

impl DataHeader {
    /// Most bytes that [`encode`](Self::encode) writes: the length prefix (5), stream id and offset (1 + 9 each), fin (2),
    /// checksum (5), tag and length of the payload (1 + 5).
    pub const MAX_ENCODED: usize = 5 + 10 + 10 + 2 + 5 + 6;

    /// Writes length prefix, fields, and the payload's tag and length. Exactly `length` bytes of payload must follow.
    ///
    /// The caller keeps the limits that the fields name; in a debug build they are asserted.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kwik_proto::{data::DataHeader, Offset, StreamId};
    /// let stream = StreamId::from_wire(5).expect("below 2^62");
    /// let mut out = BytesMut::new();
    /// DataHeader { stream, offset: Offset::ZERO, fin: true, length: 0, crc32c: None }.encode(&mut out);
    /// assert_eq!(&out[..], [6, 1 << 3, 5, 3 << 3, 1, 15 << 3 | 2, 0]);
    /// ```
    pub fn encode(&self, out: &mut BytesMut) {
        debug_assert!(self.length <= MAX_PUBLIC_PAYLOAD, "payload above the limit");
        debug_assert!(self.offset.checked_add(self.length as u64).is_some(), "end above 2^62 - 1");
        let mut buffer = [0; Self::MAX_ENCODED];
        let mut rest = &mut buffer[..];
        varint::put((self.fields_len() + self.length) as u64, &mut rest);
        put_nonzero(field::STREAM_ID, self.stream.value(), &mut rest);
        put_nonzero(field::OFFSET, self.offset.value(), &mut rest);
        put_nonzero(field::FIN, u64::from(self.fin), &mut rest);
        if let Some(crc) = self.crc32c {
            rest.put_u8(field::CRC32C);
            rest.put_u32_le(crc);
        }
        rest.put_u8(field::PAYLOAD);
        varint::put(self.length as u64, &mut rest);
        let written = Self::MAX_ENCODED - rest.len();
        out.extend_from_slice(&buffer[..written]);
    }

    /// Bytes of the frame without its length prefix and payload.
    fn fields_len(&self) -> usize {
        nonzero_len(self.stream.value())
            + nonzero_len(self.offset.value())
            + nonzero_len(u64::from(self.fin))
            + if self.crc32c.is_some() { 5 } else { 0 }
            + 1
            + varint::len(self.length as u64)
    }
}

/// A number of zero is not written, as proto3 has it, so that any tool writes the same bytes.
fn put_nonzero(tag: u8, value: u64, out: &mut impl BufMut) {
    if value != 0 {
        out.put_u8(tag);
        varint::put(value, out);
    }
}

const fn nonzero_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint::len(value) }
}
