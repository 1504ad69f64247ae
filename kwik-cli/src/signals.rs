//! The wish to stop, from the terminal or the system.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cause::Cause;

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
