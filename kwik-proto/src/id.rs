//! Identifiers and offsets. Every number with a unit is a type of its own.

use std::fmt;

/// Largest value of a stream id, an offset, a final size or an application error code: 2^62 - 1 (RFC 9000, 16).
pub const MAX_VARINT: u64 = (1 << 62) - 1;

/// Who opened a KWIK stream (RFC 9000, 2.1). Only the client and the primary do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Initiator {
    /// The client.
    Client,
    /// The primary server.
    Server,
}

/// Whether a KWIK stream carries bytes in both directions (RFC 9000, 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamKind {
    /// Both ends send.
    Bidirectional,
    /// Only the initiator sends.
    Unidirectional,
}

/// Id of a stream of the public session, numbered as in RFC 9000, 2.1, in a space of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(u64);

impl StreamId {
    /// The `index`-th stream (from 0) of that initiator and kind; `None` beyond 2^60 - 1.
    pub const fn new(initiator: Initiator, kind: StreamKind, index: u64) -> Option<Self> {
        if index > MAX_VARINT >> 2 {
            return None;
        }
        let low = match (initiator, kind) {
            (Initiator::Client, StreamKind::Bidirectional) => 0,
            (Initiator::Server, StreamKind::Bidirectional) => 1,
            (Initiator::Client, StreamKind::Unidirectional) => 2,
            (Initiator::Server, StreamKind::Unidirectional) => 3,
        };
        Some(Self(index << 2 | low))
    }

    /// The id with that wire value; `None` above [`MAX_VARINT`].
    pub const fn from_wire(value: u64) -> Option<Self> {
        if value <= MAX_VARINT { Some(Self(value)) } else { None }
    }

    /// The wire value.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Who opened the stream.
    pub const fn initiator(self) -> Initiator {
        if self.0 & 1 == 0 { Initiator::Client } else { Initiator::Server }
    }

    /// Which way the stream goes.
    pub const fn kind(self) -> StreamKind {
        if self.0 & 2 == 0 { StreamKind::Bidirectional } else { StreamKind::Unidirectional }
    }

    /// Position among the streams of its initiator and kind, from 0.
    pub const fn index(self) -> u64 {
        self.0 >> 2
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A path of a session: the client's connection to one server. 0 is the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathId(u16);

impl PathId {
    /// The path to the primary.
    pub const PRIMARY: Self = Self(0);

    /// The path with that number.
    pub const fn new(value: u16) -> Self {
        Self(value)
    }

    /// The number.
    pub const fn value(self) -> u16 {
        self.0
    }

    /// Whether this is the path to the primary.
    pub const fn is_primary(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for PathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which try at a path this is, counted from 1. A higher epoch replaces a lower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The first try.
    pub const FIRST: Self = Self(1);

    /// The next try; stays at the largest number (2^32 - 1 redials are never reached).
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A session, as its primary numbered it: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A delegation, unique within its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DelegationId(pub u64);

impl fmt::Display for DelegationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A position in one half of a KWIK stream, in bytes from its start. At most [`MAX_VARINT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(u64);

impl Offset {
    /// The start of the stream.
    pub const ZERO: Self = Self(0);
    /// The last position that the wire can name.
    pub const MAX: Self = Self(MAX_VARINT);

    /// The offset with that value; `None` above [`MAX_VARINT`].
    pub const fn new(value: u64) -> Option<Self> {
        if value <= MAX_VARINT { Some(Self(value)) } else { None }
    }

    /// The value in bytes.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// `self + bytes`; `None` above [`MAX_VARINT`].
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(value) => Self::new(value),
            None => None,
        }
    }

    /// `self + bytes`, at most [`Offset::MAX`].
    #[must_use]
    pub const fn saturating_add(self, bytes: u64) -> Self {
        match self.checked_add(bytes) {
            Some(offset) => offset,
            None => Self::MAX,
        }
    }

    /// Bytes from `earlier` to `self`; 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Half-open range of offsets: `start` is in it, `end` is not. Never runs backwards; may be empty.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteRange {
    start: Offset,
    end: Offset,
}

impl ByteRange {
    /// From `start` up to, without, `end`; `None` if it would run backwards.
    pub const fn new(start: Offset, end: Offset) -> Option<Self> {
        if start.0 <= end.0 { Some(Self { start, end }) } else { None }
    }

    /// `length` bytes from `start`; `None` if the end would pass [`Offset::MAX`].
    pub const fn with_length(start: Offset, length: u64) -> Option<Self> {
        match start.checked_add(length) {
            Some(end) => Some(Self { start, end }),
            None => None,
        }
    }

    /// First offset in the range.
    pub const fn start(self) -> Offset {
        self.start
    }

    /// First offset after the range.
    pub const fn end(self) -> Offset {
        self.end
    }

    /// Bytes in the range.
    pub const fn len(self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Whether the range has no bytes.
    pub const fn is_empty(self) -> bool {
        self.start.0 == self.end.0
    }

    /// Whether `offset` is in the range.
    pub const fn contains(self, offset: Offset) -> bool {
        self.start.0 <= offset.0 && offset.0 < self.end.0
    }

    /// Whether every byte of `other` is in the range.
    pub const fn covers(self, other: Self) -> bool {
        other.is_empty() || (self.start.0 <= other.start.0 && other.end.0 <= self.end.0)
    }

    /// What both have in common; `None` if that is nothing.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        (start < end).then_some(Self { start, end })
    }
}

impl fmt::Debug for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}
