//! What a session is set up with.

use std::time::Duration;

use kwik_proto::control::limits::MIN_INITIAL_WINDOW;
use kwik_proto::frame::Limits;

use crate::conflict::ConflictPolicy;
use crate::delegation::DelegationConfig;
use crate::path::policy::PathPolicy;

/// Window that every stream half starts with, set aside for every stream that the limits allow, in bytes.
pub const INITIAL_WINDOW: u64 = MIN_INITIAL_WINDOW;

/// Time for handshake and Welcome by default.
const DIAL_TIME: Duration = Duration::from_secs(10);

/// What a session is set up with. The defaults are those of the public API.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Bidirectional streams that the peer may have open at a time. Default 100. The peer waits when it is reached.
    pub max_bidirectional_streams: u32,
    /// Unidirectional streams that the peer may have open at a time. Default 100.
    pub max_unidirectional_streams: u32,
    /// Bytes that may be promised to senders at a time, over all streams, before the factor of 1.5 for pinned
    /// memory. Default 128 MiB. Too low: far paths idle; too high: memory.
    pub session_budget: u64,
    /// Bytes that an application may write ahead of what was sent, per stream. Default 4 MiB, as in s2n-quic.
    pub send_queue: usize,
    /// What to do when two sources disagree. Default [`ConflictPolicy::FirstWins`].
    pub conflict_policy: ConflictPolicy,
    /// How long a reader waits for bytes that nobody promises. Default 10 s.
    pub gap_timeout: Duration,
    /// Which secondaries a client may be sent to.
    pub path_policy: PathPolicy,
    /// How long a client's primary may take to answer the Hello. Default 10 s. A driver gives it what the QUIC handshake left
    /// of the dial time. Longer: an application waits that much longer for a server that is none.
    pub answer_time: Duration,
    /// How long handshake and Welcome of a client's path to a secondary may take together. Default 10 s.
    pub dial_time: Duration,
    /// How long an owner-less sender keeps a stream without progress. Default 30 s.
    pub linger: Duration,
    /// How long a client may take none of what a primary has for it on a stream. Default 5 min. Shorter: an application that
    /// pauses for a while loses its stream; longer: what waits for a client that never reads is held that long.
    pub reader_patience: Duration,
    /// How a primary decides who sends what.
    pub delegation: DelegationConfig,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            max_bidirectional_streams: 100,
            max_unidirectional_streams: 100,
            session_budget: 128 * 1024 * 1024,
            send_queue: 4 * 1024 * 1024,
            conflict_policy: ConflictPolicy::FirstWins,
            gap_timeout: Duration::from_secs(10),
            path_policy: PathPolicy::default(),
            answer_time: DIAL_TIME,
            dial_time: DIAL_TIME,
            linger: Duration::from_secs(30),
            reader_patience: Duration::from_secs(300),
            delegation: DelegationConfig::default(),
        }
    }
}

impl SessionConfig {
    /// What the peer is told in Hello or Welcome.
    pub fn limits(&self) -> Limits {
        Limits {
            max_bidirectional_streams: self.max_bidirectional_streams,
            max_unidirectional_streams: self.max_unidirectional_streams,
            initial_window: INITIAL_WINDOW,
        }
    }
}
