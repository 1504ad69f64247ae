//! Parts of a session in which this server is primary, and why sessions end.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;
use kwik_core::delegation::StreamView;
use kwik_core::path::lifecycle::PathState;
use kwik_core::session::primary::{AddPathError, Event, PathReport, PathSpec};
use kwik_io::channel::Receiver;
use kwik_io::session::SessionHandle;
use kwik_proto::{PathId, StreamId};
use tokio::sync::{Mutex, oneshot};

use crate::primary::{PrimaryMetrics, PrimaryRequest};
use crate::stream::{BidirectionalStream, LocalStream, PeerStream, ReceiveStream, SendStream};

pub use kwik_io::stream::connection::{Error, Location, Result};

/// Opens streams, commands secondaries, closes the session. Cheap to clone.
///
/// The session stays open as long as there is one, or an acceptor, or a stream.
///
/// ```no_run
/// # async fn example(session: kwik_server::PrimarySession, secondary: kwik_server::PathSpec)
/// #     -> Result<(), Box<dyn std::error::Error>> {
/// let mut handle = session.handle();
/// let path = handle.add_path(secondary).await?;
/// println!("path {path}: {:?}", handle.next_event().await);
/// let stream = handle.open_send_stream().await?;
/// assert_eq!(stream.connection().id(), handle.id());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Handle {
    hold: SessionHandle<PrimaryRequest>,
    inboxes: Arc<Inboxes>,
}

/// What waits for whichever of the session's handles asks first.
#[derive(Debug)]
pub(crate) struct Inboxes {
    pub(crate) events: Mutex<Receiver<Box<Event>>>,
    pub(crate) messages: Mutex<Receiver<Box<(PathId, Bytes)>>>,
}

impl Handle {
    pub(crate) fn new(hold: SessionHandle<PrimaryRequest>, inboxes: Inboxes) -> Self {
        Self { hold, inboxes: Arc::new(inboxes) }
    }

    pub(crate) fn hold(&self) -> &SessionHandle<PrimaryRequest> {
        &self.hold
    }

    pub(crate) fn hold_mut(&mut self) -> &mut SessionHandle<PrimaryRequest> {
        &mut self.hold
    }

    fn share(&self) -> Self {
        self.clone()
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> PrimaryRequest,
    ) -> Result<T> {
        self.hold.asker().ask(request).await
    }

    /// Has the client connect to a secondary. Ranges may be delegated at once; whether the client got through is told
    /// by [`next_event`](Self::next_event).
    ///
    /// # Errors
    /// See [`AddPathError`].
    pub async fn add_path(&self, spec: PathSpec) -> Result<PathId, AddPathError> {
        let asked = self.ask(|reply| PrimaryRequest::AddPath(spec, reply)).await;
        asked.unwrap_or(Err(AddPathError::Closed))
    }

    /// Takes a secondary out; it finishes what it accepted within 5 s, the rest goes to others. `false`: there is no
    /// such path.
    pub async fn remove_path(&self, path: PathId) -> bool {
        let asked = self.ask(|reply| PrimaryRequest::RemovePath(path, reply)).await;
        asked.unwrap_or(false)
    }

    /// The secondaries of the session, but for removed ones.
    pub async fn paths(&self) -> Vec<PathReport> {
        self.ask(PrimaryRequest::Paths).await.unwrap_or_default()
    }

    /// Those that the client says are up.
    pub async fn active_paths(&self) -> Vec<PathReport> {
        let mut paths = self.paths().await;
        paths.retain(|path| path.state == PathState::Live);
        paths
    }

    /// Those that the client lost or never reached.
    pub async fn dead_paths(&self) -> Vec<PathReport> {
        let mut paths = self.paths().await;
        paths.retain(|path| path.state == PathState::Gone);
        paths
    }

    /// Permits a path to contribute to an open stream within `range`, without an order to do so. It may use the grant up to
    /// the stream's window. `false`: there is no such path or stream, the range has no bytes, or the path has 4,096
    /// separate ranges on the stream already that the client's application did not read.
    pub async fn grant(&self, path: PathId, stream: u64, range: impl RangeBounds<u64>) -> bool {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => Some(last.saturating_add(1)),
            Bound::Excluded(end) => Some(*end),
            Bound::Unbounded => None,
        };
        let Some(stream) = StreamId::from_wire(stream) else { return false };
        let grant = |reply| PrimaryRequest::Grant { path, stream, start, end, reply };
        self.ask(grant).await.unwrap_or(false)
    }

    /// Sends a message of 1 byte to 64 KiB to a secondary's application. `false`: unknown path, full queue, empty or too
    /// large.
    pub async fn send_message(&self, path: PathId, message: Bytes) -> bool {
        let asked = self.ask(|reply| PrimaryRequest::SendMessage(path, message, reply)).await;
        asked.unwrap_or(false)
    }

    /// The next message of a secondary's application, unauthenticated; `None` when the session is over. Each goes to
    /// one of those that wait.
    pub async fn receive_message(&self) -> Option<(PathId, Bytes)> {
        let (path, message) = *self.inboxes.messages.lock().await.recv().await?;
        self.hold.asker().tell(PrimaryRequest::MessageTaken(path, message.len()));
        Some((path, message))
    }

    /// The next thing that happened to a secondary or a delegated range; `None` when the session is over. Each goes to
    /// one of those that wait; events that find 1,024 waiting are lost.
    pub async fn next_event(&self) -> Option<Event> {
        self.inboxes.events.lock().await.recv().await.map(|event| *event)
    }

    /// Counters.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn metrics(&self) -> Result<PrimaryMetrics> {
        self.ask(PrimaryRequest::Metrics).await
    }

    /// What clients hold of the first `most` streams that this end sends, which path delivered it, and what is outstanding, for
    /// people who look on. The first call begins to record it, which costs 3 KiB a stream and some work for each report of the
    /// client; what arrived before counts as of an unknown path.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn watch_streams(&self, most: usize) -> Result<Vec<StreamView>> {
        self.ask(|reply| PrimaryRequest::Watch(most, reply)).await
    }

    /// Waits until the session is over; why it is.
    pub async fn closed(&self) -> Error {
        self.hold.asker().closed().await
    }
}

kwik_io::handle_api!(Handle);
kwik_io::acceptors!();
