//! Sessions that several downloads share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kwik_client::connection::Handle;
use kwik_client::{PrimaryState, Session};

/// Host and port of a server, as its URL has them.
type Place = (String, u16);
/// The session with a server, if there is one. Locked while it is made, so that no two are.
type Slot = Arc<tokio::sync::Mutex<Option<Handle>>>;

/// One session with each server.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<Place, Slot>>);

/// How long a session that is to end may take to say how far its server is.
const TELLING: Duration = Duration::from_millis(200);

impl Sessions {
    /// The session with the server at that place; `dial` makes one where there is none that is in order.
    pub(crate) async fn take<F>(
        &self,
        place: Place,
        dial: impl FnOnce() -> F,
    ) -> anyhow::Result<Handle>
    where
        F: Future<Output = anyhow::Result<Session>>,
    {
        let slot = Arc::clone(self.slots().entry(place).or_default());
        let mut slot = slot.lock().await;
        if let Some(handle) = &*slot
            && handle.primary().state() == PrimaryState::Live
        {
            return Ok(handle.clone());
        }
        // What goes on over the old one has handles of its own.
        *slot = None;
        let handle = dial().await?.handle();
        *slot = Some(handle.clone());
        Ok(handle)
    }

    /// Drops them all; the longest round trip of any.
    pub(crate) async fn close(&self) -> Duration {
        let slots = std::mem::take(&mut *self.slots());
        let mut longest = Duration::ZERO;
        for slot in slots.into_values() {
            let Some(handle) = slot.lock().await.take() else { continue };
            let metrics = tokio::time::timeout(TELLING, handle.metrics()).await;
            let paths = metrics.ok().and_then(Result::ok).map(|metrics| metrics.paths);
            let rtt = paths.iter().flatten().filter_map(|path| path.rtt).max();
            longest = longest.max(rtt.unwrap_or_default());
        }
        longest
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, BTreeMap<Place, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
