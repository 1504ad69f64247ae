//! A session, as the application holds it.

use kwik_io::session::SessionHandle;
use kwik_io::table::{AcceptQueue, Incomings};
use tokio::sync::oneshot;

use crate::PrimaryWatch;
use crate::connection::{Handle, Result, StreamAcceptor};
use crate::metrics::SessionMetrics;
use crate::stream::{BidirectionalStream, LocalStream, PeerStream, ReceiveStream, SendStream};

/// What only a client's session is asked.
#[derive(Debug)]
pub(crate) enum ClientRequest {
    Metrics(oneshot::Sender<SessionMetrics>),
}

/// A session with a primary server: what s2n-quic calls a connection.
///
/// It closes when it, its handles, acceptors and streams are dropped and what was finished has arrived, or with
/// [`close`](Self::close).
///
/// ```no_run
/// # async fn example(mut session: kwik_client::Session) -> Result<(), Box<dyn std::error::Error>> {
/// let (mut handle, mut acceptor) = session.split();
/// tokio::spawn(async move {
///     while let Ok(Some(stream)) = acceptor.accept_receive_stream().await {
///         println!("the primary opened stream {}", stream.id());
///     }
/// });
/// let mut stream = handle.open_bidirectional_stream().await?;
/// stream.send("hello".into()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Session {
    handle: Handle,
    acceptor: StreamAcceptor,
}

impl Session {
    pub(crate) fn new(handle: Handle, incomings: Incomings) -> Self {
        Self { acceptor: StreamAcceptor::new(incomings, handle.clone()), handle }
    }

    /// A handle that opens streams.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Opening and accepting, apart.
    pub fn split(self) -> (Handle, StreamAcceptor) {
        (self.handle, self.acceptor)
    }

    /// What the session has done so far.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn metrics(&self) -> Result<SessionMetrics> {
        self.handle.metrics().await
    }

    /// Follows whether the primary is there.
    pub fn primary(&self) -> PrimaryWatch {
        self.handle.primary()
    }

    /// See [`Handle::closed`].
    pub async fn closed(&self) -> SessionMetrics {
        self.handle.closed().await
    }

    fn hold(&self) -> &SessionHandle<ClientRequest> {
        self.handle.hold()
    }

    fn hold_mut(&mut self) -> &mut SessionHandle<ClientRequest> {
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

kwik_io::handle_api!(Session);
kwik_io::accept_api!(Session);
