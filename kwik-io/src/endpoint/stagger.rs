//! Several ways to reach the same thing, tried a moment apart.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::Instrument;

/// Time from the start of one attempt to that of the next, where none has failed: the Connection Attempt Delay that
/// RFC 8305, 5 recommends. Too low: servers see handshakes that nobody wants. Too high: a person waits for a dead address.
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Attempts that run at a time. The list pays when all of them are silent: its next one waits until the first has failed.
/// A handshake costs memory and a datagram of 1,200 bytes for each retransmission; eight of them are started in 2 s.
const MAX_RUNNING: usize = 8;

/// Runs `attempts` as RFC 8305 has it: the next one starts [`ATTEMPT_DELAY`] after the one before, or at once when one has
/// failed. Returns what the first that succeeds brings; the others are aborted, as all are when this is dropped.
///
/// Runs them as tasks of the runtime that it is called in.
///
/// ```
/// use kwik_io::endpoint::stagger;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let attempts = [Err("refused"), Ok("here")].map(std::future::ready);
/// assert_eq!(stagger(attempts).await, Ok("here"));
/// # });
/// ```
///
/// # Errors
/// When all have failed: why, in the order of `attempts`. Nothing where there were none.
pub async fn stagger<T, E, F>(attempts: impl IntoIterator<Item = F>) -> Result<T, Vec<E>>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let mut waiting = attempts.into_iter().enumerate().peekable();
    let mut running = JoinSet::new();
    let mut failures = BTreeMap::new();
    let mut next = Instant::now();
    loop {
        let may_start = waiting.peek().is_some() && running.len() < MAX_RUNNING;
        tokio::select! {
            biased;
            Some(ended) = running.join_next(), if !running.is_empty() => match ended {
                Ok((_, Ok(winner))) => return Ok(winner),
                Ok((index, Err(error))) => {
                    failures.insert(index, error);
                    next = Instant::now();
                }
                // Nothing but this future aborts them.
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            },
            () = sleep_until(next), if may_start => {
                if let Some((index, attempt)) = waiting.next() {
                    running.spawn(async move { (index, attempt.await) }.in_current_span());
                }
                next = Instant::now() + ATTEMPT_DELAY;
            }
            else => return Err(failures.into_values().collect()),
        }
    }
}

#[cfg(test)]
mod tests;
