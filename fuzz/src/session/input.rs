//! An input as a source of choices: each takes a byte or a few, and an input that is used up chooses the first.

use std::time::Duration;

use bytes::Bytes;
use kwik_proto::{ByteRange, DelegationId, Epoch, Offset, PathId, StreamId, StreamKind};

/// What is left of the input.
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().map_or((0, self.0), |(byte, rest)| (*byte, rest));
        self.0 = rest;
        byte
    }

    /// One of `count` things.
    pub(super) fn below(&mut self, count: u8) -> u8 {
        self.byte() % count
    }

    pub(super) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// The next bytes, as many as the next one says.
    pub(super) fn piece(&mut self) -> Bytes {
        let length = usize::from(self.byte()).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        Bytes::copy_from_slice(piece)
    }

    /// Small, or a power of two, or near one, or the largest.
    pub(super) fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=127 => small.into(),
            power @ 128..=191 => 1 << (power - 128),
            power @ 192..=254 => (1 << (power - 192)) - 1,
            255 => u64::MAX,
        }
    }

    pub(super) fn offset(&mut self) -> Offset {
        let value = match self.byte() {
            step @ 0..=63 => u64::from(step) * 1024,
            step @ 64..=127 => u64::from(step - 64) * 16_384,
            high @ 128..=191 => u64::from(high - 128) << 8 | u64::from(self.byte()),
            // About the end of the first window.
            near @ 192..=247 => 65_536 + u64::from(near) - 220,
            near @ 248..=255 => Offset::MAX.value() - u64::from(255 - near) * 4096,
        };
        Offset::new(value).unwrap_or(Offset::MAX)
    }

    pub(super) fn range(&mut self) -> ByteRange {
        let (start, far) = (self.offset(), self.byte());
        let length = if far < 250 { u64::from(far) * 512 } else { 1 << (far - 194) };
        ByteRange::new(start, start.saturating_add(length)).unwrap_or_default()
    }

    pub(super) fn stream(&mut self) -> StreamId {
        let value = match self.byte() {
            near @ 0..=223 => u64::from(near % 24),
            far @ 224..=247 => u64::from(far - 224) * 40,
            last @ 248..=255 => Offset::MAX.value() - u64::from(255 - last),
        };
        StreamId::from_wire(value).unwrap_or_else(|| StreamId::from_wire(0).expect("0 is an id"))
    }

    pub(super) fn kind(&mut self) -> StreamKind {
        if self.flag() { StreamKind::Unidirectional } else { StreamKind::Bidirectional }
    }

    pub(super) fn path(&mut self) -> PathId {
        let byte = self.byte();
        PathId::new(if byte < 224 { u16::from(byte % 5) } else { u16::from(byte) * 257 })
    }

    /// Never the primary's.
    pub(super) fn secondary(&mut self) -> PathId {
        PathId::new(1 + u16::from(self.below(4)))
    }

    pub(super) fn epoch(&mut self) -> Epoch {
        let byte = self.byte();
        Epoch(if byte < 224 { 1 + u32::from(byte % 3) } else { u32::MAX - u32::from(255 - byte) })
    }

    pub(super) fn delegation(&mut self) -> DelegationId {
        let byte = self.byte();
        DelegationId(if byte < 240 {
            (byte % 16).into()
        } else {
            (1 << 62) - u64::from(byte - 239)
        })
    }

    /// A step of time: often within a turn of the control loop, seldom hours.
    pub(super) fn duration(&mut self) -> Duration {
        let byte = self.byte();
        match byte {
            0..=127 => Duration::from_millis(byte.into()),
            128..=199 => Duration::from_millis(u64::from(byte - 128) * 100),
            200..=249 => Duration::from_secs(u64::from(byte - 200) * 2),
            250..=254 => Duration::from_secs(3600 << (byte - 250)),
            255 => Duration::from_secs(1 << 33),
        }
    }
}
