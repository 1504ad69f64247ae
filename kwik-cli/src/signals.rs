//! Wishes from the terminal or the system: to stop, to read the settings again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cause::Cause;

/// SIGHUP, caught from [`listen`](Self::listen) on: the wish to have the settings read again.
#[derive(Debug)]
pub(crate) struct Hangup(Signal);

impl Hangup {
    /// From now on the signal does not end the process by itself. Needs a tokio runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for it.
    pub(crate) async fn wanted(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// SIGINT and SIGTERM, caught from [`listen`](Self::listen) on.
#[derive(Debug)]
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// From now on neither signal ends the process by itself. Needs a tokio runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for either; which one it was.
    pub(crate) async fn wanted(&mut self) -> Cause {
        tokio::select! {
            _ = self.interrupt.recv() => Cause::Interrupted,
            _ = self.terminate.recv() => Cause::Terminated,
        }
    }
}
