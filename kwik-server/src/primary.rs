//! Sessions in which this server is primary.

mod carriers;
mod supply;
mod task;

use std::net::SocketAddr;

use bytes::Bytes;
use kwik_core::delegation::SchedulerStats;
use kwik_core::path::lifecycle::PathState;
use kwik_core::session::primary::{AddPathError, Event, PathReport, PathSpec};
use kwik_io::session::Asker;
use kwik_io::stream::{self as io_stream, application, connection};
use kwik_io::table::Incomings;
use kwik_proto::{PathId, StreamId, StreamKind};
use tokio::sync::{mpsc, oneshot};

use crate::delegate::{Delegate, DelegateError};
use crate::stream::{BidirectionalStream, PeerStream, ReceiveStream, SendStream};

pub(crate) use task::{Parts, start};

/// What only a primary's session is asked.
#[derive(Debug)]
pub(crate) enum PrimaryRequest {
    AddPath(PathSpec, oneshot::Sender<Result<PathId, AddPathError>>),
    RemovePath(PathId, oneshot::Sender<bool>),
    Paths(oneshot::Sender<Vec<PathReport>>),
    Delegate {
        stream: StreamId,
        order: Delegate,
        reply: oneshot::Sender<Result<(), DelegateError>>,
    },
    Grant {
        path: PathId,
        stream: StreamId,
        start: u64,
        end: Option<u64>,
    },
    SendMessage(PathId, Bytes, oneshot::Sender<bool>),
    MessageTaken(PathId, usize),
    Metrics(oneshot::Sender<PrimaryMetrics>),
}

/// Counters of a session in which this server is primary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrimaryMetrics {
    /// Secondaries that were added and not removed.
    pub paths: Vec<PathReport>,
    /// What the scheduler did.
    pub delegation: SchedulerStats,
}

/// A session in which this server is primary.
///
/// It closes when it, its handles and its streams are dropped and everything that was finished has arrived, or with
/// [`close`](Self::close).
#[derive(Debug)]
pub struct PrimarySession {
    handle: Handle,
    incomings: Incomings,
    events: mpsc::Receiver<Event>,
    messages: mpsc::Receiver<(PathId, Bytes)>,
}

/// Opens streams, commands secondaries, closes the session. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    asker: Asker<PrimaryRequest>,
    remote: Option<SocketAddr>,
}

impl PrimarySession {
    /// The next stream of the client that both ends send on; `None` when the session was closed without an error.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn accept_bidirectional_stream(
        &mut self,
    ) -> Result<Option<BidirectionalStream>, connection::Error> {
        match self.incomings.bidirectional.recv().await {
            Some(incoming) => {
                Ok(BidirectionalStream::new(incoming.halves, self.handle.asker.clone()))
            }
            None => self.end(),
        }
    }

    /// The next stream of the client that only it sends on.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn accept_receive_stream(
        &mut self,
    ) -> Result<Option<ReceiveStream>, connection::Error> {
        match self.incomings.unidirectional.recv().await {
            Some(incoming) => Ok(incoming.halves.receive.map(ReceiveStream::new)),
            None => self.end(),
        }
    }

    /// The next stream of the client.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn accept(&mut self) -> Result<Option<PeerStream>, connection::Error> {
        let asker = self.handle.asker.clone();
        tokio::select! {
            biased;
            Some(incoming) = self.incomings.bidirectional.recv() => {
                let stream = BidirectionalStream::new(incoming.halves, asker);
                Ok(stream.map(PeerStream::Bidirectional))
            }
            Some(incoming) = self.incomings.unidirectional.recv() => {
                let receive = incoming.halves.receive.map(ReceiveStream::new);
                Ok(receive.map(PeerStream::Receive))
            }
            else => self.end(),
        }
    }

    fn end<T>(&self) -> Result<Option<T>, connection::Error> {
        match self.handle.asker.error() {
            None | Some(connection::Error::Closed { .. }) => Ok(None),
            Some(error) => Err(error),
        }
    }

    /// Opens a stream that both ends send on.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn open_bidirectional_stream(
        &mut self,
    ) -> Result<BidirectionalStream, connection::Error> {
        self.handle.open_bidirectional_stream().await
    }

    /// Opens a stream that only this end sends on.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn open_send_stream(&mut self) -> Result<SendStream, connection::Error> {
        self.handle.open_send_stream().await
    }

    /// A handle that opens streams and commands secondaries.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The next thing that happened to a secondary or a delegated range; `None` when the session is over. Events that
    /// find 1,024 waiting are lost.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The next message of a secondary's application, unauthenticated; `None` when the session is over.
    pub async fn receive_message(&mut self) -> Option<(PathId, Bytes)> {
        let (path, message) = self.messages.recv().await?;
        self.handle.asker.tell(PrimaryRequest::MessageTaken(path, message.len()));
        Some((path, message))
    }

    /// Closes the session with the application's code.
    pub fn close(&self, error_code: application::Error) {
        self.handle.close(error_code);
    }

    /// The client's address.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.handle.remote
    }
}

