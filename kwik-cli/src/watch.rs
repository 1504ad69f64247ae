//! How a session's primary does, as the state machine of a download wants to know it.

use kwik_client::connection::Handle;
use kwik_client::{PrimaryState, PrimaryWatch, SessionMetrics};

use crate::continuing::Standing;

/// Tells when the primary's standing changes.
#[derive(Debug)]
pub(crate) struct Watch {
    primary: PrimaryWatch,
    /// Whether it is gone and was told so: nothing follows.
    over: bool,
}

impl Watch {
    pub(crate) fn of(session: &Handle) -> Self {
        Self { primary: session.primary(), over: false }
    }

    /// The next standing that differs from the last one; never, once it was gone. Cancel safe.
    pub(crate) async fn changed(&mut self) -> Standing {
        if self.over {
            return std::future::pending().await;
        }
        let standing = match self.primary.changed().await {
            PrimaryState::Live => Standing::Live,
            PrimaryState::Suspect => Standing::Suspect,
            PrimaryState::Leaving => Standing::Leaving,
            PrimaryState::Gone => Standing::Gone,
        };
        self.over = standing == Standing::Gone;
        standing
    }
}

/// What a session did, once nothing is read from it any more: how its paths were before it is closed, if it is not over yet.
pub(crate) async fn final_metrics(session: Handle) -> SessionMetrics {
    match session.metrics().await {
        Ok(metrics) => metrics,
        Err(_) => session.closed().await,
    }
}
