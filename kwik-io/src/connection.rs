//! What a QUIC connection tells about itself: round trips, losses, signs of life, the TLS exporter.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use kwik_core::time::Instant;
use s2n_quic::application;
use s2n_quic::provider::event::events::{self, EndpointMeta};
use s2n_quic::provider::event::{self, ConnectionInfo, ConnectionMeta, supervisor};

use crate::endpoint::{Connections, Goodbye, Goodbyes, Handshakes, Owed, Shaking};
use crate::env::Env;
use crate::lane::{Lane, Sent};
use crate::tls::{Refusal, RefusalCell};
use crate::worker::{WeakWorker, Worker};

/// Label of the TLS exporter (RFC 8446, 7.5) that an admission is bound to; without context.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-kwik-admission";

/// RFC 9002, 6.1.2.
const GRANULARITY: Duration = Duration::from_millis(1);
/// What is assumed before the first sample (RFC 9002, 6.2.2).
const INITIAL_RTT: Duration = Duration::from_millis(333);
/// RFC 9000, 18.2.
const MAX_ACK_DELAY: Duration = Duration::from_millis(25);

/// Statistics of one QUIC connection, written by its endpoint and readable from any thread without a lock.
///
/// You meet one in [`crate::endpoint::Dialled`] and [`crate::endpoint::Accepted`]. It stays readable after the
/// connection ended and then keeps its last values. Each value is current by itself; two values read one after the
/// other may come from different moments.
///
/// ```
/// use kwik_io::connection::ConnectionStats;
///
/// let stats = ConnectionStats::default();
/// assert_eq!(stats.smoothed_rtt(), None);
/// assert_eq!(stats.last_datagram(), None);
/// ```
#[derive(Debug, Default)]
pub struct ConnectionStats {
    smoothed_rtt_us: AtomicU64,
    rtt_variation_us: AtomicU64,
    min_rtt_us: AtomicU64,
    congestion_window: AtomicU64,
    bytes_in_flight: AtomicU64,
    last_datagram_ns: AtomicU64,
    received_datagrams: AtomicU64,
    received_bytes: AtomicU64,
    lost_packets: AtomicU64,
    lost_bytes: AtomicU64,
    exporter: OnceLock<[u8; 32]>,
    refusal: OnceLock<Refusal>,
    /// Made with the first pump: an idle session has none.
    lane: OnceLock<Arc<Lane>>,
}

impl ConnectionStats {
    /// The order in which pumps hand their bytes to this connection.
    pub fn lane(&self) -> &Arc<Lane> {
        self.lane.get_or_init(|| {
            let lane = Arc::<Lane>::default();
            lane.set_pace(self.congestion_window(), self.smoothed_rtt().unwrap_or(INITIAL_RTT));
            lane
        })
    }

    /// Smoothed round-trip time (RFC 9002, 5.3); `None` before the first sample.
    pub fn smoothed_rtt(&self) -> Option<Duration> {
        micros(&self.smoothed_rtt_us)
    }

    /// Variation of the round-trip time (RFC 9002, 5.3); `None` before the first sample.
    pub fn rtt_variation(&self) -> Option<Duration> {
        self.smoothed_rtt()?;
        Some(Duration::from_micros(self.rtt_variation_us.load(Ordering::Relaxed)))
    }

    /// How long an acknowledgement may take (RFC 9002, 6.2.1, with the default `max_ack_delay` of 25 ms); `None` before the
    /// first sample.
    pub fn probe_timeout(&self) -> Option<Duration> {
        let (smoothed, variation) = (self.smoothed_rtt()?, self.rtt_variation()?);
        Some(smoothed + (4 * variation).max(GRANULARITY) + MAX_ACK_DELAY)
    }

    /// Least round-trip time seen; `None` before the first sample.
    pub fn min_rtt(&self) -> Option<Duration> {
        micros(&self.min_rtt_us)
    }

    /// Congestion window, in bytes; 0 before the first acknowledgement.
    pub fn congestion_window(&self) -> u64 {
        self.congestion_window.load(Ordering::Relaxed)
    }

