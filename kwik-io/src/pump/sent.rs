//! Bytes that were sent, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count of the payload bytes that pumps handed to QUIC: those of streams, without any header.
///
/// Clones are one count. QUIC may send a byte more than once, or not at all where its carrier is reset or its connection
/// lost; without either, what is counted is what arrives.
///
/// ```
/// use kwik_io::pump::SentBytes;
///
/// let server = SentBytes::default();
/// let (first, second) = (SentBytes::within(&server), SentBytes::within(&server));
/// first.add(3);
/// second.add(4);
/// assert_eq!((first.total(), second.total(), server.total()), (3, 4, 7));
/// ```
#[derive(Clone, Debug, Default)]
pub struct SentBytes(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    bytes: AtomicU64,
    /// What counts the same bytes and others.
    whole: Option<SentBytes>,
}

impl SentBytes {
    /// A part of `whole`, which counts its bytes too.
    pub fn within(whole: &Self) -> Self {
        Self(Arc::new(Count { bytes: AtomicU64::new(0), whole: Some(whole.clone()) }))
    }

    /// Counts bytes.
    pub fn add(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.0.whole {
            whole.add(bytes);
        }
    }

    /// Bytes so far.
    pub fn total(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }
}
