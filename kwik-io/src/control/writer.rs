//! Frames that are sent.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use kwik_proto::frame::ControlFrame;
use s2n_quic::stream::{self, SendStream};
use tokio::sync::Notify;

use super::queue::{PushError, Queue, Room};

/// Bytes that may be unacknowledged in s2n-quic, beyond which a frame can no longer be replaced by a newer state or
/// overtaken. Too low: a round trip carries too few orders. Too high: a window update waits behind old ones.
const UNACKNOWLEDGED: usize = 16 << 10;

/// The end that frames are pushed into; belongs to the session's task.
///
/// When it is dropped the writer sends what waits, finishes the stream, and ends.
#[derive(Debug)]
pub struct ControlSender {
    shared: Arc<Shared>,
}

/// Writes what is pushed, as the peer acknowledges it. To be run as a task of the path's worker.
#[derive(Debug)]
pub struct ControlWriter {
    stream: SendStream,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    news: Notify,
    /// More is acknowledged, or the writer is gone.
    acknowledged: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: Queue,
    /// Frames pushed so far.
    pushed: u64,
    /// Of them, those that the peer has acknowledged.
    acknowledged: u64,
    /// Nothing more will be pushed.
    finished: bool,
    /// The writer is gone.
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn channel(stream: SendStream) -> (ControlSender, ControlWriter) {
    let shared = Arc::<Shared>::default();
    (ControlSender { shared: shared.clone() }, ControlWriter { stream, shared })
}

impl ControlSender {
    /// Queues a frame; never waits. `StreamWindow`, `StreamProgress` (per stream) and `PathStatus` (per path)
    /// replace the waiting one before them; `Relay` goes out when nothing else waits.
    ///
    /// # Errors
    /// [`PushError`]; the frame is not queued.
    pub fn push(&self, frame: &ControlFrame) -> Result<(), PushError> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(PushError::Closed);
        }
        state.queue.push(frame)?;
        state.pushed += 1;
        drop(state);
        self.shared.news.notify_one();
        Ok(())
    }

    /// Waits until the peer has acknowledged everything that was pushed before; to be used with a timeout before a
    /// connection is closed. Cancel safe.
    ///
    /// # Errors
    /// [`PushError::Closed`], when the writer ended before.
    pub async fn flushed(&self) -> Result<(), PushError> {
        let pushed = self.shared.lock().pushed;
        loop {
            // Made before the look, it misses nothing.
            let more = self.shared.acknowledged.notified();
            {
                let state = self.shared.lock();
                if state.acknowledged >= pushed {
                    return Ok(());
                }
                if state.closed {
                    return Err(PushError::Closed);
                }
            }
            more.await;
        }
    }
}

impl Drop for ControlSender {
    fn drop(&mut self) {
        self.shared.lock().finished = true;
        self.shared.news.notify_one();
    }
}

/// What is to be done next.
struct Turn {
    bytes: Bytes,
    /// Nothing waits any more; with everything acknowledged that many pushes are done.
    all: Option<u64>,
    finished: bool,
}

impl ControlWriter {
    /// Writes until the sender is dropped, or the stream fails.
    ///
    /// # Errors
    /// What QUIC says of the stream: reset, stopped by the peer, or its connection over.
    #[expect(clippy::manual_async_fn, reason = "an async fn has its arguments in its future twice")]
    pub fn run(mut self) -> impl Future<Output = Result<(), stream::Error>> + Send {
        async move {
            let shared = self.shared.clone();
            let capacity = self.available().await?;
            loop {
                let unacknowledged = capacity.saturating_sub(self.available().await?);
                let turn = self.turn(unacknowledged);
                let idle = turn.bytes.is_empty() && unacknowledged == 0;
                if !turn.bytes.is_empty() {
                    self.stream.send(turn.bytes).await?;
                } else if turn.finished && turn.all.is_some() {
                    return self.stream.close().await;
                } else if idle {
                    if let Some(all) = turn.all {
                        shared.lock().acknowledged = all;
                        shared.acknowledged.notify_waiters();
                    }
                    shared.news.notified().await;
                    continue;
                }
                tokio::select! {
                    biased;
                    flushed = self.stream.flush() => flushed?,
                    () = shared.news.notified() => {}
                }
            }
        }
    }

    /// Takes what may be written now out of the queue.
    fn turn(&self, unacknowledged: usize) -> Turn {
        let mut state = self.shared.lock();
        let mut room = match unacknowledged {
            0 => Room::Whole(UNACKNOWLEDGED),
            _ => Room::Rest(UNACKNOWLEDGED.saturating_sub(unacknowledged)),
        };
        let mut bytes = BytesMut::new();
        while let Some(frame) = state.queue.pop(room) {
            room = room.after(frame.len());
            bytes.extend_from_slice(&frame);
        }
        let all = state.queue.is_empty().then_some(state.pushed);
        Turn { bytes: bytes.freeze(), all, finished: state.finished }
    }

    /// Free bytes of the stream's send buffer, which holds what is not acknowledged. A control stream never fills it,
    /// so this never waits.
    async fn available(&mut self) -> Result<usize, stream::Error> {
        poll_fn(|context| self.stream.poll_send_ready(context)).await
    }
}

impl Drop for ControlWriter {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.acknowledged.notify_waiters();
    }
}
