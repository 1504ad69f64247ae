//! What a session has done, as a snapshot.

use std::net::SocketAddr;
use std::time::Duration;

/// Whose path it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathRole {
    /// The primary's.
    Primary,
    /// That of a server which the primary ordered.
    Other,
}

/// One path of a session, those that are over included.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathMetrics {
    /// The server's address.
    pub address: SocketAddr,
    /// Whose path it is.
    pub role: PathRole,
    /// Bytes of streams that this path was the first to deliver.
    pub bytes: u64,
    /// `dialing`, `proving`, `live`, `suspect`, `draining` or `gone`.
    pub state: &'static str,
    /// Smoothed round-trip time.
    pub rtt: Option<Duration>,
    /// Internal streams open on it now.
    pub contributions: usize,
}

/// A pause of a reader of more than 50 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// When it began, after the start of the session.
    pub at: Duration,
    /// How long it took.
    pub duration: Duration,
    /// First byte that was missing.
    pub offset: u64,
    /// Missing bytes from there.
    pub length: u64,
    /// The server that owed them.
    pub path: Option<SocketAddr>,
    /// The server that delivered them in the end.
    pub ended_by: Option<SocketAddr>,
}

/// A session's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionMetrics {
    /// Paths, the primary first.
    pub paths: Vec<PathMetrics>,
    /// Bytes that arrived more than once.
    pub redundant_bytes: u64,
    /// Ranges that were reported missing to the primary.
    pub repairs: u64,
    /// The longest pause of a reader.
    pub longest_stall: Duration,
    /// The longest pauses, at most 64, in order.
    pub stalls: Vec<Stall>,
    /// Most bytes that were held for readers at a time, in the largest stream.
    pub peak_buffer_bytes: u64,
    /// Bytes promised to senders now.
    pub promised_bytes: u64,
}
