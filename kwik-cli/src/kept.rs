//! How much of an unfinished download is kept.

use tokio::sync::watch;

/// Tells how many bytes a later run may continue at. Held by what writes the part file, as long as it does.
#[derive(Debug)]
pub(crate) struct Keeper(watch::Sender<u64>);

/// Hears of it.
#[derive(Clone, Debug)]
pub(crate) struct Kept(watch::Receiver<u64>);

/// Both ends; nothing is kept yet.
pub(crate) fn kept() -> (Keeper, Kept) {
    let (keeper, kept) = watch::channel(0);
    (Keeper(keeper), Kept(kept))
}

impl Keeper {
    /// So many bytes are durable.
    pub(crate) fn tell(&self, bytes: u64) {
        self.0.send_replace(bytes);
    }
}

impl Kept {
    /// Waits until nothing more is written; how many bytes are kept.
    pub(crate) async fn settled(mut self) -> u64 {
        while self.0.changed().await.is_ok() {}
        *self.0.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_word_counts() {
        let (keeper, kept) = kept();
        keeper.tell(1);
        keeper.tell(2);
        drop(keeper);
        assert_eq!(kept.settled().await, 2);
    }
}
