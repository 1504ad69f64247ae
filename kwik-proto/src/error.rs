//! What can be wrong with bytes from a peer, and with frames of our own.

use crate::frame::ErrorCode;
use crate::id::{Offset, StreamId};

/// A value that the protocol forbids: which field, and why.
///
/// Met when a frame is decoded (inside [`DecodeError::Invalid`]) and when a frame of one's own is checked before it is
/// sent ([`ControlFrame::validate`](crate::frame::ControlFrame::validate)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidField {
    /// The field, as `Message.field` of the schema.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// Why a field's value is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The field is needed and is not there.
    #[error("missing")]
    Missing,
    /// More bytes, or more entries, than the field takes.
    #[error("{size} is more than {limit}")]
    TooLong {
        /// Bytes or entries that there are.
        size: u64,
        /// Bytes or entries that there may be.
        limit: u64,
    },
    /// A field of fixed size has another.
    #[error("{size} bytes instead of {expected}")]
    WrongSize {
        /// Bytes that there are.
        size: u64,
        /// Bytes that there must be.
        expected: u64,
    },
    /// A number outside its range.
    #[error("{value} is not between {min} and {max}")]
    OutOfRange {
        /// The number.
        value: u64,
        /// The smallest that is allowed.
        min: u64,
        /// The largest that is allowed.
        max: u64,
    },
    /// A range that runs backwards or ends beyond 2^62 - 1.
    #[error("the range from {start} does not end between there and 2^62 - 1")]
    BadRange {
        /// Where it starts.
        start: u64,
    },
    /// A value of an enum that this version does not know.
    #[error("unknown value {value}")]
    UnknownValue {
        /// The value.
        value: i32,
    },
}

/// Why bytes are not what the protocol allows: what, in which field, how far in.
///
/// `at` counts the bytes of the QUIC stream from its start, up to the first byte of what is wrong. Fields are named
/// `Message.field` as in `proto/`. [`is_fatal`](Self::is_fatal) says whether the decoder can go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end inside the field: at the end of the stream, or of the message around it.
    #[error("{field} is cut off (byte {at})")]
    Truncated {
        /// Field or message.
        field: &'static str,
        /// Where it starts.
        at: u64,
    },
    /// A frame or payload is larger than allowed. Nothing was allocated for it.
    #[error("{field}: {size} bytes are more than {limit} (byte {at})")]
    TooLarge {
        /// Field or message.
        field: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The largest size in bytes.
        limit: u64,
        /// Where its length stands.
        at: u64,
    },
    /// A varint takes more bytes than its value needs.
    #[error("{field}: the varint is not in its shortest form (byte {at})")]
    NonCanonicalVarint {
        /// Field or message.
        field: &'static str,
        /// Where the varint starts.
        at: u64,
    },
    /// A varint does not fit 64 bits.
    #[error("{field}: the varint does not fit 64 bits (byte {at})")]
    VarintOverflow {
        /// Field or message.
        field: &'static str,
        /// Where the varint starts.
        at: u64,
    },
    /// A tag with field number 0, one above 2^29 - 1, or a wire type that does not exist any more.
    #[error("{field}: {tag} is no tag (byte {at})")]
    InvalidTag {
        /// The message.
        field: &'static str,
        /// The tag.
        tag: u64,
        /// Where it stands.
        at: u64,
    },
    /// A field has another wire type than the schema says.
    #[error("{field}: wire type {actual} instead of {expected} (byte {at})")]
    WrongWireType {
        /// The field.
        field: &'static str,
        /// What the schema says.
        expected: u8,
        /// What the tag says.
        actual: u8,
        /// Where the tag stands.
        at: u64,
    },
    /// A field that may occur once occurs again.
    #[error("{field} occurs twice (byte {at})")]
    FieldTwice {
        /// The field.
        field: &'static str,
        /// Where the second tag stands.
        at: u64,
    },
    /// Bytes of the frame follow its payload.
    #[error("DataFrame.payload is not last: {rest} bytes follow it (byte {at})")]
    PayloadNotLast {
        /// How many bytes of the frame follow.
        rest: u64,
        /// Where the payload's length stands.
        at: u64,
    },
    /// The payload is longer than what is left of its frame.
    #[error("DataFrame.payload: {length} bytes where {rest} are left of the frame (byte {at})")]
    PayloadOverrun {
        /// The payload's length in bytes.
        length: u64,
        /// What is left of the frame in bytes.
        rest: u64,
        /// Where the payload's length stands.
        at: u64,
    },
    /// `offset + length` passes 2^62 - 1.
    #[error(
        "DataFrame.offset: {length} bytes at {offset} end beyond 2^62 - 1 (frame at byte {at})"
    )]
    OffsetOverflow {
        /// The offset.
        offset: u64,
        /// The payload's length in bytes.
        length: u64,
        /// Where the frame starts.
        at: u64,
    },
    /// A contribution's frame has no checksum.
    #[error("DataFrame.crc32c: missing on a contribution (frame at byte {at})")]
    ChecksumMissing {
        /// Where the frame starts.
        at: u64,
    },
    /// A public stream's frame has a checksum.
    #[error("DataFrame.crc32c: not allowed on a public stream (byte {at})")]
    ChecksumNotAllowed {
        /// Where the field's tag stands.
        at: u64,
    },
    /// A contribution's frame does not have its checksum. The frame was dropped.
    #[error(
        "DataFrame.crc32c: {expected:#010x} on the wire, {actual:#010x} computed, for {length} bytes of stream {stream} at {offset} (frame at byte {at})"
    )]
    ChecksumMismatch {
        /// The stream, if the frame's head is to be believed.
        stream: StreamId,
        /// Offset of the payload, if the frame's head is to be believed.
        offset: Offset,
        /// Length of the payload in bytes.
        length: u64,
        /// The checksum on the wire.
        expected: u32,
        /// The checksum that the bytes have.
        actual: u32,
        /// Where the frame starts.
        at: u64,
    },
    /// A contribution's frame claims the stream's final size, which only the half's own sender may fix.
    #[error("DataFrame.fin: not allowed on a contribution (byte {at})")]
    FinNotAllowed {
        /// Where the field's tag stands.
        at: u64,
    },
    /// A frame names another stream than its carrier's header. The frame is being dropped.
    #[error(
        "DataFrame.stream_id: {frame} on a carrier of stream {header}, {length} bytes at {offset} (frame at byte {at})"
    )]
    StreamMismatch {
        /// The stream that the header named.
        header: StreamId,
        /// The stream that the frame names.
        frame: StreamId,
        /// Offset of the frame's payload.
        offset: Offset,
        /// Length of the frame's payload in bytes.
        length: u64,
        /// Where the frame starts.
        at: u64,
    },
    /// The carrier does not begin with a `StreamHeader`.
    #[error("StreamHeader: missing (byte {at})")]
    HeaderMissing {
        /// Where that was seen.
        at: u64,
    },
    /// A value that the protocol forbids.
    #[error("{invalid} (message at byte {at})")]
    Invalid {
        /// Which field, and why.
        invalid: InvalidField,
        /// Where the message starts.
        at: u64,
    },
    /// A control frame with a number that this version does not know, and that may not be skipped.
    #[error("ControlFrame: unknown critical frame {number} (byte {at})")]
    UnknownCriticalFrame {
        /// The frame's field number in `ControlFrame`.
        number: u32,
        /// Where its tag stands.
        at: u64,
    },
    /// A `ControlFrame` with more than one frame in it.
    #[error("ControlFrame: frame {second} after frame {first} (byte {at})")]
    TwoFrames {
        /// Field number of the first.
        first: u32,
        /// Field number of the second.
        second: u32,
        /// Where the second's tag stands.
        at: u64,
    },
    /// A text is not UTF-8.
    #[error("{field} is no UTF-8 (byte {at})")]
    NotText {
        /// The field.
        field: &'static str,
        /// The first byte that is none.
        at: u64,
    },
    /// A control message is no protobuf of its schema, in another way than those above.
    #[error("{message}: {cause} (message at byte {at})")]
    Malformed {
        /// The message.
        message: &'static str,
        /// Field and cause, as the protobuf decoder tells them.
        cause: Box<str>,
        /// Where the message starts.
        at: u64,
    },
}

