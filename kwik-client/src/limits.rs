//! How much a session may take.

use std::time::Duration;

use kwik_core::path::policy::PathPolicy;
use kwik_core::session::SessionConfig;
use kwik_io::endpoint::EndpointLimits;

/// How much of everything a client's sessions may take.
///
/// ```
/// use std::time::Duration;
/// use kwik_client::{Client, Limits};
///
/// let limits = Limits::new().with_max_streams(1_000, 10).with_idle_timeout(Duration::from_secs(5));
/// let client = Client::builder().with_limits(limits).start()?;
/// # Ok::<(), kwik_client::StartError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    bidirectional_streams: u32,
    unidirectional_streams: u32,
    session_budget: u64,
    max_paths: usize,
    idle_timeout: Duration,
    dial_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (session, endpoint) = (SessionConfig::default(), EndpointLimits::default());
        Self {
            bidirectional_streams: session.max_bidirectional_streams,
            unidirectional_streams: session.max_unidirectional_streams,
            session_budget: session.session_budget,
            max_paths: PathPolicy::MAX_PATHS,
            idle_timeout: endpoint.idle,
            dial_timeout: endpoint.handshake,
        }
    }
}

impl Limits {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Streams of each kind that the primary may have open at a time. Default 100 each. Too low: it waits. Too high:
    /// each takes 64 KiB of the session's budget.
    #[must_use]
    pub fn with_max_streams(mut self, bidirectional: u32, unidirectional: u32) -> Self {
        self.bidirectional_streams = bidirectional;
        self.unidirectional_streams = unidirectional;
        self
    }

    /// Bytes that may be promised to senders at a time, per session. Default 128 MiB. Too low: far servers idle. Too
    /// high: memory, when the application does not read.
    #[must_use]
    pub fn with_session_budget(mut self, bytes: u64) -> Self {
        self.session_budget = bytes;
        self
    }

    /// Servers beside the primary that a session may be connected to at a time. Default 16. Too high: each
    /// costs a socket, a handshake and memory. 0: what the primary sends is all there is.
    #[must_use]
    pub fn with_max_paths(mut self, paths: usize) -> Self {
        self.max_paths = paths;
        self
    }

    /// How long nothing may be heard of a server before its connection is over. Default 30 s. Too low: a short outage
    /// ends sessions. Too high: a dead primary is noticed late.
    #[must_use]
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long it may take until a server has answered: QUIC's handshake and the Hello together. Default 10 s. All addresses
    /// of a server that the primary names share it. Too low: far or lossy networks are never reached. Too high: a server that
    /// swallows what it is sent is noticed late; one whose port is closed is noticed at once.
    ///
    /// [`Client::connect`](crate::Client::connect) returns after the handshake: where the Hello is not answered in the rest
    /// of the time the session ends with [`ErrorCode::HandshakeTimeout`](crate::ErrorCode).
    #[must_use]
    pub fn with_dial_timeout(mut self, timeout: Duration) -> Self {
        self.dial_timeout = timeout;
        self
    }

    pub(crate) fn endpoint(&self) -> EndpointLimits {
        EndpointLimits {
            bidirectional_streams: self.bidirectional_streams,
            unidirectional_streams: self.unidirectional_streams,
            idle: self.idle_timeout,
            handshake: self.dial_timeout,
        }
    }

    pub(crate) fn apply(&self, config: &mut SessionConfig) {
        config.max_bidirectional_streams = self.bidirectional_streams;
        config.max_unidirectional_streams = self.unidirectional_streams;
        config.session_budget = self.session_budget;
        config.dial_time = self.dial_timeout;
        let policy = std::mem::take(&mut config.path_policy);
        config.path_policy = policy.with_max_paths(self.max_paths);
    }
}
