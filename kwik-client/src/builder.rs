//! How a client is set up.

use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use kwik_core::conflict::ConflictPolicy;
use kwik_core::path::policy::Scope;
use kwik_core::session::SessionConfig;
use kwik_io::endpoint::{CongestionControl, EndpointLimits, SMALLEST_MTU};
use kwik_io::env::Env;
use kwik_io::tls::{Pin, Trust};
use kwik_io::worker::Placement;

use crate::{Client, Limits};

/// Why a client could not be set up. The caller's fault, or the machine's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The local address can't be read.
    #[error("the local address {address} is not an address: {error}")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        error: io::Error,
    },
    /// The machine gives no thread or event queue.
    #[error("no worker could be started: {0}")]
    Workers(#[from] io::Error),
}

/// Sets up a [`Client`].
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) trust: Trust,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) placement: Placement,
    pub(crate) limits: Limits,
    pub(crate) congestion_control: CongestionControl,
    pub(crate) max_mtu: Option<u16>,
    pub(crate) session: SessionConfig,
    pub(crate) env: Option<Env>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            trust: Trust::System,
            local: None,
            placement: Placement::default(),
            limits: Limits::default(),
            congestion_control: CongestionControl::default(),
            max_mtu: None,
            session: SessionConfig::default(),
            env: None,
        }
    }
}

impl Builder {
    /// Whom to trust as primary: a PEM text with CA certificates, a [`Pin`], or a [`Trust`]. Default: the system's CAs.
    ///
    /// # Errors
    /// None at present: what is wrong with a certificate is said by [`Client::connect`].
    pub fn with_tls(mut self, trust: impl IntoTrust) -> Result<Self, StartError> {
        self.trust = trust.into_trust();
        Ok(self)
    }

    /// The local address and UDP port of the connections to primaries, as text or not. Default: any, port 0.
    ///
    /// # Errors
    /// [`StartError::Address`].
    pub fn with_io(mut self, address: impl ToSocketAddrs + Debug) -> Result<Self, StartError> {
        let resolved = address
            .to_socket_addrs()
            .and_then(|mut all| all.next().ok_or_else(|| io::Error::other("it names no address")));
        let named = |error| StartError::Address { address: format!("{address:?}"), error };
        self.local = Some(resolved.map_err(named)?);
        Ok(self)
    }

    /// Threads for connections and sessions. Default: one per core, at least two. With [`Placement::Current`] they run
    /// on the runtime that [`start`](Self::start) is called in, as s2n-quic's do: less switching between threads, but
    /// an application that blocks stops its sessions.
    ///
    /// ```
    /// use kwik_client::{Client, Placement};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let client = Client::builder().with_workers(Placement::Current).start()?;
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    #[must_use]
    pub fn with_workers(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// What to do when two sources of a stream disagree. Default: the first wins.
    #[must_use]
    pub fn with_conflict_policy(mut self, policy: ConflictPolicy) -> Self {
        self.session.conflict_policy = policy;
        self
    }

    /// How long a reader waits for bytes that nobody promises. Default 10 s. Six times as long for a server that has
    /// neither failed nor promised: it hashes its copy, or writes slowly under a grant, or is the primary itself.
    #[must_use]
    pub fn with_gap_timeout(mut self, timeout: Duration) -> Self {
        self.session.gap_timeout = timeout;
        self
    }

    /// Lets primaries send this client to addresses as near as `scope`. Default: no nearer than the primary itself, by
    /// [`Scope`]. For networks where a public primary has caches at the client's site. Too near, and a hostile primary
    /// has datagrams sent to what is there.
    #[must_use]
    pub fn with_narrowest_scope(mut self, scope: Scope) -> Self {
        self.session.path_policy = self.session.path_policy.with_narrowest(scope);
        self
    }

    /// Lets primaries send this client to ports below 1,024 even if their own port is not one. Default: not. For secondaries
    /// on port 443 whose primary is elsewhere. Allowed, a hostile primary has datagrams sent to a host's DNS or NTP service.
    #[must_use]
    pub fn with_system_ports(mut self) -> Self {
        self.session.path_policy = self.session.path_policy.with_system_ports();
        self
    }

    /// How much a session may take. Default: see [`Limits`].
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How fast this client sends. Default: see [`CongestionControl`]. It concerns uploads and requests: downloads are sent
    /// by servers.
    ///
    /// ```
    /// use kwik_client::{Client, CongestionControl};
    ///
    /// let client = Client::builder().with_congestion_control(CongestionControl::Bbr).start()?;
    /// # Ok::<(), kwik_client::StartError>(())
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

    /// Starts the client. Needs no runtime.
    ///
    /// # Errors
    /// [`StartError::Workers`].
    pub fn start(self) -> Result<Client, StartError> {
        Client::start(self)
    }

    pub(crate) fn endpoint(&self) -> EndpointLimits {
        let limits = self.limits.endpoint();
        EndpointLimits {
            congestion_control: self.congestion_control,
            max_mtu: self.max_mtu.unwrap_or(limits.max_mtu),
            ..limits
        }
    }
}

/// What [`Builder::with_tls`] takes.
pub trait IntoTrust {
    /// Whom to trust.
    fn into_trust(self) -> Trust;
}

impl IntoTrust for &str {
    fn into_trust(self) -> Trust {
        Trust::ca(self)
    }
}

impl IntoTrust for Pin {
    fn into_trust(self) -> Trust {
        Trust::Pin(self)
    }
}

impl IntoTrust for Trust {
    fn into_trust(self) -> Trust {
        self
    }
}
