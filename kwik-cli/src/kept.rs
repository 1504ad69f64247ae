//! What is there of a download when it ends.

use tokio::sync::watch;

/// What is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Bytes at which a later run may continue.
    Bytes(u64),
    /// The whole file, in its place.
    Whole,
}

/// Tells what is there. Held by what writes the part file, as long as it does.
#[derive(Debug)]
pub(crate) struct Keeper(watch::Sender<Left>);

/// Hears of it.
#[derive(Clone, Debug)]
pub(crate) struct Kept(watch::Receiver<Left>);

/// Both ends; nothing is kept yet.
pub(crate) fn kept() -> (Keeper, Kept) {
    let (keeper, kept) = watch::channel(Left::Bytes(0));
    (Keeper(keeper), Kept(kept))
}

impl Keeper {
    /// So many bytes are durable.
    pub(crate) fn tell(&self, bytes: u64) {
        self.0.send_replace(Left::Bytes(bytes));
    }

    /// The file is whole, and on disk.
    pub(crate) fn tell_whole(&self) {
        self.0.send_replace(Left::Whole);
    }
}

impl Kept {
    /// What is there by now.
    pub(crate) fn now(&self) -> Left {
        *self.0.borrow()
    }

    /// Waits until nothing more is written; what is there then.
    pub(crate) async fn settled(mut self) -> Left {
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
        assert_eq!(kept.settled().await, Left::Bytes(2));
    }
}
