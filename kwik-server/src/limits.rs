//! How much sessions may take.

use std::time::Duration;

use kwik_core::session::SessionConfig;
use kwik_core::throttle::{Class, Peer, Rates};
use kwik_io::endpoint::EndpointLimits;
use kwik_io::stream::{ReceiveMemory, SendMemory};

/// How much of everything one session of a server may take, and all of them together.
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
    reads: usize,
    sessions: u32,
    sessions_of_address: u32,
    handshakes: u32,
    handshakes_of_address: u32,
    send_memory: u64,
    session_send_memory: u64,
    reader_patience: Duration,
    receive_memory: u64,
    rates: Rates,
}

/// Bytes that all clients may send: of 1 GiB one session may have an eighth of what is free.
const RECEIVE_MEMORY: u64 = 1 << 30;

/// Bytes on their way to all clients: of 1 GiB one session may have an eighth of what is free.
const SEND_MEMORY: u64 = 1 << 30;

/// Bytes on their way to one client: twice what a client's QUIC takes at a time, which carries 1.7 Gbit/s over 150 ms.
const SESSION_SEND_MEMORY: u64 = 64 << 20;

/// Sessions at a time. An idle one takes some 30 KiB; a machine with less to spare is to say so.
const SESSIONS: u32 = 10_000;

/// Sessions of one address at a time: a tenth of all, enough for an office or a mobile network behind one NAT.
const SESSIONS_OF_ADDRESS: u32 = 1_000;

/// Reads of local copies at a time.
const READS: usize = 64;

