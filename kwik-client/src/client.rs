//! The client: endpoints and workers that its sessions share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use kwik_io::endpoint::{ClientEndpoints, DialError, Role};
use kwik_io::env::Env;
use kwik_io::stream::connection;
use kwik_io::tls::Trust;
use kwik_io::worker::Workers;

use crate::builder::{Builder, StartError};
use crate::task::{self, Shared};
use crate::{Connect, Session};

/// A KWIK client. Cheap to clone; sessions live on when it is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    primaries: ClientEndpoints,
    trust: Trust,
    workers: Workers,
    dial_time: Duration,
}

/// Why a session could not be made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No connection to the primary: the text names its address and what went wrong.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection ended before the session was set up.
    #[error(transparent)]
    Connection(#[from] connection::Error),
}

impl Client {
    /// A client to be set up.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn start(builder: Builder) -> Result<Self, StartError> {
        let limits = builder.endpoint();
        let env = builder.env.unwrap_or_else(Env::system);
        let workers = Workers::start(env.placement().unwrap_or(builder.placement))?;
        let mut config = builder.session;
        builder.limits.apply(&mut config);
        let primaries = match builder.local {
            Some(local) => {
                ClientEndpoints::with_local_address(env.clone(), Role::Primary, limits, local)
            }
            None => ClientEndpoints::new(env.clone(), Role::Primary, limits),
        };
        let secondaries = ClientEndpoints::new(env.clone(), Role::Secondary, limits);
        let shared = Arc::new(Shared {
            env,
            workers: workers.clone(),
            secondaries,
            config,
            sessions: AtomicU64::new(0),
            trust: builder.trust.clone(),
            dial_time: limits.handshake,
            keep_alive: limits.keep_alive(),
        });
        Ok(Self { shared, primaries, trust: builder.trust, workers, dial_time: limits.handshake })
    }

    /// Connects to a primary. Returns after the QUIC handshake; streams may be opened at once.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self, connect: impl Into<Connect>) -> Result<Session, ConnectError> {
        let connect = connect.into();
        let worker = self.workers.next();
        let (shared, primaries, trust) =
            (self.shared.clone(), self.primaries.clone(), self.trust.clone());
        let dial_time = self.dial_time;
        let home = worker.clone();
        let starting = worker.spawn(async move {
            let target = connect.address();
            let name = connect.server_name();
            let dialled = primaries.connect(&home, target, &trust, name, dial_time).await?;
            task::start(shared, home, dialled, connect).await
        });
        let gone = |_| connection::Error::immediate_close("the client's worker ended");
        starting.await.map_err(gone)?
    }

    /// Waits until every connection of this client is closed and its peers were told. To be called before a program
    /// ends, after its sessions were dropped.
    ///
    /// # Errors
    /// None at present.
    pub async fn wait_idle(&self) -> connection::Result<()> {
        self.primaries.closed().await;
        self.shared.secondaries.closed().await;
        Ok(())
    }
}
