//! The client: endpoints and workers that its sessions share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use kwik_io::endpoint::{ClientEndpoints, Role, stagger};
use kwik_io::env::Env;
use kwik_io::stream::connection;
use kwik_io::worker::{Worker, Workers};

use crate::attempt::{Attempt, HelloTurn};
use crate::builder::{Builder, StartError};
use crate::task::{Shared, SharedDials};
use crate::{Connect, ConnectError, Session};

/// A KWIK client. Cheap to clone; sessions live on when it is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    primaries: ClientEndpoints,
    workers: Workers,
}

/// Servers that [`Client::connect_any`] tries. Most names have fewer than ten addresses.
const MAX_TARGETS: usize = 64;

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
            dials: SharedDials::new(env.clone()),
            env,
            workers: workers.clone(),
            secondaries,
            config,
            sessions: AtomicU64::new(0),
            trust: builder.trust,
            dial_time: limits.handshake,
            most_pumps: limits.most_pumps(),
            rates: Arc::new(builder.limits.rates()),
            send_memory: builder.limits.send_memory(),
            keep_alive: limits.keep_alive(),
        });
        Ok(Self { shared, primaries, workers })
    }

    /// Connects to a primary. Returns after the QUIC handshake; streams may be opened at once. Dropped before, it stops to
    /// dial.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self, connect: impl Into<Connect>) -> Result<Session, ConnectError> {
        let worker = self.workers.next();
        worker.run(self.attempt(&worker, connect.into()).connect()).await.map_err(ended)?
    }

    /// Connects to the primary among several that answers first: interchangeable servers, or the addresses of one.
    ///
    /// They are tried in their order, the next one 250 ms after the one before, or at once when one has failed (RFC 8305);
    /// at most eight at a time, each for [the dial time](crate::Limits::with_dial_timeout). The first whose server has
    /// answered the Hello wins, one round trip later than with [`connect`](Self::connect): a server that takes no sessions
    /// any more, though its port answers, is passed over. The first 64 are tried, further ones are not.
    ///
    /// The others are given up, as all are when this is dropped: a handshake that is not complete ends at once, a
    /// connection that is complete closes. Only one server at a time is sent a Hello, which opens a session there; where it
    /// does not answer within 250 ms the next may be sent one too, and a session that was opened in vain is closed again.
    ///
    /// ```no_run
    /// use kwik_client::{Client, Connect};
    ///
    /// # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let addresses = tokio::net::lookup_host("origin.example:4433").await?;
    /// let targets = addresses.map(|at| Connect::new(at).with_server_name("origin.example"));
    /// let session = client.connect_any(targets.collect::<Vec<_>>()).await?;
    /// println!("{:?} has answered", session.remote_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ConnectError::NoTarget`] for an empty list; the error of [`connect`](Self::connect) where it has one entry; else
    /// [`ConnectError::All`].
    pub async fn connect_any(
        &self,
        targets: impl IntoIterator<Item = impl Into<Connect>>,
    ) -> Result<Session, ConnectError> {
        let targets: Vec<Connect> = targets.into_iter().take(MAX_TARGETS).map(Into::into).collect();
        let (worker, turn) = (self.workers.next(), HelloTurn::default());
        let attempt =
            |target: &Connect| self.attempt(&worker, target.clone()).establish(turn.clone());
        let attempts: Vec<_> = targets.iter().map(attempt).collect();
        let outcome = worker.run(stagger(attempts)).await.map_err(ended)?;
        outcome.map_err(|errors| ConnectError::of_all(&targets, errors))
    }

    fn attempt(&self, worker: &Worker, connect: Connect) -> Attempt {
        let (shared, primaries) = (self.shared.clone(), self.primaries.clone());
        Attempt::new(shared, primaries, worker.clone(), connect)
    }

    /// Waits until every connection of this client is closed and its peer was told. To be called before a program ends,
    /// after its sessions were dropped.
    ///
    /// That takes a round trip: each session asks its servers to acknowledge the end. One that does not is waited for no longer
    /// than an acknowledgement can take (QUIC's probe timeout), and half a second at most; servers that are still being dialled
    /// are not waited for. The first datagram that tells a server of the end is sent at once, so a program in a hurry may give
    /// this less time: `timeout(limit, client.wait_idle())`. With one round trip for a limit all servers have heard, as far as no
    /// datagram was lost.
    ///
    /// # Errors
    /// None at present.
    pub async fn wait_idle(&self) -> connection::Result<()> {
        self.primaries.said_goodbye().await;
        self.shared.secondaries.said_goodbye().await;
        Ok(())
    }
}

/// A task that connects ends early only with its worker.
fn ended<E>(_: E) -> ConnectError {
    connection::Error::immediate_close("the client's worker ended").into()
}
