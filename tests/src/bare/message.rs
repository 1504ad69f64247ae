//! Bytes of messages that no encoder of KWIK's writes.

use bytes::Bytes;

/// A protobuf message that may break every rule.
///
/// ```
/// use kwik_tests::bare::Message;
///
/// // A Ping with the nonce 7, as a control frame.
/// let ping = Message::new().varint(1, 7);
/// assert_eq!(&Message::new().message(23, ping).delimited()[..], [5, 0xba, 1, 2, 8, 7]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// One control frame, critical or not, with a message as its field `number`.
    pub fn frame(number: u64, critical: bool, inner: Self) -> Bytes {
        Self::new().varint(1, critical.into()).message(number, inner).delimited()
    }

    /// Adds a number.
    #[must_use]
    pub fn varint(mut self, field: u64, value: u64) -> Self {
        put_varint(&mut self.0, field << 3);
        put_varint(&mut self.0, value);
        self
    }

    /// Adds bytes.
    #[must_use]
    pub fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        put_varint(&mut self.0, field << 3 | 2);
        put_varint(&mut self.0, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a message.
    #[must_use]
    pub fn message(self, field: u64, inner: Self) -> Self {
        self.bytes(field, &inner.0)
    }

    /// Adds bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The message alone.
    pub fn bare(self) -> Bytes {
        self.0.into()
    }

    /// The message behind its length.
    pub fn delimited(self) -> Bytes {
        let mut out = Vec::new();
        put_varint(&mut out, self.0.len() as u64);
        out.extend_from_slice(&self.0);
        out.into()
    }
}

/// A length prefix of that value, without what it announces.
pub fn length_prefix(length: u64) -> Bytes {
    let mut out = Vec::new();
    put_varint(&mut out, length);
    out.into()
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
