//! Parts of a session, and why sessions end.

use kwik_io::session::SessionHandle;

use crate::metrics::SessionMetrics;
use crate::session::ClientRequest;
use crate::stream::{BidirectionalStream, LocalStream, PeerStream, ReceiveStream, SendStream};

pub use kwik_io::stream::connection::{Error, Location, Result};

/// Opens streams and closes the session. Cheap to clone.
///
/// The session stays open as long as there is one, or an acceptor, or a stream.
///
/// ```no_run
/// # async fn example(session: kwik_client::Session) -> kwik_client::connection::Result<()> {
/// let mut handle = session.handle();
/// let stream = handle.open_send_stream().await?;
/// assert_eq!(stream.connection().id(), handle.id());
/// handle.close(0u8.into());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Handle(pub(crate) SessionHandle<ClientRequest>);

impl Handle {
    pub(crate) fn hold(&self) -> &SessionHandle<ClientRequest> {
        &self.0
    }

    fn hold_mut(&mut self) -> &mut SessionHandle<ClientRequest> {
        &mut self.0
    }

    fn share(&self) -> Self {
        self.clone()
    }

    /// What the session has done so far.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn metrics(&self) -> Result<SessionMetrics> {
        self.0.asker().ask(ClientRequest::Metrics).await
    }
}

kwik_io::handle_api!(Handle);
kwik_io::acceptors!();
