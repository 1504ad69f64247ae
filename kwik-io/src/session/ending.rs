//! Whether and why a session ended.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::stream::{application, connection};

/// Why and how a session ended, or that it did not.
#[derive(Clone, Debug, Default)]
pub struct Ending(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    error: OnceLock<connection::Error>,
    /// The code that the application closed with, for the session's task.
    close: OnceLock<application::Error>,
    closed: Notify,
}

/// The code that the application closed with, as the session's task hears of it.
#[derive(Debug)]
pub struct Closing {
    ending: Ending,
    heard: bool,
}

impl Closing {
    pub(super) fn of(ending: &Ending) -> Self {
        Self { ending: ending.clone(), heard: false }
    }

    /// Waits until the application closes, the first time that it does. Cancel safe.
    pub async fn ordered(&mut self) {
        while self.heard || self.ending.0.close.get().is_none() {
            self.ending.0.closed.notified().await;
        }
        self.heard = true;
    }

    /// The code, if it did.
    pub fn code(&self) -> Option<application::Error> {
        self.ending.0.close.get().copied()
    }
}

impl Ending {
    /// The first error wins.
    pub fn set(&self, error: connection::Error) {
        let _ = self.0.error.set(error);
    }

    /// The error that every later call returns.
    pub fn error(&self) -> Option<connection::Error> {
        self.0.error.get().copied()
    }

    /// The application closes: the session's task is told the first code.
    pub(super) fn close(&self, code: application::Error) {
        let _ = self.0.close.set(code);
        self.0.closed.notify_one();
    }

    /// The error of a session that this end's application closed: its streams fail with it at once, without waiting for
    /// the session's task.
    pub(crate) fn closed_here(&self) -> Option<connection::Error> {
        use connection::{Error::Application, Location};
        self.error().filter(|error| matches!(error, Application { initiator: Location::Local, .. }))
    }

    /// What an acceptor finds before it looks whether streams wait: after a close with a code nothing is accepted, as in
    /// s2n-quic.
    pub(crate) fn refuses_accept(&self) -> Option<connection::Error> {
        self.error().filter(|error| error.application_error().is_some())
    }

    /// What an acceptor returns when no stream comes any more. As in s2n-quic a session that was closed without an error,
    /// or not heard of any more, is the end and no error.
    pub(crate) fn accepted<T>(&self) -> connection::Result<Option<T>> {
        use connection::Error::{Closed, IdleTimerExpired};
        match self.error() {
            Some(Closed { .. } | IdleTimerExpired) => Ok(None),
            Some(error) => Err(error),
            None => Err(vanished()),
        }
    }

    /// The error of a session whose task is gone.
    pub(super) fn or_vanished(&self) -> connection::Error {
        self.error().unwrap_or(vanished())
    }
}

/// Of a session whose task was dropped with its runtime, before it could say why it ended. No orderly end: the peer has
/// not closed, and may not even know.
fn vanished() -> connection::Error {
    connection::Error::immediate_close("the worker of the session ended")
}
