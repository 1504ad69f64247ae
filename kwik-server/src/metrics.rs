//! What a server counts over all its clients.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kwik_io::endpoint::Handshakes;
use kwik_io::pump::SentBytes;
use kwik_io::stream::{ReceiveMemory, SendMemory};
use kwik_io::worker::{WeakWorker, Worker};
use kwik_proto::frame::ErrorCode;

use crate::refused::Refused;

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
    /// The same by whose doing it was and which rule.
    pub refusals: BTreeMap<Refused, u64>,
    /// Streams that were reset because their client took nothing of them for too long
    /// ([`with_reader_patience`](crate::Limits::with_reader_patience)).
    pub unread_streams: u64,
    /// Payload bytes of streams that it handed to QUIC as primary: what it wrote to them, and its own copies of delegated
    /// ranges.
    pub primary_sent_bytes: u64,
    /// Payload bytes that it handed to QUIC as secondary.
    pub secondary_sent_bytes: u64,
    /// First packets that opened no connection: another protocol than `kwik/1`, or none at all. Nobody is told.
    pub rejected_handshakes: u64,
    /// Bytes on their way to clients: written, and not acknowledged.
    pub send_memory_bytes: u64,
    /// Bytes that the windows of clients leave room for, or that were received and not read.
    pub receive_memory_bytes: u64,
    /// First packets that were answered with a Retry, because many handshakes were under way.
    pub retried_handshakes: u64,
    /// First packets that were dropped, because as many handshakes were under way as may be. Clients try again.
    pub dropped_handshakes: u64,
    /// How often a client that kept to its rate of control frames began to send faster, and was read more slowly.
    pub throttled: u64,
    /// Tasks on its workers that have not ended: a few for the server, and for each session and each stream that is open.
    /// With [`Placement::Current`](kwik_io::worker::Placement::Current) these are all of the runtime's.
    pub tasks: u64,
    /// Sessions as primary that ended for an error, by the code that this server gave, or its client.
    pub primary_errors: BTreeMap<ErrorCode, u64>,
    /// Sessions as secondary that did.
    pub secondary_errors: BTreeMap<ErrorCode, u64>,
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
    refused: Mutex<BTreeMap<Refused, u64>>,
    unread_streams: AtomicU64,
    primary_errors: Mutex<BTreeMap<ErrorCode, u64>>,
    secondary_errors: Mutex<BTreeMap<ErrorCode, u64>>,
    throttled: AtomicU64,
}

impl Counters {
    pub(crate) fn count_primary(&self) {
        self.primary_sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_secondary(&self) {
        self.secondary_sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_refused(&self, refused: Refused) {
        count(&self.refused, refused);
    }

    pub(crate) fn count_unread(&self, streams: u64) {
        self.unread_streams.fetch_add(streams, Ordering::Relaxed);
    }

    pub(crate) fn count_primary_end(&self, code: ErrorCode) {
        count_end(&self.primary_errors, code);
    }

    pub(crate) fn count_secondary_end(&self, code: ErrorCode) {
        count_end(&self.secondary_errors, code);
    }

    pub(crate) fn count_throttled(&self) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(
        &self,
        rejected: &[Arc<AtomicU64>],
        handshakes: &[Handshakes],
        (sending, receiving): (&SendMemory, &ReceiveMemory),
        workers: &[WeakWorker],
    ) -> ServerMetrics {
        let refusals = copy(&self.refused);
        ServerMetrics {
            primary_sessions: self.primary_sessions.load(Ordering::Relaxed),
            secondary_sessions: self.secondary_sessions.load(Ordering::Relaxed),
            refused: by_code(&refusals),
            refusals,
            unread_streams: self.unread_streams.load(Ordering::Relaxed),
            primary_sent_bytes: self.primary_sent.total(),
            secondary_sent_bytes: self.secondary_sent.total(),
            send_memory_bytes: sending.used(),
            receive_memory_bytes: receiving.used(),
            throttled: self.throttled.load(Ordering::Relaxed),
            tasks: workers.iter().filter_map(WeakWorker::upgrade).map(tasks).sum(),
            primary_errors: copy(&self.primary_errors),
            secondary_errors: copy(&self.secondary_errors),
            retried_handshakes: handshakes.iter().map(Handshakes::retried).sum(),
            dropped_handshakes: handshakes.iter().map(Handshakes::dropped).sum(),
            rejected_handshakes: rejected.iter().map(|shard| shard.load(Ordering::Relaxed)).sum(),
        }
    }
}

fn tasks(worker: Worker) -> u64 {
    worker.tasks() as u64
}

fn count<K: Ord>(counts: &Mutex<BTreeMap<K, u64>>, kind: K) {
    *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
}

fn by_code(refusals: &BTreeMap<Refused, u64>) -> BTreeMap<ErrorCode, u64> {
    let mut counts = BTreeMap::new();
    for (refused, count) in refusals {
        *counts.entry(refused.code).or_default() += count;
    }
    counts
}

/// A session is over. One that was closed on purpose, or whose client went away, is no error.
fn count_end(counts: &Mutex<BTreeMap<ErrorCode, u64>>, code: ErrorCode) {
    if !matches!(code, ErrorCode::None | ErrorCode::SessionClosed) {
        count(counts, code);
    }
}

fn copy<K: Clone>(counts: &Mutex<BTreeMap<K, u64>>) -> BTreeMap<K, u64> {
    counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
