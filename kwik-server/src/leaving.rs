//! The end of a server: what its sessions hear of it, and who is waited for.

use std::sync::Arc;

use kwik_core::time::Instant;
use tokio::sync::watch;

/// When a server that goes away ends its sessions; `None`: it stays.
type End = Option<Instant>;

/// Whether a server goes away, and the sessions that are still open on it.
#[derive(Debug)]
pub(crate) struct Leaving {
    end: watch::Sender<End>,
    open: watch::Sender<usize>,
}

impl Default for Leaving {
    fn default() -> Self {
        Self { end: watch::Sender::new(None), open: watch::Sender::new(0) }
    }
}

impl Leaving {
    /// The server goes away, at `end` at the latest. Of several ends the first counts.
    pub(crate) fn begin(&self, end: Instant) {
        self.end.send_if_modified(|known| {
            let sooner = known.is_none_or(|known| end < known);
            if sooner {
                *known = Some(end);
            }
            sooner
        });
    }

    /// Waits until it goes away. Cancel safe.
    pub(crate) async fn begun(&self) {
        // The sender is `self`'s own, so there is no error to see.
        let _ = self.end.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until no session is open. Cancel safe.
    pub(crate) async fn empty(&self) {
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }
}

/// A session's place among those of its server.
#[derive(Debug)]
pub(crate) struct Presence {
    leaving: Arc<Leaving>,
    end: watch::Receiver<End>,
}

impl Presence {
    /// From now on the server waits for the session.
    pub(crate) fn new(leaving: &Arc<Leaving>) -> Self {
        leaving.open.send_modify(|open| *open += 1);
        let mut end = leaving.end.subscribe();
        // A session may begin while the server goes away.
        end.mark_changed();
        Self { leaving: leaving.clone(), end }
    }

    /// Waits until the server goes away, or does so sooner than was said: when the session has to end. Cancel safe.
    pub(crate) async fn called_away(&mut self) -> Instant {
        loop {
            // Fails only if the sender is gone, which this holds.
            let _ = self.end.changed().await;
            if let Some(end) = *self.end.borrow_and_update() {
                return end;
            }
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.leaving.open.send_modify(|open| *open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    #[tokio::test]
    async fn the_first_end_counts_and_is_told_again_when_it_comes_sooner() {
        let leaving = Arc::<Leaving>::default();
        let mut presence = Presence::new(&leaving);
        leaving.begin(at(30));
        assert_eq!(presence.called_away().await, at(30));
        leaving.begin(at(40));
        leaving.begin(at(5));
        assert_eq!(presence.called_away().await, at(5));
        assert_eq!(Presence::new(&leaving).called_away().await, at(5));
    }

    #[tokio::test]
    async fn the_server_is_empty_when_the_last_session_is_over() {
        let leaving = Arc::<Leaving>::default();
        let sessions = [Presence::new(&leaving), Presence::new(&leaving)];
        let mut empty = std::pin::pin!(leaving.empty());
        for session in sessions {
            assert!(now(&mut empty).await.is_none());
            drop(session);
        }
        empty.await;
    }

    /// What the future says at once.
    async fn now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }
}
