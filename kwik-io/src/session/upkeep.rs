//! What the application wants of QUIC itself.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// PINGs and keep-alive that the session's task has not seen to yet. They have a place of their own: who asks can't wait,
/// and where requests wait they would be lost.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    wanted: Mutex<Wanted>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Wanted {
    ping: bool,
    keep_alive: Option<bool>,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    Ping,
    KeepAlive(bool),
}

impl Upkeep {
    /// Of several PINGs one is sent; of several words about keep-alive the last counts.
    pub(super) fn want(&self, chore: Chore) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        match chore {
            Chore::Ping => wanted.ping = true,
            Chore::KeepAlive(enabled) => wanted.keep_alive = Some(enabled),
        }
        drop(wanted);
        self.news.notify_one();
    }

    /// What is to be done next. Cancel safe.
    pub(super) async fn next(&self) -> Chore {
        loop {
            if let Some(chore) = self.take() {
                return chore;
            }
            self.news.notified().await;
        }
    }

    fn take(&self) -> Option<Chore> {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut wanted.ping) {
            return Some(Chore::Ping);
        }
        wanted.keep_alive.take().map(Chore::KeepAlive)
    }
}
