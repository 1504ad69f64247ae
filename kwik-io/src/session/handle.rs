//! An application's hold on its session.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use kwik_proto::StreamKind;

use super::upkeep::Chore;
use super::{Asker, Ending};
use crate::stream::{application, connection};
use crate::table::Halves;

/// What does not change while a session lasts.
#[derive(Clone, Debug, Default)]
pub struct SessionInfo {
    /// A number that no other session of the same client or server has.
    pub id: u64,
    /// This end's address on the primary path.
    pub local: Option<SocketAddr>,
    /// The other end's address on the primary path.
    pub remote: Option<SocketAddr>,
    /// The name that the primary was connected to by.
    pub server_name: Option<Arc<str>>,
}

/// An application's hold on its session: what its handles, acceptors and streams have in common. Cheap to clone.
///
/// The session's task knows that its application is gone when the last of them is dropped.
///
/// ```
/// use kwik_io::session::{SessionHandle, SessionInfo, requests};
///
/// let (asker, _task) = requests::<()>();
/// let session = SessionHandle::new(asker, SessionInfo { id: 7, ..Default::default() });
/// assert_eq!(session.clone().id(), 7);
/// assert!(session.ping().is_ok());
/// ```
pub struct SessionHandle<X> {
    shared: Arc<(Asker<X>, SessionInfo)>,
    /// A poll that waits for a stream, of each kind. A clone has none.
    opening: [Option<Opening>; 2],
}

/// In a mutex for the sake of `Sync` alone: it is never locked, and nobody else has it.
type Opening = Mutex<Pin<Box<dyn Future<Output = connection::Result<Halves>> + Send>>>;

impl<X> Clone for SessionHandle<X> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), opening: [None, None] }
    }
}

impl<X> fmt::Debug for SessionHandle<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionHandle").field("session", &self.shared.1).finish_non_exhaustive()
    }
}

impl<X: Send + 'static> SessionHandle<X> {
    /// Opens a stream; waits while the peer's limit is reached. Dropped before it is done, no stream is opened.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn open(&mut self, kind: StreamKind) -> connection::Result<Halves> {
        match self.opening[index(kind)].take() {
            Some(opening) => opening.into_inner().unwrap_or_else(PoisonError::into_inner).await,
            None => self.asker().open(kind).await,
        }
    }

    /// As [`open`](Self::open); the wish stays until a later call, or until the handle is dropped.
    pub fn poll_open(
        &mut self,
        kind: StreamKind,
        cx: &mut Context<'_>,
    ) -> Poll<connection::Result<Halves>> {
        let opening = self.opening[index(kind)].get_or_insert_with(|| {
            let shared = self.shared.clone();
            Mutex::new(Box::pin(async move { shared.0.open(kind).await }))
        });
        let future = opening.get_mut().unwrap_or_else(PoisonError::into_inner);
        let opened = ready!(future.as_mut().poll(cx));
        self.opening[index(kind)] = None;
        Poll::Ready(opened)
    }
}

impl<X> SessionHandle<X> {
    /// A hold on the session whose task has the other side of `asker`.
    pub fn new(asker: Asker<X>, info: SessionInfo) -> Self {
        Self { shared: Arc::new((asker, info)), opening: [None, None] }
    }

    /// The way to the session's task.
    pub fn asker(&self) -> &Asker<X> {
        &self.shared.0
    }

    /// Whether and why the session ended.
    pub(crate) fn ending(&self) -> &Ending {
        &self.asker().ending
    }

    /// See [`SessionInfo::id`].
    pub fn id(&self) -> u64 {
        self.shared.1.id
    }

    /// See [`SessionInfo::local`].
    ///
    /// # Errors
    /// If it is not known.
    pub fn local_addr(&self) -> connection::Result<SocketAddr> {
        self.shared.1.local.ok_or(connection::Error::Unspecified)
    }

    /// See [`SessionInfo::remote`].
    ///
    /// # Errors
    /// If it is not known.
    pub fn remote_addr(&self) -> connection::Result<SocketAddr> {
        self.shared.1.remote.ok_or(connection::Error::Unspecified)
    }

    /// See [`SessionInfo::server_name`].
    pub fn server_name(&self) -> Option<Arc<str>> {
        self.shared.1.server_name.clone()
    }

    /// Has QUIC send a PING.
    ///
    /// # Errors
    /// Why the session is over.
    pub fn ping(&self) -> connection::Result<()> {
        self.want(Chore::Ping)
    }

    /// Has QUIC keep the connection alive, or no more.
    ///
    /// # Errors
    /// Why the session is over.
    pub fn keep_alive(&self, enabled: bool) -> connection::Result<()> {
        self.want(Chore::KeepAlive(enabled))
    }

    fn want(&self, chore: Chore) -> connection::Result<()> {
        match self.ending().error() {
            Some(error) => Err(error),
            None => {
                self.asker().upkeep.want(chore);
                Ok(())
            }
        }
    }

    /// Closes the session with the application's code; one of KWIK's own becomes 0. Every stream fails.
    pub fn close(&self, code: application::Error) {
        let code = if code.is_reserved() { application::Error::UNKNOWN } else { code };
        self.asker().close(code);
    }
}

fn index(kind: StreamKind) -> usize {
    match kind {
        StreamKind::Bidirectional => 0,
        StreamKind::Unidirectional => 1,
    }
}
