//! Short exchanges with a server that last: over another session where one is lost.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kwik_client::connection::Handle;

use super::Run;
use crate::cause::{Cause, Known};
use crate::protocol::Malformed;
use crate::time_limit::TimeLimit;
use crate::url::KwikUrl;

/// Pauses between two tries: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Why an exchange failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Another session may have more luck.
    Passing(anyhow::Error),
    Lasting(anyhow::Error),
}

impl Trouble {
    /// What a server has said lasts, and what happened to a session does not.
    pub(super) fn of(error: anyhow::Error) -> Self {
        if error.is::<Malformed>() {
            return Self::Lasting(Known::error(Cause::Integrity, format!("{error:#}")));
        }
        if error.is::<Known>() { Self::Lasting(error) } else { Self::Passing(error) }
    }
}

/// The error of a server that says nothing.
pub(super) fn silent(limit: Duration) -> anyhow::Error {
    let limit = TimeLimit(limit);
    let advice =
        "a server hashes a file at its first request, so try again or give a longer --timeout";
    Known::error(Cause::Timeout, format!("no byte came for {limit}; {advice}"))
}

impl Run {
    /// Does something over the session with a server: again where it is lost, for as long as nothing may come.
    pub(super) async fn exchange<T, F>(
        &self,
        (url, trust): (&KwikUrl, usize),
        mut act: impl FnMut(Handle) -> F,
    ) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let began = Instant::now();
        let limit = if self.has_reached() { self.patience.silence } else { self.patience.connect };
        let (mut pause, longest) = PAUSES;
        loop {
            let error = match self.reach.connect(url, trust).await {
                Ok(handle) => {
                    self.reached.store(true, Ordering::Relaxed);
                    match act(handle).await {
                        Ok(done) => return Ok(done),
                        Err(Trouble::Lasting(error)) => return Err(error),
                        Err(Trouble::Passing(error)) => error,
                    }
                }
                // Who is there and is not the right one will not be in a moment.
                Err(error) if Cause::of(&error) != Cause::Unreachable => return Err(error),
                Err(error) => error,
            };
            if began.elapsed() + pause > limit {
                let text = format!("{error:#}; it was tried again for {}", TimeLimit(limit));
                return Err(Known::like(&error, text));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }
}