impl Default for Limits {
    fn default() -> Self {
        let (session, endpoint) = (SessionConfig::default(), EndpointLimits::default());
        Self {
            bidirectional_streams: session.max_bidirectional_streams,
            unidirectional_streams: session.max_unidirectional_streams,
            session_budget: session.session_budget,
            idle_timeout: endpoint.idle,
            handshake_timeout: endpoint.handshake,
            reads: READS,
            sessions: SESSIONS,
            sessions_of_address: SESSIONS_OF_ADDRESS,
            handshakes: endpoint.handshakes,
            handshakes_of_address: endpoint.handshakes_of_prefix,
            send_memory: SEND_MEMORY,
            session_send_memory: SESSION_SEND_MEMORY,
            reader_patience: session.reader_patience,
            receive_memory: RECEIVE_MEMORY,
            rates: Rates::of(Peer::Client),
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

    /// Reads of local copies ([`Delegate::with_local`](crate::Delegate)) that are under way at a time, over all sessions; each
    /// takes a thread. Default 64, at least 1. The others wait, sessions take turns, and none has more than a quarter. Too low:
    /// the disk idles. Too high: threads, and a disk that hangs keeps as many.
    #[must_use]
    pub fn with_reads(mut self, reads: usize) -> Self {
        self.reads = reads;
        self
    }

    /// Sessions at a time, as primary and as secondary, those counted whose Hello has not come; and those of them that come
    /// from one IPv4 address or IPv6 network of 56 bits. Default 10,000 and 1,000. Who comes when it is full is refused as
    /// [`Busy`](crate::ErrorCode::Busy), and may come back after a second. Too low: clients behind one NAT keep each other
    /// out. Too high: memory, and one attacker has that many.
    #[must_use]
    pub fn with_max_sessions(mut self, all: u32, of_address: u32) -> Self {
        self.sessions = all;
        self.sessions_of_address = of_address;
        self
    }

    /// What [`with_max_sessions`](Self::with_max_sessions) sets: sessions in all, and of one address.
    pub fn max_sessions(&self) -> (u32, u32) {
        (self.sessions, self.sessions_of_address)
    }

    /// What [`with_send_memory`](Self::with_send_memory) sets: bytes of all sessions, and of one.
    pub fn max_send_memory(&self) -> (u64, u64) {
        (self.send_memory, self.session_send_memory)
    }

    /// Handshakes under way at a time for each of the server's [shards](crate::Builder::with_shards); and those of them that
    /// come from one IPv4 address or IPv6 network of 56 bits. Default 1,024 and 256, at least 1 each. From a quarter on a
    /// client has to show first that it is where its packets claim to come from (a Retry, RFC 9000, 8.1.2): one round trip
    /// more. Beyond it first packets are dropped, and clients try again by themselves. Too low: a rush of clients
    /// waits. Too high: whoever sends first packets from made-up addresses takes 30 KiB for each, for as long as a
    /// handshake may last.
    #[must_use]
    pub fn with_max_handshakes(mut self, all: u32, of_address: u32) -> Self {
        self.handshakes = all;
        self.handshakes_of_address = of_address;
        self
    }

    /// Bytes that the server holds for its clients: what applications wrote, or [`Delegate`](crate::Delegate)s supply, until a
    /// client's QUIC has acknowledged it. Of all sessions, and of one. Default 1 GiB and 64 MiB. The more of all is used the
    /// less one session may have (an eighth of what is free), and the more a session uses the less each of its streams may
    /// have; 64 KiB always. Writers wait when there is no room, as they do for a client that does not read. Too low: many
    /// fast clients at once, or far ones, are served slowly. Too high: memory, when clients read slowly or not at all.
    #[must_use]
    pub fn with_send_memory(mut self, all: u64, session: u64) -> Self {
        self.send_memory = all;
        self.session_send_memory = session;
        self
    }

    /// How long a client may take none of the bytes that wait for it on a stream, whether it gives no window, no QUIC credit or
    /// no acknowledgement. Then the stream is reset on both sides with `PATH_TIMEOUT`, and the others go on. Default
    /// 5 min. Too low: a player that is paused loses its download. Too high: a client that never reads holds
    /// its share of [memory](Self::with_send_memory) that long.
    #[must_use]
    pub fn with_reader_patience(mut self, patience: Duration) -> Self {
        self.reader_patience = patience;
        self
    }

    /// Bytes that all clients together may have on their way to the server's applications: what their windows leave room for,
    /// and what came and was not read, each byte of a window counted one and a half times. Default 1 GiB. The more is
    /// promised the less one session may have (an eighth of what is free), within its
    /// [budget](Self::with_session_budget); each open stream has 64 KiB of window always. When all is promised windows do not
    /// grow, so uploads go on, at 64 KiB a round trip. Too low: many uploads at once, or far ones, are slow. Too
    /// high: memory, when applications do not read.
    #[must_use]
    pub fn with_receive_memory(mut self, all: u64) -> Self {
        self.receive_memory = all;
        self
    }

    /// Control frames of a class that a client may send in a second, and as many at once; of all classes for
    /// [`FrameClass::Any`](crate::FrameClass). At least 1. One that sends more is read more slowly, and is cut off with
    /// [`RateExceeded`](crate::ErrorCode) after 10 s of that. Defaults: any 200,000, tokens 200, paths 400, orders 20,000,
    /// answers 100,000, reports 20,000, probes 10,000, messages 85,000: what a client with sixteen secondaries at full speed
    /// sends, several times. Too low: honest clients are slowed, and fast transfers with them. Too high: one client takes
    /// a core.
    /// Among all, and among messages, a frame counts once for each started 512 bytes.
    ///
    /// ```
    /// use kwik_server::{FrameClass, Limits};
    ///
    /// // No application of this server takes messages of secondaries.
    /// let limits = Limits::new().with_frame_rate(FrameClass::Message, 10);
    /// ```
    #[must_use]
    pub fn with_frame_rate(mut self, class: Class, frames: u32) -> Self {
        self.rates = self.rates.with(class, frames);
        self
    }

    pub(crate) fn receive_memory(&self) -> ReceiveMemory {
        ReceiveMemory::new(self.receive_memory)
    }

    pub(crate) fn rates(&self) -> Rates {
        self.rates
    }

    pub(crate) fn send_memory(&self) -> SendMemory {
        SendMemory::new(self.send_memory)
    }

    pub(crate) fn total_receive_memory(&self) -> u64 {
        self.receive_memory
    }

    pub(crate) fn reads(&self) -> usize {
        self.reads
    }

    pub(crate) fn endpoint(&self) -> EndpointLimits {
        EndpointLimits {
            bidirectional_streams: self.bidirectional_streams,
            unidirectional_streams: self.unidirectional_streams,
            idle: self.idle_timeout,
            handshake: self.handshake_timeout,
            handshakes: self.handshakes,
            handshakes_of_prefix: self.handshakes_of_address,
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
            reader_patience: self.reader_patience,
            ..SessionConfig::default()
        }
    }
}
