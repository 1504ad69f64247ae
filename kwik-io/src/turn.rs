//! Turns: no task keeps a worker's other tasks waiting for long.
//!
//! All sessions of a worker share its thread, and a task goes on as long as there is something for it to do. A peer that sends what
//! is small to send and much work to take would have the others' packets wait behind all of it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

/// How long a task may go on before the others have their turn. Shorter: more changes between tasks, each of which costs about a
/// microsecond. Longer: other sessions wait as long for each session that is busy.
pub const LONGEST: Duration = Duration::from_micros(500);

/// The turn of a task that loops over what its peer sends.
///
/// ```
/// use kwik_io::turn::Turn;
///
/// # async fn example(mut inbox: tokio::sync::mpsc::Receiver<u8>) {
/// let mut turn = Turn::default();
/// loop {
///     turn.pass_on().await;
///     tokio::select! {
///         biased;
///         Some(_message) = inbox.recv() => {}
///         // Only polled when nothing else is ready.
///         never = turn.wait() => match never {},
///     }
/// }
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Turn {
    /// `None`: it begins with what comes next.
    since: Option<Instant>,
}

impl Turn {
    /// Lets the others have their turn, if this one is over. To be called between two pieces of work.
    pub async fn pass_on(&mut self) {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= LONGEST {
            tokio::task::yield_now().await;
            self.since = None;
        }
    }

    /// Polls what the task waits for next. While it waits the others have their turn anyway.
    pub fn poll<F: Future>(&mut self, next: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let polled = next.poll(cx);
        if polled.is_pending() {
            self.since = None;
        }
        polled
    }

    /// Never ends: the last branch of a `select!` that is biased, polled when the task waits.
    pub async fn wait(&mut self) -> Infallible {
        poll_fn(|_| {
            self.since = None;
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use tokio::task::LocalSet;
    use tokio::time::advance;

    use super::*;

    /// How many pieces of work, each of `length`, a task does before another one that is ready has its turn.
    async fn before_another(length: Duration) -> u32 {
        let (done, seen) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(None)));
        let (working, looking) = (Rc::clone(&done), (Rc::clone(&done), Rc::clone(&seen)));
        let tasks = LocalSet::new();
        tasks.spawn_local(async move {
            let mut turn = Turn::default();
            for _ in 0..100 {
                turn.pass_on().await;
                working.set(working.get() + 1);
                // A clock that goes on while a task works, which tokio's paused one does not.
                turn.since = turn.since.map(|since| since.checked_sub(length).unwrap_or(since));
            }
        });
        tasks.spawn_local(async move { looking.1.set(Some(looking.0.get())) });
        tasks.await;
        seen.get().unwrap_or(done.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_with_much_to_do_lets_others_have_their_turn() {
        advance(Duration::from_secs(1_000)).await;
        assert_eq!(before_another(LONGEST / 5).await, 5);
        assert_eq!(before_another(LONGEST).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_waited_begins_a_new_turn() {
        let mut turn = Turn::default();
        turn.pass_on().await;
        advance(LONGEST).await;
        let waited = tokio::time::timeout(LONGEST, turn.wait()).await;
        assert!(waited.is_err() && turn.since.is_none());
        let mut pass = Box::pin(turn.pass_on());
        let at_once = poll_fn(|cx| Poll::Ready(pass.as_mut().poll(cx).is_ready())).await;
        assert!(at_once);
    }
}
