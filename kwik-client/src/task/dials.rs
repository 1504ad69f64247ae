//! The dials of a client to secondaries, shared by its sessions.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kwik_core::path::dials::{Dials, Outcome, Verdict};
use kwik_io::env::Env;
use tokio::sync::Notify;

/// What [`Dials`] knows, and who waits for it.
#[derive(Clone, Debug)]
pub(crate) struct SharedDials(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    env: Env,
    dials: Mutex<Dials>,
    /// A dial has ended.
    ended: Notify,
}

/// How a dial that has begun is to be made. Dropped, it has failed.
#[derive(Debug)]
pub(super) struct Permit {
    inner: Arc<Inner>,
    address: SocketAddr,
    outcome: Outcome,
    /// How long the address may be silent, if it has not answered before.
    pub(super) patience: Option<Duration>,
}

impl SharedDials {
    pub(crate) fn new(env: Env) -> Self {
        Self(Arc::new(Inner { env, dials: Mutex::default(), ended: Notify::new() }))
    }

    /// Waits for other dials to the same host as long as [`Dials`] says.
    ///
    /// # Errors
    /// The time after which the address may be dialled.
    pub(super) async fn begin(
        &self,
        address: SocketAddr,
        primary: IpAddr,
    ) -> Result<Permit, Duration> {
        loop {
            // Enabled before the question: a dial that ends behind it is heard.
            let mut ended = std::pin::pin!(self.0.ended.notified());
            ended.as_mut().enable();
            let verdict = self.0.update(|dials, now| dials.begin(address, primary, now));
            let patience = match verdict {
                Verdict::Known => None,
                Verdict::Unknown => Some(Dials::PATIENCE),
                Verdict::Later(pause) => return Err(pause),
                Verdict::Wait => {
                    ended.await;
                    continue;
                }
            };
            return Ok(Permit {
                inner: self.0.clone(),
                address,
                outcome: Outcome::Failed,
                patience,
            });
        }
    }
}

impl Inner {
    fn update<T>(&self, update: impl FnOnce(&mut Dials, kwik_core::time::Instant) -> T) -> T {
        let mut dials = self.dials.lock().unwrap_or_else(PoisonError::into_inner);
        update(&mut dials, self.env.now())
    }
}

impl Permit {
    /// The handshake is complete.
    pub(super) fn answered(mut self) {
        self.outcome = Outcome::Answered;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let (address, outcome) = (self.address, self.outcome);
        self.inner.update(|dials, now| dials.handle_ended(address, outcome, now));
        self.inner.ended.notify_waiters();
    }
}
