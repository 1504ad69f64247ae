//! How a server is set up.

use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use kwik_core::admission::Expectation;
use kwik_io::endpoint::{BindError, CongestionControl, EndpointLimits, SMALLEST_MTU};
use kwik_io::env::Env;
use kwik_io::key::{IdentityKey, PublicKey, TrustedKeys};
use kwik_io::tls::{CertificateError, ServerCertificate};
use kwik_io::worker::Placement;

use crate::{Limits, Server};

/// Why a server could not be started. The caller's fault, or the machine's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The certificate or key can't be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No certificate was given.
    #[error("a server needs a certificate: call with_tls")]
    NoCertificate,
    /// The listening address can't be read.
    #[error("the address {address} can't be listened on: {error}")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        error: io::Error,
    },
    /// The port can't be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The machine gives no thread or event queue.
    #[error("no worker could be started: {0}")]
    Workers(#[from] io::Error),
}

/// Sets up a [`Server`].
#[derive(Debug, Default)]
pub struct Builder {
    pub(crate) certificate: Option<ServerCertificate>,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) identity: Option<Arc<IdentityKey>>,
    pub(crate) trusted: TrustedKeys,
    pub(crate) names: Vec<String>,
    pub(crate) placement: Placement,
    pub(crate) shards: usize,
    pub(crate) limits: Limits,
    pub(crate) congestion_control: CongestionControl,
    pub(crate) max_mtu: Option<u16>,
    pub(crate) env: Option<Env>,
}

impl Builder {
    /// The server's certificate and key: a pair of PEM texts, or a [`ServerCertificate`].
    ///
    /// # Errors
    /// [`StartError::Certificate`].
    pub fn with_tls(mut self, certificate: impl IntoCertificate) -> Result<Self, StartError> {
        self.certificate = Some(certificate.into_certificate()?);
        Ok(self)
    }

    /// Where to listen: an address and UDP port, as text or not. Default: any address, a port that the system chooses.
    ///
    /// # Errors
    /// [`StartError::Address`].
    pub fn with_io(mut self, address: impl ToSocketAddrs + Debug) -> Result<Self, StartError> {
        let resolved = address
            .to_socket_addrs()
            .and_then(|mut all| all.next().ok_or_else(|| io::Error::other("it names no address")));
        let named = |error| StartError::Address { address: format!("{address:?}"), error };
        self.address = Some(resolved.map_err(named)?);
        Ok(self)
    }

    /// The key that signs tokens and orders: with it this server may attach secondaries to its sessions.
    ///
    /// # Errors
    /// None at present.
    pub fn with_identity(mut self, key: IdentityKey) -> Result<Self, StartError> {
        self.identity = Some(Arc::new(key));
        Ok(self)
    }

    /// Primaries whose tokens are taken: with them this server may act as secondary.
    ///
    /// # Errors
    /// None at present.
    pub fn with_trusted_primaries(
        mut self,
        keys: impl IntoIterator<Item = PublicKey>,
    ) -> Result<Self, StartError> {
        self.trusted = TrustedKeys::from_iter(keys);
        Ok(self)
    }

    /// The names that tokens may address this server by, where clients verify it by CA and name.
    #[must_use]
    pub fn with_server_names(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.names = names.into_iter().collect();
        self
    }

    /// Threads for connections and sessions. Default: one per core, at least two. With [`Placement::Current`] they run
    /// on the runtime that [`start`](Self::start) is called in, as s2n-quic's do: less switching between threads, but
    /// an application that blocks stops its sessions.
    #[must_use]
    pub fn with_workers(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Sockets that share the port (`SO_REUSEPORT`), each with an endpoint on a worker of its own, so that the
    /// cryptography of many clients uses several cores. Default 1; at most as many as there are
    /// [workers](Self::with_workers) makes sense.
    ///
    /// The system picks the socket by the client's address and port: with more than one, a client whose address changes
    /// on the way (a NAT that forgets) loses its connection, and a server program of the same user that is started by
    /// mistake on the same port takes a part of the clients instead of failing.
    ///
    /// ```
    /// use kwik_server::{Server, ServerCertificate};
    ///
    /// let server = Server::builder()
    ///     .with_tls(ServerCertificate::self_signed(["localhost"])?)?
    ///     .with_io("127.0.0.1:0")?
    ///     .with_shards(2)
    ///     .start()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    /// How much a session may take. Default: see [`Limits`].
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How fast this server sends. Default: see [`CongestionControl`].
    ///
    /// ```
    /// use kwik_server::{CongestionControl, Server};
    ///
    /// let builder = Server::builder().with_congestion_control(CongestionControl::Bbr);
    /// ```
    #[must_use]
    pub fn with_congestion_control(mut self, control: CongestionControl) -> Self {
        self.congestion_control = control;
        self
    }

    /// The largest IP packet that is sent, in bytes, where the path carries it: found by probing, above 1,228. Default
    /// 9,001, which many data centres carry; it saves half of the processor time of a transfer. A path that carries less
    /// loses some thirty probes, one in a round trip, and no data. Both ends count: each decides about what it sends itself.
    #[must_use]
    pub fn with_max_mtu(mut self, bytes: u16) -> Self {
        self.max_mtu = Some(bytes.max(SMALLEST_MTU));
        self
    }

    /// The world to run in; for `kwik-sim`.
    #[cfg(feature = "sim")]
    #[doc(hidden)]
    #[must_use]
    pub fn with_env(mut self, env: Env) -> Self {
        self.env = Some(env);
        self
    }

    /// Binds the port and starts. Needs no runtime.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(self) -> Result<Server, StartError> {
        Server::start(self)
    }

    pub(crate) fn endpoint(&self) -> EndpointLimits {
        let limits = self.limits.endpoint();
        EndpointLimits {
            congestion_control: self.congestion_control,
            max_mtu: self.max_mtu.unwrap_or(limits.max_mtu),
            ..limits
        }
    }

    pub(crate) fn expectation(&self, certificate: &ServerCertificate) -> Expectation {
        Expectation { pins: vec![certificate.pin().0], names: self.names.clone() }
    }
}

/// What [`Builder::with_tls`] takes.
pub trait IntoCertificate {
    /// The certificate.
    ///
    /// # Errors
    /// What is wrong with it.
    fn into_certificate(self) -> Result<ServerCertificate, CertificateError>;
}

impl IntoCertificate for (&str, &str) {
    fn into_certificate(self) -> Result<ServerCertificate, CertificateError> {
        ServerCertificate::from_pem(self.0, self.1)
    }
}

impl IntoCertificate for ServerCertificate {
    fn into_certificate(self) -> Result<ServerCertificate, CertificateError> {
        Ok(self)
    }
}