    /// Bytes sent and not yet acknowledged or lost, at the last acknowledgement.
    pub fn bytes_in_flight(&self) -> u64 {
        self.bytes_in_flight.load(Ordering::Relaxed)
    }

    /// When the last datagram arrived that belongs to this connection, in the time of the [`Env`] that the endpoint
    /// was started with; `None` before the first. It drives the path's liveness clock.
    pub fn last_datagram(&self) -> Option<Instant> {
        match self.last_datagram_ns.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Instant::from_start(Duration::from_nanos(nanos))),
        }
    }

    /// Datagrams that arrived.
    pub fn received_datagrams(&self) -> u64 {
        self.received_datagrams.load(Ordering::Relaxed)
    }

    /// Bytes of UDP payload that arrived.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// Packets declared lost, without probes for a larger datagram size.
    pub fn lost_packets(&self) -> u64 {
        self.lost_packets.load(Ordering::Relaxed)
    }

    /// Bytes in packets declared lost, without probes for a larger datagram size.
    pub fn lost_bytes(&self) -> u64 {
        self.lost_bytes.load(Ordering::Relaxed)
    }

    /// The connection's keying material under [`EXPORTER_LABEL`], equal at both ends and at no other connection;
    /// `None` until the handshake is complete.
    pub fn exporter(&self) -> Option<[u8; 32]> {
        self.exporter.get().copied()
    }

    /// Why the certificate verifier refused the server; `None` if it did not.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.get()
    }
}

fn micros(value: &AtomicU64) -> Option<Duration> {
    match value.load(Ordering::Relaxed) {
        0 => None,
        micros => Some(Duration::from_micros(micros)),
    }
}

/// Rounded up to a microsecond, so that a sample is never mistaken for none.
fn to_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1)
}

/// What a dialler brings along for its connection, so that it can read the statistics while the handshake is under way.
pub(crate) struct Brought {
    pub(crate) stats: Arc<ConnectionStats>,
    /// Kept until the connection is over: a client's endpoint.
    pub(crate) hold: Arc<dyn Any + Send + Sync>,
    /// Whether the dialler still waits for the handshake: it holds the other end.
    pub(crate) wanted: Weak<()>,
}

/// How often it is looked whether a handshake is still wanted. s2n-quic advises against less.
const ABANDONED_CHECK: Duration = Duration::from_millis(100);

/// What s2n-quic keeps for a connection on behalf of the [`Observer`].
pub(crate) struct Observed {
    pub(crate) stats: Arc<ConnectionStats>,
    _hold: Option<Arc<dyn Any + Send + Sync>>,
    /// `None` for an accepted connection.
    wanted: Option<Weak<()>>,
    goodbye: Goodbye,
    /// An accepted connection's, until its handshake is complete.
    shaking: Option<Box<Shaking>>,
    /// The start of the endpoint's clock in the time of the [`Env`], so that no event reads a clock again.
    clock_start: Instant,
    sent: Sent,
}

/// Fills the [`ConnectionStats`] of an endpoint's connections.
pub(crate) struct Observer {
    env: Env,
    /// Where the endpoint's certificate verifier leaves its reason; empty on a server.
    refusal: RefusalCell,
    /// Handshakes that a server gave up at the first packet.
    rejected: Arc<AtomicU64>,
    /// A client's: who has to hear that a connection is over. `None` at a server.
    goodbyes: Option<Goodbyes>,
    /// Goodbyes that were written in this turn of the event loop.
    written: Vec<Owed>,
    /// Where a server's endpoint runs. Each of its connections keeps that thread until its peer was told of its end; the
    /// endpoint itself does not, or it would live for ever. A client's connections bring along what they need.
    home: Option<WeakWorker>,
    connections: Connections,
    /// A server's.
    handshakes: Option<Handshakes>,
}

