//! The limits that KWIK gives QUIC.

use std::time::Duration;

use s2n_quic::provider::limits::Limits;

use super::congestion::CongestionControl;

/// Bytes that one QUIC stream buffers until they are acknowledged: s2n-quic's send buffer. Too low: a stream alone
/// cannot fill a long path. Too high: what was queued goes out after the reader lost interest.
pub(crate) const SEND_BUFFER: u32 = 4 << 20;

/// Default of [`EndpointLimits::max_mtu`]: docs/mtu.md.
const MAX_MTU: u16 = 9_001;

/// The smallest [`EndpointLimits::max_mtu`]: QUIC's smallest datagram of 1,200 bytes and its headers (RFC 9000, 14).
pub const SMALLEST_MTU: u16 = 1_228;

/// Server-initiated unidirectional streams on a primary path beyond the public ones: contributions that repair.
const REPAIRS: u64 = 64;
/// Contributions that a secondary may have open at a time, ended and not yet acknowledged ones included.
const CONTRIBUTIONS: u64 = 1_024;
/// Bidirectional streams that the client opens beyond the public ones: the control stream.
const CONTROL: u64 = 1;
/// Streams that an endpoint may itself open, as far as it is concerned: the peer's limits hold. s2n-quic's own default
/// of 100 would hold back contributions.
const LOCAL_STREAMS: u64 = 1 << 20;

/// Which end of which path an endpoint serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A client's end of paths to primaries.
    Primary,
    /// A client's end of paths to secondaries.
    Secondary,
    /// A server's end of both.
    Server,
}

/// What the user's limits mean for an endpoint's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointLimits {
    /// Open public bidirectional streams that the peer may have initiated. Default 100.
    pub bidirectional_streams: u32,
    /// Open public unidirectional streams that the peer may have initiated. Default 100.
    pub unidirectional_streams: u32,
    /// Time without a datagram after which a connection is over. Default 30 s. Too low: a short outage ends sessions.
    /// Too high: a dead peer is remembered long.
    pub idle: Duration,
    /// Time that a handshake may take. Default 10 s.
    pub handshake: Duration,
    /// Handshakes that a server's endpoint has under way. Default 1,024. From a quarter on clients have to show first where
    /// they are, with a Retry (RFC 9000, 8.1.2), which costs them a round trip; beyond all of them first packets are dropped.
    pub handshakes: u32,
    /// Those of one IPv4 address, or IPv6 network of 56 bits. Default 256. As above.
    pub handshakes_of_prefix: u32,
    /// How fast it sends.
    pub congestion_control: CongestionControl,
    /// The largest IP packet that it probes a path for and then sends, in bytes. Default 9,001: what data centres carry. At
    /// least 1,228. Too low: more packets, each with its cost. Too high: some thirty probes that a path drops, one a round trip.
    pub max_mtu: u16,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        Self {
            bidirectional_streams: 100,
            unidirectional_streams: 100,
            idle: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            handshakes: 1_024,
            handshakes_of_prefix: 256,
            congestion_control: CongestionControl::default(),
            max_mtu: MAX_MTU,
        }
    }
}

/// QUIC's receive windows, per connection and per stream, in bytes.
///
/// They are not KWIK's flow control: every carrier is drained at once, so they only have to cover what is under way
/// (rate times round trip) for KWIK's own windows to bind first. They bound what a peer that leaves a hole at the
/// start of a stream can pin in s2n-quic: per session the primary's window and a secondary's times the paths.
/// 32 MiB carry 1.7 Gbit/s over 150 ms; 8 MiB carry 1.3 Gbit/s over 50 ms.
fn windows(role: Role) -> (u64, u64) {
    match role {
        Role::Primary | Role::Server => (32 << 20, 16 << 20),
        Role::Secondary => (8 << 20, 8 << 20),
    }
}

/// The limit for so many streams at any time: s2n-quic tells its peer of places that are free again only once they are a
/// tenth of the limit, and a stream that KWIK's limit allows is not to wait for others to end.
const fn told_late(streams: u64) -> u64 {
    if streams == 0 { 0 } else { streams + streams / 9 + 1 }
}

impl EndpointLimits {
    /// How often QUIC asks a peer that is silent whether it is there: three times within the idle time.
    pub fn keep_alive(&self) -> Duration {
        self.idle / 3
    }

    /// Streams that the peer may have open: (bidirectional, unidirectional).
    fn peer_streams(&self, role: Role) -> (u64, u64) {
        let (bidirectional, unidirectional) =
            (self.bidirectional_streams.into(), u64::from(self.unidirectional_streams));
        match role {
            Role::Primary => (told_late(bidirectional), told_late(unidirectional + REPAIRS)),
            // A secondary opens contributions and nothing else.
            Role::Secondary => (0, CONTRIBUTIONS),
            Role::Server => (told_late(bidirectional + CONTROL), told_late(unidirectional)),
        }
    }

    /// Most pumps at a time on one connection, of whichever role: twice the streams that its peer may have open, for QUIC
    /// gives the credit for a stream back before its pump has told the session of the end.
    pub fn most_pumps(&self) -> usize {
        let most = |role| {
            let (bidirectional, unidirectional) = self.peer_streams(role);
            bidirectional.saturating_add(unidirectional)
        };
        let streams = [Role::Primary, Role::Secondary, Role::Server].map(most).into_iter().max();
        usize::try_from(streams.unwrap_or(CONTRIBUTIONS).saturating_mul(2)).unwrap_or(usize::MAX)
    }

    /// As s2n-quic takes them. Public so that a bare connection can be compared with the same.
    ///
    /// # Errors
    /// Which value is out of QUIC's range.
    pub fn quic(&self, role: Role) -> Result<Limits, String> {
        let (connection, stream) = windows(role);
        let (bidirectional, unidirectional) = self.peer_streams(role);
        Limits::new()
            .with_data_window(connection)
            .and_then(|limits| limits.with_bidirectional_local_data_window(stream))
            .and_then(|limits| limits.with_bidirectional_remote_data_window(stream))
            .and_then(|limits| limits.with_unidirectional_data_window(stream))
            .and_then(|limits| limits.with_max_open_remote_bidirectional_streams(bidirectional))
            .and_then(|limits| limits.with_max_open_remote_unidirectional_streams(unidirectional))
            .and_then(|limits| limits.with_max_open_local_bidirectional_streams(LOCAL_STREAMS))
            .and_then(|limits| limits.with_max_open_local_unidirectional_streams(LOCAL_STREAMS))
            .and_then(|limits| limits.with_max_send_buffer_size(SEND_BUFFER))
            .and_then(|limits| limits.with_max_idle_timeout(self.idle))
            .and_then(|limits| limits.with_max_keep_alive_period(self.keep_alive()))
            .and_then(|limits| limits.with_max_handshake_duration(self.handshake))
            .map_err(|error| error.to_string())
    }
}
