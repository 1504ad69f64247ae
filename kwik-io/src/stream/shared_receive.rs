//! The receive half of a stream, as application, pumps and session share it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use kwik_core::conflict::Conflict;
use kwik_core::stream::{Failure, Inserted, Read, ReceiveError, ReceiveHalf, SourceKey};
use kwik_proto::{Offset, StreamId};

use super::send_state::Waiting;
use super::service::{ServiceBell, ServiceList, StreamHalf};
use super::{Error, Result, application, connection};
use crate::env::Env;
use crate::session::Ending;

/// One stream half that this end receives: the core's [`ReceiveHalf`] behind a short lock.
///
/// Pumps put in what carriers bring, the application reads through [`ReceiveStream`](super::ReceiveStream), and the
/// session's task moves the window and ends the half. Clones are the same half. The lock is held for bookkeeping only,
/// never across a poll of QUIC; a batch of chunks wakes the reader once.
///
/// ```
/// use kwik_core::stream::{ReceiveConfig, ReceiveHalf};
/// use kwik_io::env::Env;
/// use kwik_io::stream::{ServiceList, SharedReceive};
/// use kwik_proto::StreamId;
///
/// let half = ReceiveHalf::new(ReceiveConfig::default());
/// let id = StreamId::from_wire(0).unwrap();
/// let receive = SharedReceive::new(id, half, &ServiceList::default(), Env::system());
/// assert_eq!(receive.inspect(|half| half.final_size()), None);
/// ```
#[derive(Clone, Debug)]
pub struct SharedReceive(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: StreamId,
    state: Mutex<State>,
    bell: ServiceBell,
    env: Env,
}

#[derive(Debug)]
struct State {
    half: ReceiveHalf,
    reader: Waiting,
    failed: Option<connection::Error>,
    ending: Ending,
    stop: Stop,
    watch: Watch,
    /// There is something to read, and the reader was not woken yet: the pump has promised to [`release`] it.
    ///
    /// [`release`]: SharedReceive::release
    held: bool,
}

/// Bytes of one batch from which on more is likely to follow at once. A reader that gets less is woken at once.
const BULK: u64 = 32 << 10;
/// Unread bytes at which a reader is woken in any case. More would leave the processor's cache (1 MiB here) before it is
/// read; less costs wake-ups across threads.
const HOLD: u64 = 256 << 10;

/// Whether the application still reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    /// It stopped after everything had arrived: there is nothing to stop.
    AfterEnd,
    Sent(application::Error),
}

/// When a half asks for service beyond what always does: a window to move, a final size, a conflict, the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// Not otherwise: nobody but the primary sends on the stream, and QUIC tells it what arrived.
    #[default]
    Ends,
    /// At every batch that arrives and whenever the reader begins to wait: others send, and the session reports
    /// progress and watches for gaps.
    Progress,
}

/// What came in one batch, for one half, from one carrier.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) fin: Option<Offset>,
}

/// Bytes at their offset.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) offset: Offset,
    pub(crate) payload: Bytes,
    /// Bytes of the allocation behind `payload`.
    pub(crate) allocation: usize,
}

impl Arrivals {
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.fin.is_none()
    }

    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.fin = None;
    }
}

/// What a batch leads to, apart from bytes to read.
#[derive(Debug, Default)]
struct Outcome {
    readable: bool,
    conflicts: Vec<Conflict>,
}

impl Outcome {
    fn add(&mut self, inserted: Inserted) {
        self.readable |= inserted.readable;
        self.conflicts.extend(inserted.conflict);
    }
}

impl SharedReceive {
    /// Shares `half` of stream `id`, and enters it in `services` when the session's task is needed.
    pub fn new(id: StreamId, half: ReceiveHalf, services: &ServiceList, env: Env) -> Self {
        let state = State {
            half,
            reader: Waiting::default(),
            failed: None,
            ending: Ending::default(),
            stop: Stop::No,
            watch: Watch::default(),
            held: false,
        };
        let bell = services.bell(StreamHalf::Receive(id));
        Self(Arc::new(Shared { id, state: Mutex::new(state), bell, env }))
    }

    /// Has readers find out at once when this end's application closes the session.
    #[must_use]
    pub fn with_ending(self, ending: Ending) -> Self {
        self.lock().ending = ending;
        self
    }

    /// Id of the stream.
    pub fn id(&self) -> StreamId {
        self.0.id
    }

