//! How much a session may take.

use std::time::Duration;

use kwik_core::path::policy::PathPolicy;
use kwik_core::session::SessionConfig;
use kwik_core::throttle::{Class, Peer, Rates};
use kwik_io::endpoint::EndpointLimits;
use kwik_io::stream::SendMemory;

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
    send_memory: u64,
    session_send_memory: u64,
    rates: Rates,
}

/// Bytes on their way from all sessions of a client: of 1 GiB one session may have an eighth of what is free.
const SEND_MEMORY: u64 = 1 << 30;

/// Bytes on their way from one session: what the largest QUIC window of a primary carries, and as much again that waits.
const SESSION_SEND_MEMORY: u64 = 64 << 20;

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
            send_memory: SEND_MEMORY,
            session_send_memory: SESSION_SEND_MEMORY,
            rates: Rates::of(Peer::Primary),
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

    /// Bytes that the client holds for servers: what applications wrote until a server's QUIC has acknowledged it. Of all
    /// sessions, and of one. Default 1 GiB and 64 MiB. The more of all is used the less one session may have (an eighth
    /// of what is free), and the more a session uses the less each of its streams may have; 64 KiB always. Writers wait when
    /// there is no room, as they do for a server that does not read. Too low: many uploads at once, or far ones, are slow. Too
    /// high: memory, when servers read slowly or not at all.
    #[must_use]
    pub fn with_send_memory(mut self, all: u64, session: u64) -> Self {
        self.send_memory = all;
        self.session_send_memory = session;
        self
    }

    /// Control frames of a class that a server may send in a second, and as many at once; of all classes for
    /// [`FrameClass::Any`](crate::FrameClass). At least 1. It holds for each connection: one that sends more is read more
    /// slowly, and is cut off with [`RateExceeded`](crate::ErrorCode) after 10 s of that: the session where it is the
    /// primary, else nothing but its own connection. Defaults: any 200,000, tokens 200, paths 400, orders 20,000, answers
    /// 20,000, reports 20,000, probes 2,000, messages 5,000. Too low: honest servers are slowed, and fast transfers with
    /// them. Too high: one server takes a core.
    /// Among all, and among messages, a frame counts once for each started 512 bytes.
    ///
    /// ```
    /// use kwik_client::{FrameClass, Limits};
    ///
    /// let limits = Limits::new().with_frame_rate(FrameClass::Probe, 100);
    /// ```
    #[must_use]
    pub fn with_frame_rate(mut self, class: Class, frames: u32) -> Self {
        self.rates = self.rates.with(class, frames);
        self
    }

    pub(crate) fn rates(&self) -> Rates {
        self.rates
    }

    /// Of all sessions, and how much one may have.
    pub(crate) fn send_memory(&self) -> (SendMemory, u64) {
        (SendMemory::new(self.send_memory), self.session_send_memory)
    }

    pub(crate) fn endpoint(&self) -> EndpointLimits {
        EndpointLimits {
            bidirectional_streams: self.bidirectional_streams,
            unidirectional_streams: self.unidirectional_streams,
            idle: self.idle_timeout,
            handshake: self.dial_timeout,
            ..EndpointLimits::default()
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
