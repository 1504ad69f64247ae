//! What a server counts over all its clients.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kwik_io::pump::SentBytes;
use kwik_proto::frame::ErrorCode;

/// Counters of a server since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerMetrics {
    /// Sessions in which it is primary.
    pub primary_sessions: u64,
    /// Sessions in which it is secondary.
    pub secondary_sessions: u64,
    /// Clients that were refused after their handshake, by the code that they were told.
    pub refused: BTreeMap<ErrorCode, u64>,
    /// Payload bytes of streams that it handed to QUIC as primary: what it wrote to them, and its own copies of delegated
    /// ranges.
    pub primary_sent_bytes: u64,
    /// Payload bytes that it handed to QUIC as secondary.
    pub secondary_sent_bytes: u64,
    /// First packets that opened no connection: another protocol than `kwik/1`, or none at all. Nobody is told.
    pub rejected_handshakes: u64,
}

/// Where a server counts. Bounded: a number for each code.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    primary_sessions: AtomicU64,
    secondary_sessions: AtomicU64,
    /// What its sessions as primary send.
    pub(crate) primary_sent: SentBytes,
    /// What its sessions as secondary send.
    pub(crate) secondary_sent: SentBytes,
    refused: Mutex<BTreeMap<ErrorCode, u64>>,
}

impl Counters {
    pub(crate) fn count_primary(&self) {
        self.primary_sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_secondary(&self) {
        self.secondary_sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_refused(&self, code: ErrorCode) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry(code).or_default() += 1;
    }

    pub(crate) fn snapshot(&self, rejected: &[Arc<AtomicU64>]) -> ServerMetrics {
        ServerMetrics {
            primary_sessions: self.primary_sessions.load(Ordering::Relaxed),
            secondary_sessions: self.secondary_sessions.load(Ordering::Relaxed),
            refused: self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            primary_sent_bytes: self.primary_sent.total(),
            secondary_sent_bytes: self.secondary_sent.total(),
            rejected_handshakes: rejected.iter().map(|shard| shard.load(Ordering::Relaxed)).sum(),
        }
    }
}
