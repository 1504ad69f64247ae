//! What a session has done, as a snapshot.

use std::net::SocketAddr;
use std::time::Duration;

use kwik_core::delay::{DelayHistogram, DelaySummary};
use kwik_proto::frame::{ErrorCode, GapReason};

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
    /// Bytes that came on its QUIC streams for the session's streams, KWIK's headers and what came twice included.
    pub received_bytes: u64,
    /// `dialing`, `proving`, `live`, `suspect`, `draining` or `gone`; of a primary that goes away `leaving`.
    pub state: &'static str,
    /// Smoothed round-trip time.
    pub rtt: Option<Duration>,
    /// Internal streams open on it now.
    pub contributions: usize,
    /// QUIC streams that are read on it now, for the session's streams and internally. One that ended lately may count.
    pub carriers: usize,
}

/// A pause of a reader of more than 50 ms.
///
/// Of a stream that the primary sends alone nobody knows how far it goes: what the reader waited for is known when it
/// comes. There a pause of the sending application counts as one too, except before the first byte.
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
    /// The server that owed them; `None`: nobody, or the client itself was stopped.
    pub path: Option<SocketAddr>,
    /// The server that delivered them in the end.
    pub ended_by: Option<SocketAddr>,
    /// Why they were reported missing to the primary meanwhile, which then asks another server; `None`: they were not.
    pub reported: Option<GapReason>,
}

/// A stream that was received on, and what feeds it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamMetrics {
    /// Id of the stream.
    pub id: u64,
    /// Whether it is open. Of those that are over the 256 last ones are told.
    pub is_open: bool,
    /// Bytes that each server was the first to deliver; a server that delivered none is left out.
    pub bytes: Vec<(SocketAddr, u64)>,
    /// Internal streams that feed it now, beside the primary's own.
    pub sources: Vec<SourceMetrics>,
    /// From a byte's arrival until it could be delivered in order, by bytes. What the reader took to read is not in it.
    pub in_order_delay: DelaySummary,
}

/// An internal stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceMetrics {
    /// The server that sends it.
    pub address: SocketAddr,
    /// Its QUIC stream id on the connection to that server: a numbering apart from that of the session's streams.
    pub quic_id: u64,
    /// Bytes that it was the first to deliver.
    pub bytes: u64,
}

/// Something that a server did and that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The server.
    pub address: SocketAddr,
    /// What the server was told.
    pub code: ErrorCode,
    /// How often.
    pub count: u64,
}

/// A session's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionMetrics {
    /// Paths, the primary first.
    pub paths: Vec<PathMetrics>,
    /// Streams that are received on, and the last ones that were, in the order of their ids.
    pub streams: Vec<StreamMetrics>,
    /// What was refused, by server and code. It cost the session nothing else.
    pub faults: Vec<Fault>,
    /// Bytes that arrived more than once.
    pub redundant_bytes: u64,
    /// Ranges that were reported missing to the primary.
    pub repairs: u64,
    /// The longest pause of a reader.
    pub longest_stall: Duration,
    /// The longest pauses, at most 64, in order.
    pub stalls: Vec<Stall>,
    /// From a byte's arrival until it could be delivered to its stream's reader in order, over all bytes of all streams. Zero for
    /// almost all of them where the servers send in the reader's order; it grows with head-of-line blocking, also where the
    /// buffer hides that from the reader.
    pub in_order_delay: DelayHistogram,
    /// Most bytes that were held for readers at a time, in the largest stream.
    pub peak_buffer_bytes: u64,
    /// Bytes promised to senders now.
    pub promised_bytes: u64,
    /// Bytes of streams that this end has handed to QUIC.
    pub sent_bytes: u64,
}
