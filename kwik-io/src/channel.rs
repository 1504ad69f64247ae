//! A channel to one receiver that is small while nothing waits in it.
//!
//! tokio's takes 512 bytes, for cache lines of its own, and room for 32 messages. A session has seven, and a server many
//! sessions, most of which are idle: this one takes about 150 bytes until something waits. A lock is no worse here:
//! messages are events of a session, not bytes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::sync::{Notify, Semaphore, TryAcquireError};
use tokio::task::coop;

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// As many wait as the channel lets wait.
    #[error("the channel is full")]
    Full,
    /// The receiver is gone.
    #[error("nobody receives any more")]
    Closed,
}

/// Sends. Cheap to clone; the channel ends with the last.
#[derive(Debug)]
pub struct Sender<T>(Arc<Channel<T>>);

/// Receives what all senders send, in the order in which they did.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Channel<T>>);

#[derive(Debug)]
struct Channel<T> {
    state: Mutex<State<T>>,
    /// Messages that may still be sent before one is received.
    places: Semaphore,
    /// The receiver is gone.
    over: Notify,
}

#[derive(Debug)]
struct State<T> {
    /// The first `pushed` of them took no place.
    waiting: VecDeque<T>,
    pushed: usize,
    senders: usize,
    closed: bool,
    receiver: Option<Waker>,
}

/// A channel in which at most that many messages wait.
///
/// ```
/// use kwik_io::channel::{self, SendError};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (sender, mut receiver) = channel::bounded(1);
/// sender.send(1).await.unwrap();
/// assert_eq!(sender.try_send(2), Err(SendError::Full));
/// assert_eq!(receiver.recv().await, Some(1));
/// drop(sender);
/// assert_eq!(receiver.recv().await, None);
/// # });
/// ```
pub fn bounded<T>(most: usize) -> (Sender<T>, Receiver<T>) {
    let state =
        State { waiting: VecDeque::new(), pushed: 0, senders: 1, closed: false, receiver: None };
    let (state, places) = (Mutex::new(state), Semaphore::new(most));
    let channel = Arc::new(Channel { state, places, over: Notify::new() });
    (Sender(channel.clone()), Receiver(channel))
}

impl<T> Channel<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, put: impl FnOnce(&mut State<T>)) -> Result<(), SendError> {
        let mut state = self.lock();
        if state.closed {
            return Err(SendError::Closed);
        }
        put(&mut state);
        let receiver = state.receiver.take();
        drop(state);
        receiver.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

impl<T> Sender<T> {
    /// Sends a message; waits while the channel is full, in turn with others. Dropped before it is done, nothing is sent.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub async fn send(&self, message: T) -> Result<(), SendError> {
        // The place is free again when the message is received.
        self.0.places.acquire().await.map_err(|_| SendError::Closed)?.forget();
        self.0.put(|state| state.waiting.push_back(message))
    }

    /// Sends a message if there is room.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn try_send(&self, message: T) -> Result<(), SendError> {
        match self.0.places.try_acquire() {
            Ok(place) => place.forget(),
            Err(TryAcquireError::NoPermits) => return Err(SendError::Full),
            Err(TryAcquireError::Closed) => return Err(SendError::Closed),
        }
        self.0.put(|state| state.waiting.push_back(message))
    }

    /// Sends a message that takes no place, ahead of all that took one. Who pushes bounds their number.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub fn push(&self, message: T) -> Result<(), SendError> {
        self.0.put(|state| {
            state.waiting.insert(state.pushed, message);
            state.pushed += 1;
        })
    }

    /// Waits until the receiver is gone.
    pub async fn closed(&self) {
        // Made before the look, it misses nothing.
        let over = self.0.over.notified();
        if !self.0.lock().closed {
            over.await;
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        let receiver = if state.senders == 0 { state.receiver.take() } else { None };
        drop(state);
        receiver.into_iter().for_each(Waker::wake);
    }
}

impl<T> Receiver<T> {
    /// The next message; `None` when all senders are gone and nothing waits. Cancel safe.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        // A task that always finds messages yields from time to time.
        let turn = ready!(coop::poll_proceed(cx));
        let mut state = self.0.lock();
        let Some(message) = state.waiting.pop_front() else {
            if state.senders == 0 {
                return Poll::Ready(None);
            }
            if !state.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                let former = state.receiver.replace(cx.waker().clone());
                // Outside the lock: it may be the last of a task that held a sender.
                drop(state);
                drop(former);
            }
            return Poll::Pending;
        };
        if state.waiting.is_empty() {
            // Room for messages is kept only while some wait.
            state.waiting = VecDeque::new();
        }
        if state.pushed > 0 {
            state.pushed -= 1;
        } else {
            self.0.places.add_permits(1);
        }
        turn.made_progress();
        Poll::Ready(Some(message))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        let receiver = state.receiver.take();
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.0.places.close();
        self.0.over.notify_waiters();
        // Outside the lock: a message, and a task that its waker keeps, may hold a sender.
        drop((receiver, waiting));
    }
}

#[cfg(test)]
mod tests;
