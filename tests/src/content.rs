//! Content that tells who and where it is.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use bytes::Bytes;
use kwik_server::RangeSource;

/// Bytes that depend on a key and their offset: those of one stream are never mistaken for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content(pub u64);

impl Content {
    /// The byte at `offset`.
    pub fn byte(self, offset: u64) -> u8 {
        let mixed = (offset ^ self.0.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as u8
    }

    /// `length` bytes from `offset`.
    pub fn bytes(self, offset: u64, length: usize) -> Bytes {
        (offset..offset + length as u64).map(|at| self.byte(at)).collect::<Vec<_>>().into()
    }

    /// The name of the content in orders to a secondary that obeys.
    pub fn resource(self) -> Bytes {
        Bytes::copy_from_slice(&self.0.to_be_bytes())
    }

    /// Whether `bytes` are those from `offset` on.
    pub fn matches(self, offset: u64, bytes: &[u8]) -> bool {
        bytes.iter().zip(offset..).all(|(byte, at)| *byte == self.byte(at))
    }
}

impl RangeSource for Content {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        Ok(self.bytes(offset, length))
    }
}

/// Content of which a provider gives the first 1,000 bytes, and the rest when the gate's other end is dropped.
#[derive(Debug)]
pub struct Gated {
    content: Content,
    gate: Mutex<mpsc::Receiver<()>>,
}

impl Gated {
    /// Bytes that are given before the gate.
    pub const BEFORE: u64 = 1000;

    /// The content behind a gate, and what opens the gate when it is dropped.
    pub fn new(content: Content) -> (mpsc::Sender<()>, Arc<Self>) {
        let (opener, gate) = mpsc::channel();
        (opener, Arc::new(Self { content, gate: Mutex::new(gate) }))
    }
}

impl RangeSource for Gated {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        if offset >= Self::BEFORE {
            // Returns an error once the opener is gone, at once from then on.
            let _ = self.gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
        }
        Ok(self.content.bytes(offset, length.min(Self::BEFORE as usize)))
    }
}