impl DecodeError {
    /// Whether the decoder is lost: it repeats the error at every further call.
    ///
    /// [`StreamMismatch`](Self::StreamMismatch) and [`ChecksumMismatch`](Self::ChecksumMismatch) are not: the frame is
    /// dropped, and the next one is decoded as if nothing had happened.
    ///
    /// ```
    /// use kwik_proto::DecodeError;
    /// assert!(DecodeError::HeaderMissing { at: 0 }.is_fatal());
    /// ```
    pub const fn is_fatal(&self) -> bool {
        !matches!(self, Self::StreamMismatch { .. } | Self::ChecksumMismatch { .. })
    }

    /// The code with which the path, or the carrier, is closed for it (`docs/spec/errors.md`).
    ///
    /// ```
    /// use kwik_proto::{DecodeError, frame::ErrorCode};
    /// assert_eq!(DecodeError::HeaderMissing { at: 0 }.code(), ErrorCode::HeaderMissing);
    /// ```
    pub fn code(&self) -> ErrorCode {
        let field = match self {
            Self::UnknownCriticalFrame { .. } => return ErrorCode::UnknownCriticalFrame,
            Self::HeaderMissing { .. } => return ErrorCode::HeaderMissing,
            Self::StreamMismatch { .. } => return ErrorCode::Mapping,
            Self::ChecksumMismatch { .. } => return ErrorCode::Checksum,
            Self::Truncated { field, .. }
            | Self::TooLarge { field, .. }
            | Self::NonCanonicalVarint { field, .. }
            | Self::VarintOverflow { field, .. }
            | Self::InvalidTag { field, .. }
            | Self::WrongWireType { field, .. }
            | Self::FieldTwice { field, .. }
            | Self::Invalid { invalid: InvalidField { field, .. }, .. } => field,
            Self::PayloadNotLast { .. }
            | Self::PayloadOverrun { .. }
            | Self::OffsetOverflow { .. }
            | Self::ChecksumMissing { .. }
            | Self::ChecksumNotAllowed { .. }
            | Self::FinNotAllowed { .. }
            | Self::TwoFrames { .. }
            | Self::NotText { .. }
            | Self::Malformed { .. } => return ErrorCode::FrameEncoding,
        };
        // A first message that is no header: there is none.
        if field.starts_with("StreamHeader") {
            ErrorCode::HeaderMissing
        } else {
            ErrorCode::FrameEncoding
        }
    }
}
