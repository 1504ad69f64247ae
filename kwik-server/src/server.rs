//! The server: an endpoint, and the sessions that clients open on it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use kwik_core::admission::ReplayCache;
use kwik_io::api::names::Stream;
use kwik_io::endpoint::{Accepted, BindError, ServerEndpoint};
use kwik_io::env::Env;
use kwik_io::session::SessionInfo;
use kwik_io::tls::CurrentCertificate;
use kwik_io::worker::{Worker, Workers};
use s2n_quic::Connection;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::admission::{Place, Queues, REFUSING, Shared, admit};
use crate::builder::{Builder, StartError};
use crate::census::Census;
use crate::handle::ServerHandle;
use crate::leaving::Presence;
use crate::metrics::{Counters, ServerMetrics};
use crate::reads::Reads;
use crate::settings::{Current, Settings};
use crate::{PrimarySession, SecondarySession, primary, secondary};

/// Sessions that wait to be accepted, of each kind. When it is full, as many clients again wait for the
/// answer to their Hello, each as long as a handshake may take; the others are refused as `BUSY`.
const BACKLOG: usize = 1024;

/// A KWIK server. It accepts sessions until it is dropped.
///
/// Those that were accepted live on, as with s2n-quic: each keeps the thread that it runs on, and with it the server's
/// socket, until it is over. Those that waited to be accepted are closed, and no client gets through any more. To have
/// clients told beforehand, call [`close`](Self::close).
#[derive(Debug)]
pub struct Server {
    primaries: PrimaryAcceptor,
    secondaries: SecondaryAcceptor,
}

/// Accepts the sessions in which this server is primary.
#[derive(Debug)]
pub struct PrimaryAcceptor {
    sessions: mpsc::Receiver<PrimarySession>,
    handle: ServerHandle,
    _running: Arc<Running>,
}

/// Accepts the sessions in which this server is secondary.
#[derive(Debug)]
pub struct SecondaryAcceptor {
    sessions: mpsc::Receiver<SecondarySession>,
    handle: ServerHandle,
    _running: Arc<Running>,
}

/// What accepts is a `Stream` of sessions, as in s2n-quic.
macro_rules! accepted {
    ($acceptor:ident, $session:ident) => {
        impl Stream for $acceptor {
            type Item = $session;

            fn poll_next(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Self::Item>> {
                self.poll_accept(cx)
            }
        }
    };
}

/// Ends the accepting tasks with the last of those that accept.
#[derive(Debug)]
pub(crate) struct Running {
    /// One for each shard.
    tasks: Vec<AbortHandle>,
    /// Threads stay while the server accepts, and those with sessions as long as these.
    _workers: Workers,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Server {
    /// A server to be set up.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn start(builder: Builder) -> Result<Self, StartError> {
        let certificate = builder.certificate.clone().ok_or(StartError::NoCertificate)?;
        let env = builder.env.clone().unwrap_or_else(Env::system);
        let workers = Workers::start(env.placement().unwrap_or(builder.placement))?;
        let expectation = builder.expectation(&certificate);
        let certificate = CurrentCertificate::from(&certificate);
        let (homes, endpoints) = bind(&builder, &env, &workers, &certificate)?;
        let local = endpoints[0].local_addr();
        let mut config = builder.limits.session();
        config.delegation.switches = env.switches();
        let (most, most_of_address) = builder.limits.max_sessions();
        let shared = Arc::new(Shared {
            env,
            hello: builder.limits.hello(),
            most_pumps: builder.endpoint().most_pumps(),
            identity: builder.identity,
            settings: Settings::new(Current {
                config,
                rates: Arc::new(builder.limits.rates()),
                session_send_memory: builder.limits.max_send_memory().1,
                trusted: builder.trusted,
                expectation,
            }),
            replays: Mutex::new(ReplayCache::default()),
            counters: Counters::default(),
            leaving: Arc::default(),
            reads: Reads::new(builder.limits.reads()),
            census: Census::new(most, most_of_address),
            send_memory: builder.limits.send_memory(),
            receive_memory: builder.limits.receive_memory(),
            refusing: Semaphore::new(REFUSING),
        });
        let (primaries, primary_sessions) = mpsc::channel(BACKLOG);
        let (secondaries, secondary_sessions) = mpsc::channel(BACKLOG);
        let queues = Queues {
            primaries,
            secondaries,
            waiting_primaries: Arc::new(Semaphore::new(BACKLOG)),
            waiting_secondaries: Arc::new(Semaphore::new(BACKLOG)),
        };
        let rejected = endpoints.iter().map(ServerEndpoint::rejections).collect();
        let connections = endpoints.iter().map(ServerEndpoint::connections).collect();
        let handshakes = endpoints.iter().map(ServerEndpoint::handshakes).collect();
        let sessions = Arc::<AtomicU64>::default();
        let run = |(worker, endpoint): (Worker, ServerEndpoint)| {
            let front = Front {
                shared: shared.clone(),
                worker: worker.clone(),
                queues: Mutex::new(Some(queues.clone())),
                sessions: sessions.clone(),
            };
            worker.spawn(front.run(endpoint)).abort_handle()
        };
        let tasks = homes.into_iter().zip(endpoints).map(run).collect();
        let threads = workers.iter().map(Worker::downgrade).collect();
        let running = Arc::new(Running { tasks, _workers: workers });
        let weak = Arc::downgrade(&running);
        let handle = ServerHandle {
            local,
            shared,
            rejected,
            connections,
            handshakes,
            workers: threads,
            certificate,
            running: weak,
        };
        Ok(Self {
            primaries: PrimaryAcceptor {
                sessions: primary_sessions,
                handle: handle.clone(),
                _running: running.clone(),
            },
            secondaries: SecondaryAcceptor {
                sessions: secondary_sessions,
                handle,
                _running: running,
            },
        })
    }

    /// The next session in which this server is primary; `None` when the server goes away ([`close`](Self::close)). Cancel
    /// safe.
    pub async fn accept(&mut self) -> Option<PrimarySession> {
        self.primaries.accept().await
    }

    /// As [`accept`](Self::accept).
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<PrimarySession>> {
        self.primaries.poll_accept(cx)
    }

    /// The acceptors of both kinds of session, apart.
    pub fn split(self) -> (PrimaryAcceptor, SecondaryAcceptor) {
        (self.primaries, self.secondaries)
    }

    /// A handle that closes the server, also after [`split`](Self::split).
    pub fn handle(&self) -> ServerHandle {
        self.primaries.handle()
    }

    /// See [`ServerHandle::close`].
    pub async fn close(&self, grace: Duration) {
        self.handle().close(grace).await;
    }

    /// Where it listens, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.primaries.local_addr()
    }

    /// What the server has counted since its start.
    pub fn metrics(&self) -> ServerMetrics {
        self.primaries.metrics()
    }

    /// The pin of its certificate, as it is now.
    pub fn pin(&self) -> kwik_io::tls::Pin {
        self.primaries.handle.pin()
    }
}

