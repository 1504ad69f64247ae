//! Server endpoints.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use s2n_quic::provider::StartError;
use s2n_quic::provider::tls::rustls;
use s2n_quic::{Connection, Server};
use socket2::{Domain, Socket, Type};

use super::connections::Connections;
use super::handshakes::Handshakes;
use super::limits::{EndpointLimits, Role};
use super::sockets;
use crate::connection::{ConnectionStats, Observed, Observer};
use crate::env::Env;
use crate::tls::{CurrentCertificate, TrustError, server_config};
use crate::worker::Worker;

/// A bound server socket, which accepts connections that speak `kwik/1`.
///
/// Connections that were accepted live on when it is dropped: each keeps the endpoint's worker until it is over.
///
/// ```
/// use kwik_io::endpoint::{EndpointLimits, ServerEndpoint};
/// use kwik_io::env::Env;
/// use kwik_io::tls::ServerCertificate;
/// use kwik_io::worker::{Placement, Workers};
///
/// let workers = Workers::start(Placement::default())?;
/// let certificate = ServerCertificate::self_signed(["localhost"])?;
/// let address = "127.0.0.1:0".parse()?;
/// let limits = EndpointLimits::default();
/// let server =
///     ServerEndpoint::bind(&Env::system(), &workers.next(), address, &certificate, limits)?;
/// println!("listening on {} pin {}", server.local_addr(), certificate.pin());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ServerEndpoint {
    /// Taken by the drop alone.
    server: Option<Server>,
    env: Env,
    local: SocketAddr,
    rejected: Arc<AtomicU64>,
    connections: Connections,
    handshakes: Handshakes,
}

/// A connection that a client made, its handshake complete.
#[derive(Debug)]
pub struct Accepted {
    /// The connection, with keep-alive on.
    pub connection: Connection,
    /// Its statistics.
    pub stats: Arc<ConnectionStats>,
    /// Its TLS exporter, for the admission proof.
    pub exporter: [u8; 32],
}

/// Whose a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    /// This socket's alone.
    Own,
    /// That of several sockets.
    Shared,
}

