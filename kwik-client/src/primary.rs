//! What a session knows of its primary, as it changes.

use kwik_core::path::primary::PrimaryState;
use tokio::sync::watch;

/// Follows whether the primary is there. From [`Session::primary`](crate::Session::primary). Cheap to clone; holds the
/// session open no longer.
///
/// A session whose primary falls silent goes on: what secondaries were ordered to send still arrives, and the primary may
/// come back until QUIC's idle timeout. An application that knows another server uses that time to connect to it; see the
/// crate's page for the whole pattern.
///
/// ```no_run
/// use kwik_client::PrimaryState;
///
/// # async fn example(session: kwik_client::Session) {
/// let mut primary = session.primary();
/// while primary.changed().await != PrimaryState::Gone {
///     println!("the primary is {:?}", primary.state());
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PrimaryWatch {
    told: watch::Receiver<PrimaryState>,
    seen: PrimaryState,
}

impl PrimaryWatch {
    pub(crate) fn new(told: &watch::Receiver<PrimaryState>) -> Self {
        Self { told: told.clone(), seen: PrimaryState::Live }
    }

    /// What is known now.
    pub fn state(&self) -> PrimaryState {
        // A task that is gone without a last word had its worker ended.
        if self.told.has_changed().is_err() { PrimaryState::Gone } else { *self.told.borrow() }
    }

    /// Waits for a state other than the one that the last call returned; the first call, for one other than
    /// [`PrimaryState::Live`]. After [`PrimaryState::Gone`] it returns that at once. Cancel safe.
    pub async fn changed(&mut self) -> PrimaryState {
        if self.seen != PrimaryState::Gone {
            let seen = self.seen;
            let found = self.told.wait_for(|state| *state != seen).await;
            self.seen = found.map_or(PrimaryState::Gone, |state| *state);
        }
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_change_is_seen_once_and_the_end_for_ever() {
        let (tell, told) = watch::channel(PrimaryState::Live);
        let mut primary = PrimaryWatch::new(&told);
        tell.send_replace(PrimaryState::Suspect);
        assert_eq!(primary.changed().await, PrimaryState::Suspect);
        assert_eq!(PrimaryWatch::new(&told).changed().await, PrimaryState::Suspect);
        tell.send_replace(PrimaryState::Live);
        assert_eq!(
            (primary.state(), primary.changed().await),
            (PrimaryState::Live, PrimaryState::Live)
        );
        drop(tell);
        assert_eq!(primary.changed().await, PrimaryState::Gone);
        assert_eq!(
            (primary.state(), primary.changed().await),
            (PrimaryState::Gone, PrimaryState::Gone)
        );
    }
}
