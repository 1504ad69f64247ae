//! What may be asked of a server by those who do not accept its sessions.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use kwik_io::endpoint::{Connections, Handshakes};
use kwik_io::worker::WeakWorker;

use crate::admission::Shared;
use crate::metrics::ServerMetrics;
use crate::server::Running;

/// How long the ends of the last sessions may take to reach their clients.
const GOODBYE: Duration = Duration::from_secs(1);

/// A handle to a server: its address, its counters, its end. Cheap to clone.
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
    pub(crate) running: Weak<Running>,
}

impl ServerHandle {
    /// Where the server listens, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What the server has counted since its start.
    pub fn metrics(&self) -> ServerMetrics {
        let memory = (&self.shared.send_memory.0, &self.shared.receive_memory);
        self.shared.counters.snapshot(&self.rejected, &self.handshakes, memory, &self.workers)
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