impl Observer {
    pub(crate) fn client(env: Env, refusal: RefusalCell, goodbyes: Goodbyes) -> Self {
        let (rejected, connections) = (Arc::default(), Connections::default());
        let (goodbyes, written) = (Some(goodbyes), Vec::new());
        let (home, handshakes) = (None, None);
        Self { env, refusal, rejected, goodbyes, written, home, connections, handshakes }
    }

    pub(crate) fn server(
        env: Env,
        rejected: Arc<AtomicU64>,
        (connections, handshakes): (Connections, Handshakes),
        home: &Worker,
    ) -> Self {
        let (refusal, written, goodbyes) = (RefusalCell::default(), Vec::new(), None);
        let (home, handshakes) = (Some(home.downgrade()), Some(handshakes));
        Self { env, refusal, rejected, goodbyes, written, home, connections, handshakes }
    }

    /// What a connection of a server keeps until it is over.
    fn kept(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        let home = self.home.as_ref()?.upgrade();
        Some(Arc::new((self.connections.count(), home)))
    }
}

impl Observed {
    /// Nobody waits for this handshake any more, and it is not complete.
    fn is_abandoned(&self) -> bool {
        self.is_handshaking()
            && self.wanted.as_ref().is_some_and(|wanted| wanted.strong_count() == 0)
    }

    fn is_handshaking(&self) -> bool {
        self.stats.exporter.get().is_none()
    }
}

impl event::Subscriber for Observer {
    type ConnectionContext = Observed;

    fn create_connection_context(
        &mut self,
        meta: &ConnectionMeta,
        info: &ConnectionInfo,
    ) -> Self::ConnectionContext {
        let brought = info.application.and_then(|any| any.downcast_ref::<Brought>());
        let elapsed = meta.timestamp.duration_since_start();
        let clock_start = self.env.now().elapsed().saturating_sub(elapsed);
        Observed {
            stats: brought.map(|brought| brought.stats.clone()).unwrap_or_default(),
            _hold: brought.map(|brought| brought.hold.clone()).or_else(|| self.kept()),
            wanted: brought.map(|brought| brought.wanted.clone()),
            goodbye: Goodbye::None,
            shaking: None,
            clock_start: Instant::from_start(clock_start),
            sent: Sent::default(),
        }
    }

    fn on_connection_started(
        &mut self,
        context: &mut Self::ConnectionContext,
        _meta: &ConnectionMeta,
        event: &events::ConnectionStarted<'_>,
    ) {
        let handshakes = self.handshakes.as_ref();
        context.shaking = handshakes.map(|it| Box::new(it.begin(&event.path.remote_addr)));
    }

    /// s2n-quic goes on with a handshake whose future was dropped. It looks after connections at this interval, so that this
    /// can end it.
    fn supervisor_timeout(
        &mut self,
        context: &mut Self::ConnectionContext,
        _meta: &ConnectionMeta,
        _supervision: &supervisor::Context,
    ) -> Option<Duration> {
        (context.wanted.is_some() && context.is_handshaking()).then_some(ABANDONED_CHECK)
    }

    fn on_supervisor_timeout(
        &mut self,
        context: &mut Self::ConnectionContext,
        _meta: &ConnectionMeta,
        _supervision: &supervisor::Context,
    ) -> supervisor::Outcome {
        match context.stats.last_datagram() {
            _ if !context.is_abandoned() => supervisor::Outcome::Continue,
            None => supervisor::Outcome::ImmediateClose { reason: "nobody waits for it" },
            // There is a server that would keep its half.
            Some(_) => supervisor::Outcome::Close { error_code: application::Error::UNKNOWN },
        }
    }

    fn on_connection_closed(
        &mut self,
        context: &mut Self::ConnectionContext,
        _meta: &ConnectionMeta,
        event: &events::ConnectionClosed,
    ) {
        context.goodbye.handle_closed(&event.error);
    }

    fn on_datagram_sent(
        &mut self,
        context: &mut Self::ConnectionContext,
        _meta: &ConnectionMeta,
        _event: &events::DatagramSent,
    ) {
        self.written.extend(context.goodbye.handle_datagram_sent());
    }