/// Why a server endpoint could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another program, or another server of this one, has the port.
    #[error("UDP port {} is in use; choose another one, or stop the program that has it", .0.port())]
    PortInUse(SocketAddr),
    /// The address is none of this machine's.
    #[error("{} is no address of this machine", .0.ip())]
    NotLocal(SocketAddr),
    /// The port needs rights.
    #[error("no permission to listen on UDP port {}", .0.port())]
    Permission(SocketAddr),
    /// Anything else that the system reports.
    #[error("cannot listen on {address}: {error}")]
    Socket {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// rustls refuses the configuration.
    #[error(transparent)]
    Tls(#[from] TrustError),
    /// A limit is out of QUIC's range.
    #[error("the limits do not suit QUIC: {0}")]
    Limits(String),
    /// Anything else that QUIC reports.
    #[error("cannot start on {address}: {reason}")]
    Start {
        /// Where.
        address: SocketAddr,
        /// What happened.
        reason: String,
    },
}

impl ServerEndpoint {
    /// Binds `address` (port 0: any) and starts to take handshakes on `worker`.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(
        env: &Env,
        worker: &Worker,
        address: SocketAddr,
        certificate: impl Into<CurrentCertificate>,
        limits: EndpointLimits,
    ) -> Result<Self, BindError> {
        Self::bind_as(Port::Own, env, worker, address, &certificate.into(), limits)
    }

    /// Binds `address` once for each of `workers` (port 0: one that all share). The system gives a datagram to one of
    /// the sockets by its sender's address and port (`SO_REUSEPORT`), so a client whose address changes ends up at
    /// another endpoint, which does not know it.
    ///
    /// Not simulated: a simulated host has one runtime, and [`bind`](Self::bind).
    ///
    /// # Errors
    /// [`BindError`]. Another program of the same user that shares its port likewise is no error.
    pub fn bind_shards<'a>(
        env: &Env,
        workers: impl IntoIterator<Item = &'a Worker>,
        mut address: SocketAddr,
        certificate: impl Into<CurrentCertificate>,
        limits: EndpointLimits,
    ) -> Result<Vec<Self>, BindError> {
        let (certificate, mut shards) = (certificate.into(), Vec::new());
        for worker in workers {
            let shard = Self::bind_as(Port::Shared, env, worker, address, &certificate, limits)?;
            address = shard.local;
            shards.push(shard);
        }
        Ok(shards)
    }

    fn bind_as(
        port: Port,
        env: &Env,
        worker: &Worker,
        address: SocketAddr,
        certificate: &CurrentCertificate,
        limits: EndpointLimits,
    ) -> Result<Self, BindError> {
        let config = server_config(env, certificate)?;
        let EndpointLimits { congestion_control, max_mtu, .. } = limits;
        let handshakes = Handshakes::new(limits.handshakes, limits.handshakes_of_prefix);
        let limits = limits.quic(Role::Server).map_err(BindError::Limits)?;
        let rejected = Arc::<AtomicU64>::default();
        let connections = Connections::default();
        let counts = (connections.clone(), handshakes.clone());
        let observer = Observer::server(env.clone(), rejected.clone(), counts, worker);
        let builder = Server::builder()
            .with_tls(rustls::Server::from(config))
            .and_then(|builder| builder.with_limits(limits))
            .and_then(|builder| builder.with_endpoint_limits(handshakes.limiter()))
            .and_then(|builder| builder.with_event(observer))
            .unwrap_or_else(|never| match never {});
        let start_error =
            |reason: StartError| BindError::Start { address, reason: reason.to_string() };
        #[cfg(feature = "sim")]
        if let Some(network) = env.network() {
            let port = network.bind(address).map_err(|error| bind_error(address, error))?;
            let (network, runtime, local) =
                (network.clone(), worker.runtime().clone(), port.address());
            let io = crate::sim::Io { env: env.clone(), network, port, runtime, max_mtu };
            let random = crate::sim::Random(env.clone());
            let builder = builder
                .with_random(random.clone())
                .and_then(|builder| builder.with_connection_id(random.clone()))
                .and_then(|builder| builder.with_stateless_reset_token(random))
                .and_then(|builder| builder.with_io(io))
                .unwrap_or_else(|never| match never {});
            let server = Some(congestion_control.start_server(builder).map_err(start_error)?);
            return Ok(Self { server, env: env.clone(), local, rejected, connections, handshakes });
        }
        let socket_error = |error| bind_error(address, error);
        let socket = bound(address, port).map_err(socket_error)?;
        let local = socket.local_addr().map_err(socket_error)?;
        let io = sockets::io(worker, socket, Role::Server, max_mtu).map_err(socket_error)?;
        let builder = builder.with_io(io).unwrap_or_else(|never| match never {});
        let server = Some(congestion_control.start_server(builder).map_err(start_error)?);
        Ok(Self { server, env: env.clone(), local, rejected, connections, handshakes })
    }

    /// The address that it is bound to, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// First packets that opened no connection: another ALPN or TLS version, or no ClientHello at all. s2n-quic drops
    /// them without an answer; the client sees a server that is silent.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// The counter behind [`rejected`](Self::rejected), for those who do not own the endpoint.
    pub fn rejections(&self) -> Arc<AtomicU64> {
        self.rejected.clone()
    }

    /// Its connections, for those who do not own the endpoint.
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// Its handshakes, for those who do not own the endpoint.
    pub fn handshakes(&self) -> Handshakes {
        self.handshakes.clone()
    }

    /// The next connection; `None` when the endpoint is gone, with its worker. Cancel safe.
    pub async fn accept(&mut self) -> Option<Accepted> {
        loop {
            let server = self.server.as_mut().expect("only the drop takes the server out");
            if let Some(accepted) = accepted(server.accept().await?) {
                return Some(accepted);
            }
        }
    }
}

impl Drop for ServerEndpoint {
    /// Connections live on; the socket closes with the last of them, and with the last hold on the worker.
    fn drop(&mut self) {
        drop(self.server.take());
        self.env.nudge(self.local);
    }
}

/// `None` for a connection that ended between its handshake and now.
fn accepted(mut connection: Connection) -> Option<Accepted> {
    let stats =
        connection.query_event_context(|observed: &Observed| observed.stats.clone()).ok()?;
    let exporter = stats.exporter()?;
    connection.keep_alive(true).ok()?;
    Some(Accepted { connection, stats, exporter })
}

/// Bound here and not in s2n-quic, whose errors are texts only.
fn bound(address: SocketAddr, port: Port) -> io::Result<UdpSocket> {
    let socket = match port {
        Port::Own => UdpSocket::bind(address)?,
        Port::Shared => {
            let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
            socket.into()
        }
    };
    Ok(socket)
}

fn bind_error(address: SocketAddr, error: io::Error) -> BindError {
    match error.kind() {
        io::ErrorKind::AddrInUse => BindError::PortInUse(address),
        io::ErrorKind::AddrNotAvailable => BindError::NotLocal(address),
        io::ErrorKind::PermissionDenied => BindError::Permission(address),
        _ => BindError::Socket { address, error },
    }
}
