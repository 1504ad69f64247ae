//! How many connections an endpoint still has.

use tokio::sync::watch;

/// The connections of a server's endpoint: those in their handshake, those that are open, and those that are closed and whose
/// peers are being told. Clones are one count.
///
/// ```
/// use kwik_io::endpoint::Connections;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// Connections::default().none().await;
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Connections(watch::Sender<usize>);

/// One connection; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(watch::Sender<usize>);

impl Default for Connections {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Connections {
    /// Waits until there is none. Cancel safe.
    pub async fn none(&self) {
        // The sender is `self`'s own, so there is no error to see.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }

    pub(crate) fn count(&self) -> Counted {
        self.0.send_modify(|count| *count += 1);
        Counted(self.0.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