impl Handle {
    /// As [`PrimarySession::open_bidirectional_stream`].
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn open_bidirectional_stream(
        &self,
    ) -> Result<BidirectionalStream, connection::Error> {
        let halves = self.asker.open(StreamKind::Bidirectional).await?;
        let stream = BidirectionalStream::new(halves, self.asker.clone());
        Ok(stream.expect("a bidirectional stream has both halves"))
    }

    /// As [`PrimarySession::open_send_stream`].
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn open_send_stream(&self) -> Result<SendStream, connection::Error> {
        let halves = self.asker.open(StreamKind::Unidirectional).await?;
        let send = halves.send.expect("the opener of a stream sends on it");
        Ok(SendStream::new(io_stream::SendStream::new(send), self.asker.clone()))
    }

    /// Has the client connect to a secondary. Ranges may be delegated at once; whether the client got through is told
    /// by [`PrimarySession::next_event`].
    ///
    /// # Errors
    /// See [`AddPathError`].
    pub async fn add_path(&self, spec: PathSpec) -> Result<PathId, AddPathError> {
        let asked = self.asker.ask(|reply| PrimaryRequest::AddPath(spec, reply)).await;
        asked.unwrap_or(Err(AddPathError::Closed))
    }

    /// Takes a secondary out; it finishes what it accepted within 5 s, the rest goes to others. `false`: there is no
    /// such path.
    pub async fn remove_path(&self, path: PathId) -> bool {
        let asked = self.asker.ask(|reply| PrimaryRequest::RemovePath(path, reply)).await;
        asked.unwrap_or(false)
    }

    /// The secondaries of the session, but for removed ones.
    pub async fn paths(&self) -> Vec<PathReport> {
        self.asker.ask(PrimaryRequest::Paths).await.unwrap_or_default()
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

    /// Permits a path to contribute to a stream from `start` to `end` (`None`: without an end).
    pub fn grant(&self, path: PathId, stream: u64, start: u64, end: Option<u64>) {
        if let Some(stream) = StreamId::from_wire(stream) {
            self.asker.tell(PrimaryRequest::Grant { path, stream, start, end });
        }
    }

    /// Sends a message of at most 64 KiB to a secondary's application. `false`: unknown path, full queue, too large.
    pub async fn send_message(&self, path: PathId, message: Bytes) -> bool {
        let asked = self.asker.ask(|reply| PrimaryRequest::SendMessage(path, message, reply)).await;
        asked.unwrap_or(false)
    }

    /// Counters.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn metrics(&self) -> Result<PrimaryMetrics, connection::Error> {
        self.asker.ask(PrimaryRequest::Metrics).await
    }

    /// As [`PrimarySession::close`].
    pub fn close(&self, error_code: application::Error) {
        self.asker.close(error_code);
    }

    /// Waits until the session is over.
    pub async fn closed(&self) -> connection::Error {
        self.asker.closed().await
    }
}