impl PrimaryAcceptor {
    /// The next session; `None` when the server goes away ([`ServerHandle::close`]). Cancel safe.
    pub async fn accept(&mut self) -> Option<PrimarySession> {
        self.sessions.recv().await
    }

    /// As [`accept`](Self::accept).
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<PrimarySession>> {
        self.sessions.poll_recv(cx)
    }

    /// A handle that closes the server.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Where the server listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    /// What the server has counted since its start, of both kinds.
    pub fn metrics(&self) -> ServerMetrics {
        self.handle.metrics()
    }
}

impl SecondaryAcceptor {
    /// The next session; `None` when the server goes away ([`ServerHandle::close`]). Cancel safe.
    pub async fn accept(&mut self) -> Option<SecondarySession> {
        self.sessions.recv().await
    }

    /// As [`accept`](Self::accept).
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<SecondarySession>> {
        self.sessions.poll_recv(cx)
    }

    /// A handle that closes the server.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Where the server listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    /// What the server has counted since its start, of both kinds.
    pub fn metrics(&self) -> ServerMetrics {
        self.handle.metrics()
    }
}

accepted!(Server, PrimarySession);
accepted!(PrimaryAcceptor, PrimarySession);
accepted!(SecondaryAcceptor, SecondarySession);

/// Binds the port as often as it has shards; at least once. Each endpoint with its worker.
fn bind(
    builder: &Builder,
    env: &Env,
    workers: &Workers,
    certificate: &CurrentCertificate,
) -> Result<(Vec<Worker>, Vec<ServerEndpoint>), BindError> {
    let address = builder.address.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
    let limits = builder.endpoint();
    // A simulated host is one runtime.
    let shards = if env.placement().is_some() { 1 } else { builder.shards.max(1) };
    let homes: Vec<Worker> = (0..shards).map(|_| workers.next()).collect();
    let endpoints = match &homes[..] {
        [worker] => vec![ServerEndpoint::bind(env, worker, address, certificate, limits)?],
        homes => ServerEndpoint::bind_shards(env, homes, address, certificate, limits)?,
    };
    Ok((homes, endpoints))
}

/// Takes connections, and gives them to those that accept.
struct Front {
    shared: Arc<Shared>,
    worker: Worker,
    /// `None`: the server goes away, and whoever accepts is to learn of it.
    queues: Mutex<Option<Queues>>,
    /// Connections so far, of all shards.
    sessions: Arc<AtomicU64>,
}

impl Front {
    async fn run(self, mut endpoint: ServerEndpoint) {
        let front = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                biased;
                () = front.shared.leaving.begun(), if front.queues().is_some() => {
                    front.close();
                    continue;
                }
                accepted = endpoint.accept() => accepted,
            };
            let Some(accepted) = accepted else { return };
            let front = front.clone();
            // On the endpoint's own worker, as all that belongs to its connections.
            let worker = front.worker.clone();
            worker.spawn(async move { front.handle(accepted).await });
        }
    }

    fn queues(&self) -> Option<Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on it takes connections only to refuse them.
    fn close(&self) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn info(&self, connection: &Connection) -> SessionInfo {
        SessionInfo {
            id: self.sessions.fetch_add(1, Ordering::Relaxed),
            local: connection.local_addr().ok(),
            remote: connection.remote_addr().ok(),
            server_name: connection.server_name().ok().flatten().map(|name| (&*name).into()),
        }
    }

    async fn handle(&self, accepted: Accepted) {
        // A session that is just being admitted is one that a server that goes away waits for.
        let _arriving = Presence::new(&self.shared.leaving);
        let info = self.info(&accepted.connection);
        let resident = info.remote.and_then(|remote| self.shared.census.enter(remote.ip()));
        let admitted = admit(&self.shared, || self.queues(), resident, accepted).await;
        let Some(admitted) = admitted else { return };
        let (shared, worker) = (self.shared.clone(), self.worker.clone());
        let (connection, control, stats) = (admitted.connection, admitted.control, admitted.stats);
        let resident = admitted.resident;
        match admitted.session {
            Place::Primary(core, place) => {
                let parts = primary::Parts { connection, control, stats, info, worker, resident };
                place.send(primary::start(shared, core, parts));
            }
            Place::Secondary(core, signer, place) => {
                let parts =
                    secondary::Parts { connection, control, stats, info, signer, worker, resident };
                place.send(secondary::start(shared, *core, parts));
            }
        }
    }
}
