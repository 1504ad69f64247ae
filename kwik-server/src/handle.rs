//! What may be asked of a server by those who do not accept its sessions.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use kwik_io::endpoint::{Connections, Handshakes};
use kwik_io::key::{PublicKey, TrustedKeys};
use kwik_io::tls::{CurrentCertificate, Pin, ServerCertificate};
use kwik_io::worker::WeakWorker;

use crate::Limits;
use crate::admission::Shared;
use crate::metrics::ServerMetrics;
use crate::server::Running;

/// How long the ends of the last sessions may take to reach their clients.
const GOODBYE: Duration = Duration::from_secs(1);

/// A handle to a server: its address, its counters, its settings, its end. Cheap to clone.
///
/// It keeps nothing alive: a server accepts as long as there is something that accepts.
///
/// ```no_run
/// # async fn example(server: kwik_server::Server) {
/// use std::time::Duration;
///
/// let handle = server.handle();
/// let (mut primaries, _secondaries) = server.split();
/// let accepting = tokio::spawn(async move {
///     while let Some(session) = primaries.accept().await {
///         println!("{:?}", session.remote_addr());
///     }
/// });
/// handle.close(Duration::from_secs(30)).await;
/// accepting.await.expect("it ends: nothing is accepted any more");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ServerHandle {
    pub(crate) local: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    pub(crate) rejected: Arc<[Arc<AtomicU64>]>,
    pub(crate) connections: Arc<[Connections]>,
    pub(crate) handshakes: Arc<[Handshakes]>,
    /// Each once. They end with the server and its last session.
    pub(crate) workers: Arc<[WeakWorker]>,
    /// What all of its endpoints show.
    pub(crate) certificate: CurrentCertificate,
    pub(crate) running: Weak<Running>,
}

impl ServerHandle {
    /// Where the server listens, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What the server has counted since its start.
    pub fn metrics(&self) -> ServerMetrics {
        let memory = (&self.shared.send_memory, &self.shared.receive_memory);
        self.shared.counters.snapshot(&self.rejected, &self.handshakes, memory, &self.workers)
    }

    /// The pin of its certificate, as it is now.
    pub fn pin(&self) -> Pin {
        self.certificate.pin()
    }

    /// Shows this certificate in handshakes that begin from now on; sessions that are open go on. Where its key is another one,
    /// clients and primaries that know the server by its pin need the new pin. Tokens that were signed for the
    /// pin before are taken too, until the next change.
    ///
    /// ```
    /// use kwik_server::{Server, ServerCertificate};
    ///
    /// let first = ServerCertificate::self_signed(["localhost"])?;
    /// let server = Server::builder().with_tls(first)?.with_io("127.0.0.1:0")?.start()?;
    /// let renewed = ServerCertificate::self_signed(["localhost"])?;
    /// server.handle().set_certificate(renewed.clone());
    /// assert_eq!(server.pin(), renewed.pin());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_certificate(&self, certificate: ServerCertificate) {
        // First the pin: nobody is to have a token for a certificate that is not expected yet.
        self.shared.settings.change(|settings| settings.expect(certificate.pin()));
        self.certificate.replace(certificate);
    }

    /// Takes tokens of these primaries alone from now on, as
    /// [`with_trusted_primaries`](crate::Builder::with_trusted_primaries). Sessions that others opened before go on until they
    /// are over; a client of theirs that connects anew is refused.
    pub fn set_trusted_primaries(&self, keys: impl IntoIterator<Item = PublicKey>) {
        let trusted = TrustedKeys::from_iter(keys);
        self.shared.settings.change(|settings| settings.trusted = trusted);
    }

    /// Changes limits while the server runs. No session is dropped.
    ///
    /// At once: [sessions](Limits::with_max_sessions) (nobody is let in before there are fewer), and the totals of
    /// [send](Limits::with_send_memory) and [receive memory](Limits::with_receive_memory) (what is held stays, nobody takes
    /// more before). For sessions that begin from now on: one session's part of the send memory, its
    /// [budget](Limits::with_session_budget), the [reader's patience](Limits::with_reader_patience) and
    /// [frame rates](Limits::with_frame_rate). The others stay what they were at the start, since QUIC or
    /// threads were set up by them: [streams](Limits::with_max_streams), [idle](Limits::with_idle_timeout) and
    /// [handshake timeout](Limits::with_handshake_timeout), [handshakes](Limits::with_max_handshakes) and
    /// [reads](Limits::with_reads).
    ///
    /// ```
    /// # fn example(server: kwik_server::ServerHandle) {
    /// use kwik_server::Limits;
    ///
    /// server.set_limits(Limits::new().with_max_sessions(20_000, 500));
    /// # }
    /// ```
    pub fn set_limits(&self, limits: Limits) {
        let shared = &self.shared;
        let (most, most_of_address) = limits.max_sessions();
        shared.census.set_limits(most, most_of_address);
        shared.send_memory.set_total(limits.max_send_memory().0);
        shared.receive_memory.set_total(limits.total_receive_memory());
        shared.settings.change(|settings| settings.set_limits(&limits));
    }

    /// Takes the server down. Returns when its last session is over and the client was told.
    ///
    /// From now on no session begins: clients that dial are refused at once, and
    /// `accept` returns `None` when those that waited were taken. Clients are told that the server goes away. As primary
    /// it goes on with streams that are open, and closes a session without any. As secondary it refuses what its application
    /// has not accepted yet, so that others send it; what was accepted is sent, and a session whose contributions have all
    /// arrived is closed. What is still open after `grace` is closed with [`GoingAway`](crate::ErrorCode::GoingAway).
    ///
    /// A second call can make it shorter, and never longer. If the future is dropped the server goes away all the same.
    pub async fn close(&self, grace: Duration) {
        // Dropped, it would take no connection any more, and clients that dial would wait for nothing.
        let running = self.running.upgrade();
        let env = &self.shared.env;
        self.shared.leaving.begin(env.now() + grace);
        // Each session ends by itself then.
        self.shared.leaving.empty().await;
        let told = async {
            for endpoint in &*self.connections {
                endpoint.none().await;
            }
        };
        let _ = tokio::time::timeout(GOODBYE, told).await;
        drop(running);
    }
}
