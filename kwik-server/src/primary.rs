//! Sessions in which this server is primary.

mod carriers;
mod prove;
mod supply;
mod task;

use std::ops::RangeBounds;

use bytes::Bytes;
use kwik_core::delegation::{PathShare, SchedulerStats, StreamView};
use kwik_core::session::primary::{AddPathError, Event, PathReport, PathSpec};
use kwik_io::session::SessionHandle;
use kwik_io::table::{AcceptQueue, Incomings};
use kwik_proto::{PathId, StreamId};
use tokio::sync::oneshot;

use crate::connection::{self, Handle, StreamAcceptor};
use crate::delegate::{Delegate, DelegateError};
use crate::delegation::DelegationHandle;
use crate::stream::{BidirectionalStream, LocalStream, PeerStream, ReceiveStream, SendStream};

pub(crate) use task::{Parts, sleep_until, start};

/// What only a primary's session is asked.
#[derive(Debug)]
pub(crate) enum PrimaryRequest {
    AddPath(PathSpec, oneshot::Sender<Result<PathId, AddPathError>>),
    RemovePath(PathId, oneshot::Sender<bool>),
    Paths(oneshot::Sender<Vec<PathReport>>),
    Delegate {
        stream: StreamId,
        order: Delegate,
        reply: oneshot::Sender<Result<DelegationHandle, DelegateError>>,
    },
    Grant {
        path: PathId,
        stream: StreamId,
        start: u64,
        end: Option<u64>,
        reply: oneshot::Sender<bool>,
    },
    SendMessage(PathId, Bytes, oneshot::Sender<bool>),
    MessageTaken(PathId, usize),
    Metrics(oneshot::Sender<PrimaryMetrics>),
    Watch(usize, oneshot::Sender<Vec<StreamView>>),
}

/// Counters of a session in which this server is primary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrimaryMetrics {
    /// Secondaries that were added and not removed.
    pub paths: Vec<PathReport>,
    /// What the scheduler asked of each of them, and got.
    pub shares: Vec<(PathId, PathShare)>,
    /// What the scheduler did.
    pub delegation: SchedulerStats,
    /// Internal streams that send this server's own copy of delegated ranges now.
    pub supplies: Vec<Supply>,
    /// Payload bytes of streams that were handed to QUIC: what the application wrote, and this server's own copies of
    /// delegated ranges. Without loss of a connection, and where nothing is reset, it is what the client received here.
    pub sent_bytes: u64,
}

/// An internal stream that sends a primary's own copy of a delegated range.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Supply {
    /// Id of the stream that it feeds.
    pub stream: u64,
    /// Its QUIC stream id.
    pub quic_id: u64,
    /// The bytes of the stream that it sends.
    pub range: std::ops::Range<u64>,
}

/// A session in which this server is primary: what s2n-quic calls a connection.
///
/// It closes when it, its handles, acceptors and streams are dropped and everything that was finished has arrived, or
/// with [`close`](Self::close).
///
/// ```no_run
/// # async fn example(mut session: kwik_server::PrimarySession) -> Result<(), Box<dyn std::error::Error>> {
/// while let Some(mut stream) = session.accept_bidirectional_stream().await? {
///     tokio::spawn(async move {
///         while let Ok(Some(chunk)) = stream.receive().await {
///             stream.send(chunk).await?;
///         }
///         stream.finish()
///     });
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PrimarySession {
    handle: Handle,
    acceptor: StreamAcceptor,
}

impl PrimarySession {
    pub(crate) fn new(handle: Handle, incomings: Incomings) -> Self {
        Self { acceptor: StreamAcceptor::new(incomings, handle.clone()), handle }
    }

    /// A handle that opens streams and commands secondaries.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Opening and accepting, apart.
    pub fn split(self) -> (Handle, StreamAcceptor) {
        (self.handle, self.acceptor)
    }

    /// See [`Handle::add_path`].
    ///
    /// # Errors
    /// See [`AddPathError`].
    pub async fn add_path(&self, spec: PathSpec) -> Result<PathId, AddPathError> {
        self.handle.add_path(spec).await
    }

    /// See [`Handle::remove_path`].
    pub async fn remove_path(&self, path: PathId) -> bool {
        self.handle.remove_path(path).await
    }

    /// See [`Handle::paths`].
    pub async fn paths(&self) -> Vec<PathReport> {
        self.handle.paths().await
    }

    /// See [`Handle::active_paths`].
    pub async fn active_paths(&self) -> Vec<PathReport> {
        self.handle.active_paths().await
    }

    /// See [`Handle::dead_paths`].
    pub async fn dead_paths(&self) -> Vec<PathReport> {
        self.handle.dead_paths().await
    }

    /// See [`Handle::grant`].
    pub async fn grant(&self, path: PathId, stream: u64, range: impl RangeBounds<u64>) -> bool {
        self.handle.grant(path, stream, range).await
    }

    /// See [`Handle::metrics`].
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn metrics(&self) -> connection::Result<PrimaryMetrics> {
        self.handle.metrics().await
    }

    /// See [`Handle::send_message`].
    pub async fn send_message(&self, path: PathId, message: Bytes) -> bool {
        self.handle.send_message(path, message).await
    }

    /// See [`Handle::next_event`].
    pub async fn next_event(&self) -> Option<Event> {
        self.handle.next_event().await
    }

    /// See [`Handle::receive_message`].
    pub async fn receive_message(&self) -> Option<(PathId, Bytes)> {
        self.handle.receive_message().await
    }

    fn hold(&self) -> &SessionHandle<PrimaryRequest> {
        self.handle.hold()
    }

    fn hold_mut(&mut self) -> &mut SessionHandle<PrimaryRequest> {
        self.handle.hold_mut()
    }

    fn share(&self) -> Handle {
        self.handle.clone()
    }

    fn bidirectional(&mut self) -> (&mut AcceptQueue, &Handle) {
        self.acceptor.bidirectional()
    }

    fn unidirectional(&mut self) -> (&mut AcceptQueue, &Handle) {
        self.acceptor.unidirectional()
    }
}

kwik_io::handle_api!(PrimarySession);
kwik_io::accept_api!(PrimarySession);
