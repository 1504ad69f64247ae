//! One try to connect, and what can become of it.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use s2n_quic::Connection;
use s2n_quic::client::Connect;
use s2n_quic::connection::Error;

use super::client::ClientEndpoint;
use super::probe;
use crate::connection::{Brought, ConnectionStats};
use crate::tls::{Refusal, TrustError};

/// A connection whose handshake is complete, ALPN and identity verified.
#[derive(Debug)]
pub struct Dialled {
    /// The connection, with keep-alive on.
    pub connection: Connection,
    /// Its statistics.
    pub stats: Arc<ConnectionStats>,
    /// Its TLS exporter, for the admission proof.
    pub exporter: [u8; 32],
}

/// Why a connection could not be made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The name is neither a DNS name nor an IP address.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    ServerName(String),
    /// The address cannot be a server's.
    #[error("{0} is no address to connect to")]
    Address(SocketAddr),
    /// The trust cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A limit is out of QUIC's range.
    #[error("the limits do not suit QUIC: {0}")]
    Limits(String),
    /// No local socket.
    #[error("no UDP socket: {0}")]
    Socket(String),
    /// Nothing came back at all: no server there, or one that drops what it does not speak, as s2n-quic's do.
    #[error("{target} does not answer, or speaks another protocol than kwik/1 (waited {} ms)", .waited.as_millis())]
    Unreachable {
        /// Whom we dialled.
        target: SocketAddr,
        /// How long.
        waited: Duration,
    },
    /// Something came back, but no complete handshake.
    #[error("{target} answered, but the handshake was not complete after {} ms", .waited.as_millis())]
    TimedOut {
        /// Whom we dialled.
        target: SocketAddr,
        /// How long.
        waited: Duration,
    },
    /// The server is not the one that was named.
    #[error("{target} is not the server that it should be: {refusal}")]
    Identity {
        /// Whom we dialled.
        target: SocketAddr,
        /// What the verifier found.
        refusal: Refusal,
    },
    /// The server speaks QUIC, and says that it does not speak `kwik/1`.
    #[error("{target} does not speak kwik/1")]
    Alpn {
        /// Whom we dialled.
        target: SocketAddr,
    },
    /// The server takes no connection, or its host says that no server listens on the port.
    #[error("{target} refuses the connection: {reason}")]
    Refused {
        /// Whom we dialled.
        target: SocketAddr,
        /// What it said.
        reason: String,
    },
    /// This machine has no way there, or one that is forbidden.
    #[error("{target} cannot be reached: no route to the {to}")]
    NoRoute {
        /// Whom we dialled.
        target: SocketAddr,
        /// What there is no way to: the host or the network.
        to: &'static str,
    },
    /// Anything else that QUIC reports.
    #[error("connecting to {target} failed: {reason}")]
    Failed {
        /// Whom we dialled.
        target: SocketAddr,
        /// What happened.
        reason: String,
    },
}

/// TLS alert no_application_protocol (RFC 7301, 3.2) as a QUIC error code (RFC 9001, 4.8).
const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;
/// RFC 9000, 20.1.
const CONNECTION_REFUSED: u64 = 2;

/// Where a dial hears that nobody listens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusals {
    /// From the system, through a socket at that local address.
    Icmp(Option<IpAddr>),
    /// From nobody, but silence for that long is taken for one: see [`ClientEndpoints::connect_unknown`].
    Silence(Duration),
    /// Nowhere: a simulated network has no ICMP.
    #[cfg(feature = "sim")]
    None,
}

impl Refusals {
    async fn of(self, target: SocketAddr, stats: &ConnectionStats) -> DialError {
        match self {
            Self::Icmp(local) => {
                probe::refused(local, target, || stats.last_datagram().is_some()).await
            }
            Self::Silence(patience) => {
                tokio::time::sleep(patience).await;
                match stats.last_datagram() {
                    None => DialError::Unreachable { target, waited: patience },
                    Some(_) => std::future::pending().await,
                }
            }
            #[cfg(feature = "sim")]
            Self::None => std::future::pending().await,
        }
    }
}

/// What to dial, validated: s2n-quic panics its endpoint, and every connection of it, on a bad name.
pub(super) struct Dial {
    target: SocketAddr,
    name: String,
    timeout: Duration,
}

impl Dial {
    pub(super) fn new(
        target: SocketAddr,
        server_name: Option<&str>,
        timeout: Duration,
    ) -> Result<Self, DialError> {
        if target.port() == 0 {
            return Err(DialError::Address(target));
        }
        let name = server_name.map_or_else(|| target.ip().to_string(), str::to_owned);
        match ServerName::try_from(name.as_str()) {
            Ok(_) => Ok(Self { target, name, timeout }),
            Err(_) => Err(DialError::ServerName(name)),
        }
    }

    pub(super) async fn run(
        self,
        endpoint: Arc<ClientEndpoint>,
        refusals: Refusals,
    ) -> Result<Dialled, DialError> {
        let stats = Arc::new(ConnectionStats::default());
        let connect = Connect::new(self.target).with_server_name(self.name.as_str());
        let mut attempt = endpoint.client().connect(connect);
        let hold: Arc<dyn Any + Send + Sync> = endpoint;
        // Until this returns or is dropped: then the handshake is given up.
        let wanting = Arc::new(());
        let wanted = Arc::downgrade(&wanting);
        attempt.set_application_context(Box::new(Brought { stats: stats.clone(), hold, wanted }));
        let mut connection = tokio::select! {
            biased;
            outcome = tokio::time::timeout(self.timeout, attempt) => match outcome {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) => return Err(self.failure(error, &stats)),
                Err(_) => return Err(self.no_answer(self.timeout, &stats)),
            },
            error = refusals.of(self.target, &stats) => return Err(error),
        };
        let exporter = stats.exporter().ok_or_else(|| self.failed("no TLS exporter".to_owned()))?;
        connection.keep_alive(true).map_err(|error| self.failure(error, &stats))?;
        Ok(Dialled { connection, stats, exporter })
    }

    fn failure(&self, error: Error, stats: &ConnectionStats) -> DialError {
        let target = self.target;
        if let Some(refusal) = stats.refusal() {
            return DialError::Identity { target, refusal: refusal.clone() };
        }
        match error {
            Error::Transport { code, .. } if code.as_u64() == NO_APPLICATION_PROTOCOL => {
                DialError::Alpn { target }
            }
            Error::Transport { code, reason, .. } if code.as_u64() == CONNECTION_REFUSED => {
                let reason = if reason.is_empty() { "connection refused" } else { reason };
                DialError::Refused { target, reason: reason.to_owned() }
            }
            Error::MaxHandshakeDurationExceeded { max_handshake_duration, .. } => {
                self.no_answer(max_handshake_duration, stats)
            }
            Error::IdleTimerExpired { .. } => self.no_answer(self.timeout, stats),
            error => self.failed(error.to_string()),
        }
    }

    fn no_answer(&self, waited: Duration, stats: &ConnectionStats) -> DialError {
        let target = self.target;
        match stats.last_datagram() {
            None => DialError::Unreachable { target, waited },
            Some(_) => DialError::TimedOut { target, waited },
        }
    }

    fn failed(&self, reason: String) -> DialError {
        DialError::Failed { target: self.target, reason }
    }
}

#[cfg(test)]
mod tests;
