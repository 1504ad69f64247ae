//! A session, as the application holds it.

use std::net::SocketAddr;

use kwik_io::session::Asker;
use kwik_io::stream::{BidirectionalStream, ReceiveStream, SendStream, application, connection};
use kwik_io::table::Incomings;
use kwik_proto::StreamKind;
use tokio::sync::oneshot;

use crate::metrics::SessionMetrics;
use crate::stream::PeerStream;

/// What only a client's session is asked.
#[derive(Debug)]
pub(crate) enum ClientRequest {
    Metrics(oneshot::Sender<SessionMetrics>),
    Ping,
}

/// A session with a primary server.
///
/// It closes when it, its handles and its streams are dropped, or with [`close`](Self::close).
#[derive(Debug)]
pub struct Session {
    handle: Handle,
    acceptor: StreamAcceptor,
}

/// Opens streams and closes the session. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    asker: Asker<ClientRequest>,
    local: SocketAddr,
    remote: SocketAddr,
    server_name: Option<String>,
}

/// Accepts the streams that the primary opens, in the order of their ids.
#[derive(Debug)]
pub struct StreamAcceptor {
    incomings: Incomings,
    asker: Asker<ClientRequest>,
}

impl Session {
    pub(crate) fn new(
        asker: Asker<ClientRequest>,
        incomings: Incomings,
        local: SocketAddr,
        remote: SocketAddr,
        server_name: Option<String>,
    ) -> Self {
        let acceptor = StreamAcceptor { incomings, asker: asker.clone() };
        Self { handle: Handle { asker, local, remote, server_name }, acceptor }
    }

    /// Opens a stream that both ends send on; waits while the primary's limit is reached.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn open_bidirectional_stream(
        &mut self,
    ) -> Result<BidirectionalStream, connection::Error> {
        self.handle.open_bidirectional_stream().await
    }

    /// Opens a stream that only this end sends on; waits while the primary's limit is reached.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn open_send_stream(&mut self) -> Result<SendStream, connection::Error> {
        self.handle.open_send_stream().await
    }

    /// The next stream of the primary; `None` when the session was closed without an error.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn accept(&mut self) -> Result<Option<PeerStream>, connection::Error> {
        self.acceptor.accept().await
    }

    /// The next stream of the primary that both ends send on.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn accept_bidirectional_stream(
        &mut self,
    ) -> Result<Option<BidirectionalStream>, connection::Error> {
        self.acceptor.accept_bidirectional_stream().await
    }

    /// The next stream of the primary that only it sends on.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn accept_receive_stream(
        &mut self,
    ) -> Result<Option<ReceiveStream>, connection::Error> {
        self.acceptor.accept_receive_stream().await
    }

    /// A handle that opens streams.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Opening and accepting, apart.
    pub fn split(self) -> (Handle, StreamAcceptor) {
        (self.handle, self.acceptor)
    }

    /// Closes the session with the application's code. Every stream fails, on both ends.
    pub fn close(&self, error_code: application::Error) {
        self.handle.close(error_code);
    }

    /// The local address of the connection to the primary.
    pub fn local_addr(&self) -> SocketAddr {
        self.handle.local
    }

    /// The primary's address.
    pub fn remote_addr(&self) -> SocketAddr {
        self.handle.remote
    }

    /// The name that the primary was connected to by.
    pub fn server_name(&self) -> Option<&str> {
        self.handle.server_name.as_deref()
    }

    /// What the session has done so far.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn metrics(&self) -> Result<SessionMetrics, connection::Error> {
        self.handle.metrics().await
    }
}

impl Handle {
    /// As [`Session::open_bidirectional_stream`].
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn open_bidirectional_stream(
        &mut self,
    ) -> Result<BidirectionalStream, connection::Error> {
        let halves = self.asker.open(StreamKind::Bidirectional).await?;
        Ok(halves.bidirectional().expect("a bidirectional stream has both halves"))
    }

    /// As [`Session::open_send_stream`].
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn open_send_stream(&mut self) -> Result<SendStream, connection::Error> {
        let halves = self.asker.open(StreamKind::Unidirectional).await?;
        Ok(SendStream::new(halves.send.expect("the opener of a stream sends on it")))
    }

    /// As [`Session::close`].
    pub fn close(&self, error_code: application::Error) {
        self.asker.close(error_code);
    }

    /// Sends a PING; the answer keeps the session from being idle.
    ///
    /// # Errors
    /// Why the session is over.
    pub fn ping(&self) -> Result<(), connection::Error> {
        if let Some(error) = self.asker.error() {
            return Err(error);
        }
        self.asker.tell(ClientRequest::Ping);
        Ok(())
    }

    /// As [`Session::local_addr`].
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// As [`Session::remote_addr`].
    pub fn remote_addr(&self) -> SocketAddr {
        self.remote
    }

    /// As [`Session::metrics`].
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn metrics(&self) -> Result<SessionMetrics, connection::Error> {
        self.asker.ask(ClientRequest::Metrics).await
    }
}

impl StreamAcceptor {
    /// As [`Session::accept`].
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn accept(&mut self) -> Result<Option<PeerStream>, connection::Error> {
        tokio::select! {
            biased;
            Some(incoming) = self.incomings.bidirectional.recv() => {
                Ok(incoming.halves.bidirectional().map(PeerStream::Bidirectional))
            }
            Some(incoming) = self.incomings.unidirectional.recv() => {
                let receive = incoming.halves.receive.map(ReceiveStream::new);
                Ok(receive.map(PeerStream::Receive))
            }
            else => self.end(),
        }
    }

    /// As [`Session::accept_bidirectional_stream`].
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn accept_bidirectional_stream(
        &mut self,
    ) -> Result<Option<BidirectionalStream>, connection::Error> {
        match self.incomings.bidirectional.recv().await {
            Some(incoming) => Ok(incoming.halves.bidirectional()),
            None => self.end(),
        }
    }

    /// As [`Session::accept_receive_stream`].
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

    fn end<T>(&self) -> Result<Option<T>, connection::Error> {
        match self.asker.error() {
            None | Some(connection::Error::Closed { .. }) => Ok(None),
            Some(error) => Err(error),
        }
    }
}