    /// What was written is in the hands of the task that feeds the socket, which was woken before this one is: when it
    /// runs, the system has it.
    fn on_platform_event_loop_sleep(
        &mut self,
        _meta: &EndpointMeta,
        _event: &events::PlatformEventLoopSleep,
    ) {
        if !self.written.is_empty() {
            let written = std::mem::take(&mut self.written);
            self.env.spawn(async move {
                tokio::task::yield_now().await;
                drop(written);
            });
        }
    }

    fn on_endpoint_connection_attempt_failed(
        &mut self,
        _meta: &EndpointMeta,
        _event: &events::EndpointConnectionAttemptFailed,
    ) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    fn on_datagram_received(
        &mut self,
        context: &mut Self::ConnectionContext,
        meta: &ConnectionMeta,
        event: &events::DatagramReceived,
    ) {
        let at = context.clock_start + meta.timestamp.duration_since_start();
        let nanos = u64::try_from(at.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1);
        let stats = &context.stats;
        stats.last_datagram_ns.store(nanos, Ordering::Relaxed);
        stats.received_datagrams.fetch_add(1, Ordering::Relaxed);
        stats.received_bytes.fetch_add(event.len.into(), Ordering::Relaxed);
    }

    fn on_recovery_metrics(
        &mut self,
        context: &mut Self::ConnectionContext,
        _meta: &ConnectionMeta,
        event: &events::RecoveryMetrics,
    ) {
        let stats = &context.stats;
        if let Some(lane) = stats.lane.get()
            && stats.congestion_window() != u64::from(event.congestion_window)
        {
            lane.set_pace(event.congestion_window.into(), event.smoothed_rtt);
        }
        stats.congestion_window.store(event.congestion_window.into(), Ordering::Relaxed);
        stats.bytes_in_flight.store(event.bytes_in_flight.into(), Ordering::Relaxed);
        stats.rtt_variation_us.store(to_micros(event.rtt_variance), Ordering::Relaxed);
        stats.min_rtt_us.store(to_micros(event.min_rtt), Ordering::Relaxed);
        stats.smoothed_rtt_us.store(to_micros(event.smoothed_rtt), Ordering::Relaxed);
    }

    fn on_frame_sent(
        &mut self,
        context: &mut Self::ConnectionContext,
        _meta: &ConnectionMeta,
        event: &events::FrameSent,
    ) {
        if let events::Frame::Stream { id, offset, len, .. } = event.frame
            && let Some(lane) = context.stats.lane.get()
        {
            context.sent.tell(lane, id, offset.saturating_add(len.into()));
        }
    }

    fn on_packet_lost(
        &mut self,
        context: &mut Self::ConnectionContext,
        _meta: &ConnectionMeta,
        event: &events::PacketLost,
    ) {
        if event.is_mtu_probe {
            return;
        }
        context.stats.lost_packets.fetch_add(1, Ordering::Relaxed);
        context.stats.lost_bytes.fetch_add(event.bytes_lost.into(), Ordering::Relaxed);
    }

    fn on_tls_exporter_ready(
        &mut self,
        context: &mut Self::ConnectionContext,
        _meta: &ConnectionMeta,
        event: &events::TlsExporterReady,
    ) {
        context.shaking = None;
        let mut secret = [0; 32];
        if event.session.tls_exporter(EXPORTER_LABEL, b"", &mut secret).is_ok() {
            let _ = context.stats.exporter.set(secret);
        }
        if let Some(goodbyes) = &self.goodbyes {
            context.goodbye = goodbyes.owe();
        }
    }

    /// The verifier ran a moment ago in this same task, for this very connection: its reason is taken out before
    /// another handshake can leave one.
    fn on_tls_handshake_failed(
        &mut self,
        context: &mut Self::ConnectionContext,
        _meta: &ConnectionMeta,
        _event: &events::TlsHandshakeFailed,
    ) {
        if let Some(refusal) = self.refusal.take() {
            let _ = context.stats.refusal.set(refusal);
        }
    }
}
