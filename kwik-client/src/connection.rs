//! Parts of a session, and why sessions end.

use std::sync::Arc;

use kwik_core::path::primary::PrimaryState;
use kwik_io::session::SessionHandle;
use tokio::sync::watch;

use crate::PrimaryWatch;
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
pub struct Handle {
    hold: SessionHandle<ClientRequest>,
    told: Told,
}

/// What the session's task tells without being asked.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) primary: watch::Receiver<PrimaryState>,
    /// The numbers at the session's end.
    pub(crate) last: watch::Receiver<Option<Arc<SessionMetrics>>>,
}

impl Handle {
    pub(crate) fn new(hold: SessionHandle<ClientRequest>, told: Told) -> Self {
        Self { hold, told }
    }

    pub(crate) fn hold(&self) -> &SessionHandle<ClientRequest> {
        &self.hold
    }

    pub(crate) fn hold_mut(&mut self) -> &mut SessionHandle<ClientRequest> {
        &mut self.hold
    }

    fn share(&self) -> Self {
        self.clone()
    }

    /// What the session has done so far.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn metrics(&self) -> Result<SessionMetrics> {
        self.hold.asker().ask(ClientRequest::Metrics).await
    }

    /// Follows whether the primary is there.
    pub fn primary(&self) -> PrimaryWatch {
        PrimaryWatch::new(&self.told.primary)
    }

    /// Waits until the session is over, for whatever reason, and returns what it had done by then, per stream and per
    /// path. At once where it is over already. Cancel safe.
    ///
    /// ```no_run
    /// # async fn example(session: kwik_client::Session) {
    /// session.close(0u8.into());
    /// for path in session.closed().await.paths {
    ///     println!("{}: {} bytes", path.address, path.bytes);
    /// }
    /// # }
    /// ```
    pub async fn closed(&self) -> SessionMetrics {
        let mut last = self.told.last.clone();
        let found = last.wait_for(Option::is_some).await;
        // No last word comes where the client's workers were ended with the program.
        found.ok().and_then(|last| last.as_deref().cloned()).unwrap_or_default()
    }
}

kwik_io::handle_api!(Handle);
kwik_io::acceptors!();
