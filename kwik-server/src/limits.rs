//! How much a session may take.

use std::time::Duration;

use kwik_core::session::SessionConfig;
use kwik_io::endpoint::EndpointLimits;

/// How much of everything one session of a server may take.
///
/// ```
/// use kwik_server::{Limits, Server};
///
/// let limits = Limits::new().with_max_streams(1_000, 10).with_session_budget(512 << 20);
/// let builder = Server::builder().with_limits(limits);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    bidirectional_streams: u32,
    unidirectional_streams: u32,
    session_budget: u64,
    idle_timeout: Duration,
    handshake_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (session, endpoint) = (SessionConfig::default(), EndpointLimits::default());
        Self {
            bidirectional_streams: session.max_bidirectional_streams,
            unidirectional_streams: session.max_unidirectional_streams,
            session_budget: session.session_budget,
            idle_timeout: endpoint.idle,
            handshake_timeout: endpoint.handshake,
        }
    }
}

impl Limits {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Streams of each kind that the client may have open at a time. Default 100 each. Too low: it waits. Too high:
    /// each takes 64 KiB of the session's budget.
    #[must_use]
    pub fn with_max_streams(mut self, bidirectional: u32, unidirectional: u32) -> Self {
        self.bidirectional_streams = bidirectional;
        self.unidirectional_streams = unidirectional;
        self
    }

    /// Bytes that the client may be promised to send at a time. Default 128 MiB. Too low: uploads from afar are slow.
    /// Too high: memory, when the application does not read.
    #[must_use]
    pub fn with_session_budget(mut self, bytes: u64) -> Self {
        self.session_budget = bytes;
        self
    }

    /// How long nothing may be heard of a client before its connection is over. Default 30 s. Too low: a short outage
    /// ends sessions. Too high: what a dead client holds is freed late.
    #[must_use]
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long a handshake may take, and then the client's Hello. Default 10 s. Too low: clients on lossy networks get
    /// nowhere. Too high: clients that never finish hold memory.
    #[must_use]
    pub fn with_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    pub(crate) fn endpoint(&self) -> EndpointLimits {
        EndpointLimits {
            bidirectional_streams: self.bidirectional_streams,
            unidirectional_streams: self.unidirectional_streams,
            idle: self.idle_timeout,
            handshake: self.handshake_timeout,
            ..EndpointLimits::default()
        }
    }

    /// How long a client may take from the end of the QUIC handshake to its Hello.
    pub(crate) fn hello(&self) -> Duration {
        self.handshake_timeout
    }

    pub(crate) fn session(&self) -> SessionConfig {
        SessionConfig {
            max_bidirectional_streams: self.bidirectional_streams,
            max_unidirectional_streams: self.unidirectional_streams,
            session_budget: self.session_budget,
            ..SessionConfig::default()
        }
    }
}
