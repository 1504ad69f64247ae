//! One try at a session with one primary.

use std::sync::Arc;

use kwik_io::endpoint::{ATTEMPT_DELAY, ClientEndpoints};
use kwik_io::worker::Worker;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::task::{self, Reached, Shared};
use crate::{Connect, ConnectError, Session};

/// One try at a session with one primary: dial, then say Hello. Runs on its worker, where the session then lives.
pub(crate) struct Attempt {
    shared: Arc<Shared>,
    primaries: ClientEndpoints,
    worker: Worker,
    connect: Connect,
}

/// Whose turn it is to say Hello, among attempts of which one is wanted.
///
/// A Hello opens a session at the server: its application is handed it. So one attempt waits for its answer before the next
/// says Hello, but no longer than the next would wait to be started: a server that answers QUIC and then hangs must not hold
/// up the others.
#[derive(Clone, Debug)]
pub(crate) struct HelloTurn(Arc<Semaphore>);

impl Default for HelloTurn {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Attempt {
    /// To be run on `worker`.
    pub(crate) fn new(
        shared: Arc<Shared>,
        primaries: ClientEndpoints,
        worker: Worker,
        connect: Connect,
    ) -> Self {
        Self { shared, primaries, worker, connect }
    }

    /// A session as soon as the QUIC handshake is complete.
    pub(crate) async fn connect(self) -> Result<Session, ConnectError> {
        // Nobody waits for the Welcome.
        let (welcome, _) = oneshot::channel();
        let reached = self.reach(welcome).await?;
        task::start(self.shared, self.worker, reached).await
    }

    /// A session that its primary has welcomed.
    pub(crate) async fn establish(self, turn: HelloTurn) -> Result<Session, ConnectError> {
        let (welcome, welcomed) = oneshot::channel();
        let reached = self.reach(welcome).await?;
        let _turn = timeout(ATTEMPT_DELAY, turn.0.acquire()).await;
        let session = task::start(self.shared, self.worker, reached).await?;
        match welcomed.await {
            Ok(()) => Ok(session),
            Err(_) => Err(session.handle().hold().asker().closed().await.into()),
        }
    }

    async fn reach(&self, welcome: oneshot::Sender<()>) -> Result<Reached, ConnectError> {
        let connect = self.connect.clone();
        let (target, name) = (connect.address(), connect.server_name());
        let Shared { env, trust, dial_time, .. } = &*self.shared;
        let start = env.now();
        let dialled = self.primaries.connect(&self.worker, target, trust, name, *dial_time).await?;
        let answer_time = dial_time.saturating_sub(env.now().since(start));
        Ok(Reached { connect, dialled, answer_time, welcome })
    }
}
