//! How a session's primary does, as the state machine of a download wants to know it.

use std::time::Duration;

use kwik_client::{Handle, PathRole, Session, SessionMetrics};

use crate::continuing::Standing;

/// How often a session is asked.
const LOOK: Duration = Duration::from_millis(250);

/// Tells when the primary's standing changes.
#[derive(Debug)]
pub(crate) struct Watch {
    handle: Handle,
    last: Standing,
}

impl Watch {
    pub(crate) fn of(session: &Session) -> Self {
        Self { handle: session.handle(), last: Standing::Live }
    }

    /// The next standing that differs from the last one. Cancel safe.
    pub(crate) async fn changed(&mut self) -> Standing {
        loop {
            let standing = standing(self.handle.metrics().await.ok());
            if standing != self.last {
                self.last = standing;
                return standing;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn standing(metrics: Option<SessionMetrics>) -> Standing {
    let Some(metrics) = metrics else { return Standing::Gone };
    let primary = metrics.paths.iter().find(|path| path.role == PathRole::Primary);
    match primary.map(|path| path.state) {
        Some("suspect") => Standing::Suspect,
        Some("gone") => Standing::Gone,
        _ => Standing::Live,
    }
}

/// What a session did, once nothing is read from it any more.
pub(crate) async fn final_metrics(session: Session) -> SessionMetrics {
    session.metrics().await.unwrap_or_default()
}