    /// Service by the session's task, when the half was found in the [`ServiceList`]: as [`update`](Self::update), and
    /// changes from here on ring again.
    pub fn service<T>(&self, look: impl FnOnce(&mut ReceiveHalf) -> T) -> T {
        self.0.bell.answer();
        self.update(look)
    }

    /// Changes the half, and wakes a waiting reader if that gave it something to find.
    pub fn update<T>(&self, change: impl FnOnce(&mut ReceiveHalf) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state.half);
        let reader = state.reader_to_wake();
        drop(state);
        reader.wake();
        result
    }

    /// Looks at the half.
    pub fn inspect<T>(&self, look: impl FnOnce(&ReceiveHalf) -> T) -> T {
        look(&self.lock().half)
    }

    /// The code that the application stopped the half with before everything had arrived: to be told to the sender.
    pub fn stop_code(&self) -> Option<application::Error> {
        match self.lock().stop {
            Stop::Sent(code) => Some(code),
            Stop::No | Stop::AfterEnd => None,
        }
    }

    /// The application accepted the stream: its window may open.
    pub(crate) fn accept(&self) {
        let mut state = self.lock();
        let waited = state.half.is_unaccepted();
        state.half.accept();
        drop(state);
        if waited {
            self.0.bell.ring();
        }
    }

    /// Says when the half asks for service. A reader that has begun to wait before is told of at once: it may be that nothing
    /// comes which would tell of it.
    pub fn watch(&self, watch: Watch) {
        let mut state = self.lock();
        let asks_more = watch == Watch::Progress && state.watch != watch;
        let untold = asks_more && state.half.waiting_since().is_some();
        state.watch = watch;
        drop(state);
        if untold {
            self.0.bell.ring();
        }
    }

    /// The session is over: the reader gets `error` after the last contiguous byte.
    pub fn fail(&self, error: connection::Error) {
        let mut state = self.lock();
        state.failed.get_or_insert(error);
        state.half.fail(Failure::SessionEnded);
        let reader = state.reader.take();
        drop(state);
        reader.wake();
    }

    /// Puts a batch in, in one go. Returns the differences that were found.
    ///
    /// In the middle of many bytes a reader that waits is not woken for each batch: then [`holds`](Self::holds) is true,
    /// and whoever called has to call [`release`](Self::release) when nothing more comes at once.
    pub(crate) fn insert(
        &self,
        source: SourceKey,
        arrivals: &mut Arrivals,
    ) -> Result<Vec<Conflict>, ReceiveError> {
        let now = self.0.env.now();
        let mut outcome = Outcome::default();
        let bytes: u64 = arrivals.pieces.iter().map(|piece| piece.payload.len() as u64).sum();
        let mut state = self.lock();
        let inserted = state.insert(source, arrivals, now, &mut outcome);
        let ring = inserted.is_err()
            || !outcome.conflicts.is_empty()
            || arrivals.fin.is_some()
            || state.watch == Watch::Progress
            || state.half.wants_window(now)
            || state.half.is_complete();
        state.held |= outcome.readable;
        let more_follows = bytes >= BULK && inserted.is_ok() && !state.half.is_complete();
        let reader = match more_follows && state.unread() < HOLD {
            true => Waiting::default(),
            false => state.release(),
        };
        drop(state);
        reader.wake();
        if ring {
            self.0.bell.ring();
        }
        inserted.map(|()| outcome.conflicts)
    }

    /// Whether a reader waits that has something to read.
    pub(crate) fn holds(&self) -> bool {
        self.lock().held
    }

    /// Wakes a reader that was left asleep.
    pub(crate) fn release(&self) {
        let reader = self.lock().release();
        reader.wake();
    }

    /// The next chunk; `None` at the end.
    pub(super) fn poll_receive(
        &self,
        max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>>> {
        let mut chunk = [Bytes::new()];
        match self.poll_receive_vectored(&mut chunk, max, cx) {
            Poll::Ready(Ok((0, _))) => Poll::Ready(Ok(None)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(Some(std::mem::take(&mut chunk[0])))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// As many chunks as there are and fit, `max` bytes at most; and whether more may come.
    pub(super) fn poll_receive_vectored(
        &self,
        chunks: &mut [Bytes],
        max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(usize, bool)>> {
        if chunks.iter().any(|chunk| !chunk.is_empty()) {
            return Poll::Ready(Err(Error::NonEmptyOutput));
        }
        let now = self.0.env.now();
        let mut state = self.lock();
        match state.stop {
            Stop::No => {}
            Stop::AfterEnd => return Poll::Ready(Ok((0, false))),
            Stop::Sent(code) => return Poll::Ready(Err(Error::stream_reset(code))),
        }
        if let Some(error) = state.ending.closed_here().filter(|_| !state.half.is_complete()) {
            return Poll::Ready(Err(error.into()));
        }
        let (mut count, mut left) = (0, max);
        let read = loop {
            // A read that finds nothing says that the reader waits: not when it has something already.
            let exhausted = state.half.readable_end() <= state.half.read_offset();
            if count == chunks.len() || left == 0 || (count > 0 && exhausted) {
                break None;
            }
            match state.half.read(left, now) {
                Read::Data(data) => {
                    left = left.saturating_sub(data.len());
                    chunks[count] = data;
                    count += 1;
                }
                end => break Some(end),
            }
        };
        let result = self.read_result(&mut state, count, read.as_ref(), cx);
        let waits = result.is_pending() && state.watch == Watch::Progress;
        let ring = waits || state.half.wants_window(now) || state.half.is_finished();
        drop(state);
        if ring {
            self.0.bell.ring();
        }
        result
    }

    /// What a read of `count` chunks returns, where `read` came after them.
    fn read_result(
        &self,
        state: &mut State,
        count: usize,
        read: Option<&Read>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(usize, bool)>> {
        let is_open = state.half.final_size() != Some(state.half.read_offset());
        match read {
            Some(Read::Finished) => Poll::Ready(Ok((count, false))),
            _ if count > 0 => Poll::Ready(Ok((count, is_open))),
            None | Some(Read::Data(_)) => Poll::Ready(Ok((count, is_open))),
            Some(Read::Blocked) => {
                state.held = false;
                state.reader.set(cx);
                Poll::Pending
            }
            Some(Read::Reset { error_code }) => {
                let code = application::Error::from_wire(*error_code);
                Poll::Ready(Err(Error::stream_reset(code)))
            }
            Some(Read::Failed(failure)) => Poll::Ready(Err(self.failure(state, *failure))),
        }
    }

    fn failure(&self, state: &State, failure: Failure) -> Error {
        let id = self.0.id.value();
        match failure {
            Failure::Missing { offset, len } => Error::missing(id, offset.value(), len),
            Failure::DataConflict { offset, len } => Error::data_conflict(id, offset.value(), len),
            Failure::Broken { code } => Error::stream_reset(application::Error::of_kwik(code)),
            _ => state.failed.unwrap_or(connection::Error::Unspecified).into(),
        }
    }

    /// The application wants no more. Nothing is told to anybody if everything had arrived, or the half is over.
    pub(super) fn stop(&self, code: application::Error) {
        let mut state = self.lock();
        if state.stop != Stop::No {
            return;
        }
        let was_complete = state.half.is_complete();
        state.half.stop(code.into());
        state.stop = match state.half.stopped() {
            _ if was_complete => Stop::AfterEnd,
            Some(_) => Stop::Sent(code),
            None => Stop::No,
        };
        let reader = state.reader.take();
        drop(state);
        reader.wake();
        self.0.bell.ring();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The reader, if it waits and would now find bytes or an end.
    fn reader_to_wake(&mut self) -> Waiting {
        let half = &self.half;
        match half.is_finished() || half.readable_end() > half.read_offset() {
            true => {
                self.held = false;
                self.reader.take()
            }
            false => Waiting::default(),
        }
    }

    /// The reader, if it was left asleep.
    fn release(&mut self) -> Waiting {
        if std::mem::take(&mut self.held) { self.reader.take() } else { Waiting::default() }
    }

    /// Bytes that could be read now.
    fn unread(&self) -> u64 {
        self.half.readable_end().since(self.half.read_offset())
    }

    fn insert(
        &mut self,
        source: SourceKey,
        arrivals: &mut Arrivals,
        now: kwik_core::time::Instant,
        outcome: &mut Outcome,
    ) -> Result<(), ReceiveError> {
        for Piece { offset, payload, allocation } in arrivals.pieces.drain(..) {
            outcome.add(self.half.insert(source, offset, payload, allocation, now)?);
        }
        if let Some(final_size) = arrivals.fin {
            outcome.add(self.half.handle_fin(source, final_size)?);
        }
        Ok(())
    }
}
