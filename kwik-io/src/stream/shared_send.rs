//! The send half of a stream, as application, pump and session share it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use kwik_core::stream::{DelegateError, FinishError, OutFrame, SendConfig, SendHalf, WriteError};
use kwik_proto::{ByteRange, Offset, StreamId};

use super::send_state::{SendStep, State};
use super::service::{ServiceBell, ServiceList, StreamHalf};
use super::{Error, Result, SendShare, Stake, application, connection};
use crate::session::Ending;

/// One stream half that this end sends: the core's [`SendHalf`] behind a short lock.
///
/// The application writes into it through [`SendStream`](super::SendStream), a [`SendPump`](crate::pump::SendPump) takes
/// frames out, and the session's task moves its window and learns of its end. Clones are the same half. The lock is
/// held for bookkeeping only, never across a poll of QUIC.
///
/// ```
/// use kwik_core::stream::SendConfig;
/// use kwik_io::stream::{ServiceList, SharedSend};
/// use kwik_proto::{Offset, StreamId};
///
/// let id = StreamId::from_wire(0).unwrap();
/// let send = SharedSend::new(id, SendConfig::default(), &ServiceList::default());
/// send.extend_window(Offset::new(1 << 20).unwrap());
/// assert_eq!(send.status().reset, None);
/// ```
#[derive(Clone, Debug)]
pub struct SharedSend(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: StreamId,
    state: Mutex<State>,
    bell: ServiceBell,
}

/// What a send half has to tell the session's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendStatus {
    /// The application reset the half with this code, or the receiver stopped it: the peer is to hear where it ended (RFC
    /// 9000, 3.5).
    pub reset: Option<application::Error>,
    /// Fixed once the half was finished or reset.
    pub final_size: Option<Offset>,
    /// Bytes wait, and this window binds.
    pub blocked: Option<Offset>,
    /// QUIC delivered everything that was written, the end included. With delegated ranges there may be more to come.
    pub delivered: bool,
    /// The receiver has everything, or the half is over in another way: it can be forgotten.
    pub complete: bool,
    /// Bytes that are written and not acknowledged, and those that were and are, as far as they are counted
    /// ([`SharedSend::sharing`]).
    pub held: u64,
    /// See `held`.
    pub released: u64,
}

impl SharedSend {
    /// The half of stream `id` at its start; it is entered in `services` when the session's task is needed.
    pub fn new(id: StreamId, config: SendConfig, services: &ServiceList) -> Self {
        let state = State::new(config);
        let bell = services.bell(StreamHalf::Send(id));
        Self(Arc::new(Shared { id, state: Mutex::new(state), bell }))
    }

    /// Has writers of all streams find out at once when the session ends.
    #[must_use]
    pub fn with_ending(self, ending: Ending) -> Self {
        self.lock().ending = ending;
        self
    }

    /// Has the half's bytes counted in its session's memory, and its writers wait when there is no room.
    #[must_use]
    pub fn sharing(self, share: &SendShare) -> Self {
        self.lock().stake = Some(share.stake());
        self
    }

    /// Whether the half's pump has to tell what is on its way.
    pub(crate) fn is_booked(&self) -> bool {
        self.lock().stake.is_some()
    }

    /// The pump and QUIC hold that many bytes that are not acknowledged.
    pub(crate) fn book_outside(&self, bytes: u64) {
        let mut state = self.lock();
        state.outside = bytes;
        let freed = state.book();
        drop(state);
        freed.wake();
    }

    /// Id of the stream.
    pub fn id(&self) -> StreamId {
        self.0.id
    }

    /// What the session's task has to know. Called first when the half is found in the [`ServiceList`]: changes from
    /// here on ring again.
    pub fn status(&self) -> SendStatus {
        self.0.bell.answer();
        let mut state = self.lock();
        let (held, released) = state.stake.as_ref().map_or((0, 0), Stake::account);
        state.watched = held > 0;
        SendStatus {
            reset: state.reset.or(state.stopped),
            final_size: state.half.final_size(),
            blocked: state.half.is_blocked(),
            delivered: state.fin_delivered,
            complete: state.is_complete(),
            held,
            released,
        }
    }

    /// Has the pump look what QUIC has delivered: what it told is as old as its last turn.
    pub fn refresh(&self) {
        let pump = self.lock().pump.take();
        pump.wake();
    }

    /// The receiver has everything: by its word, or by QUIC's where nobody else sends.
    pub fn is_delivered(&self) -> bool {
        self.lock().is_complete()
    }

    /// The receiver lets bytes go up to `max_offset`.
    pub fn extend_window(&self, max_offset: Offset) {
        let mut state = self.lock();
        if state.half.extend_window(max_offset) {
            let pump = state.take_hungry_pump();
            drop(state);
            pump.wake();
        }
    }

    /// The receiver asked to stop: writers get its code, the pump resets the carrier.
    pub fn handle_stop(&self, code: u64) {
        let code = application::Error::from_wire(code);
        let mut state = self.lock();
        if state.is_complete() || state.is_over() {
            return;
        }
        state.half.handle_stop(code.into());
        state.stopped = Some(code);
        self.changed(state);
    }

    /// The session is over: every call fails with `error` from now on. What QUIC has delivered stays delivered.
    pub fn fail(&self, error: connection::Error) {
        let mut state = self.lock();
        state.failed.get_or_insert(error);
        self.changed(state);
    }

    /// The receiver is done with the half: it has every byte, or gave it up.
    pub fn handle_closed(&self, complete: bool) {
        let mut state = self.lock();
        state.half.handle_closed(complete);
        if !state.is_complete() && !state.is_over() {
            state.stopped = Some(application::Error::UNKNOWN);
        }
        self.changed(state);
    }

    /// Changes the half in any other way, and wakes whoever waits for it.
    pub fn update<T>(&self, change: impl FnOnce(&mut SendHalf) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state.half);
        self.changed(state);
        result
    }

    /// Reserves a range for others to send.
    ///
    /// # Errors
    ///
    /// See [`DelegateError`].
    pub fn delegate(&self, range: ByteRange) -> Result<(), DelegateError> {
        let mut state = self.lock();
        state.half.delegate(range)?;
        state.delegated = true;
        // The header has to go out.
        let pump = state.pump.take();
        drop(state);
        pump.wake();
        Ok(())
    }

    /// Writes at a position of the application's choice; pending while the queue is full.
    pub fn poll_write_at(
        &self,
        offset: Offset,
        data: &Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), WriteError>> {
        let mut state = self.lock();
        if state.capacity() == 0 && state.check_alive().is_ok() {
            return state.wait_capacity(cx);
        }
        match state.half.write_at(offset, data.clone()) {
            Err(error) => Poll::Ready(Err(error)),
            Ok(()) => {
                self.written(state);
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Of two streams of a connection that have bytes the higher one's go first. The session's task is told, for what others send
    /// on the stream.
    pub fn set_priority(&self, priority: i32) {
        let mut state = self.lock();
        state.priority = priority;
        let pump = state.pump.take();
        drop(state);
        pump.wake();
        self.0.bell.ring();
    }

    /// What was set last; 0 before that.
    pub fn priority(&self) -> i32 {
        self.lock().priority
    }

    /// Where the next sequential write goes.
    pub fn position(&self) -> Offset {
        self.lock().half.position()
    }

    /// First offset that may not be sent now.
    pub fn max_offset(&self) -> Offset {
        self.lock().half.max_offset()
    }

    /// Fixes the final size.
    ///
    /// # Errors
    ///
    /// See [`FinishError`].
    pub fn finish(&self) -> Result<Offset, FinishError> {
        let mut state = self.lock();
        let size = state.half.finish()?;
        self.changed(state);
        Ok(size)
    }

    /// Takes `data`; pending while the queue is full.
    pub(super) fn poll_send(&self, data: &mut Bytes, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match ready!(self.poll_send_vectored(std::slice::from_mut(data), cx)) {
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Takes chunks from the front of `chunks`, each whole; pending if none.
    pub(super) fn poll_send_vectored(
        &self,
        chunks: &mut [Bytes],
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize>> {
        let mut state = self.lock();
        let mut any = false;
        for chunk in chunks.iter_mut().filter(|chunk| !chunk.is_empty()) {
            state.check_writable(chunk.len())?;
            if state.capacity() == 0 {
                break;
            }
            while state.take(chunk)? {
                any = true;
            }
        }
        let taken = chunks.iter().take_while(|chunk| chunk.is_empty()).count();
        if taken == 0 {
            let _: Poll<()> = state.wait_capacity(cx);
        }
        if any {
            self.written(state);
        }
        if taken == 0 { Poll::Pending } else { Poll::Ready(Ok(taken)) }
    }

    /// Takes the whole of `data` without waiting.
    pub(super) fn send_data(&self, mut data: Bytes) -> Result<()> {
        let mut state = self.lock();
        state.check_writable(data.len())?;
        if state.capacity() == 0 {
            return Err(Error::SendingBlocked);
        }
        while state.take(&mut data)? {}
        self.written(state);
        Ok(())
    }

    /// Bytes that the queue takes now; pending while it takes none.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        let mut state = self.lock();
        state.check_writable(1)?;
        match state.capacity() {
            0 => state.wait_capacity(cx),
            capacity => Poll::Ready(Ok(capacity)),
        }
    }

    /// Waits until QUIC has delivered all that was written.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.lock();
        if state.is_complete() || state.fin_delivered {
            return Poll::Ready(Ok(()));
        }
        state.check_alive()?;
        if !state.in_flight && state.half.queued_bytes() == 0 {
            return Poll::Ready(Ok(()));
        }
        state.flush_wanted = true;
        state.writer.set(cx);
        let pump = state.pump.take();
        drop(state);
        pump.wake();
        Poll::Pending
    }

    /// Waits until the end was delivered too. The half must have been finished.
    pub(super) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.lock();
        if state.is_complete() {
            return Poll::Ready(Ok(()));
        }
        state.check_alive()?;
        state.wait_writer(cx)
    }

    /// As [`finish`](Self::finish), in the public stream's terms.
    pub(super) fn finish_stream(&self) -> Result<()> {
        let mut state = self.lock();
        if state.is_complete() {
            return Ok(());
        }
        state.check_alive()?;
        if state.half.final_size().is_some() {
            return Ok(());
        }
        match state.half.finish() {
            Ok(_) => {
                self.changed(state);
                Ok(())
            }
            Err(FinishError::Hole { range }) => {
                Err(Error::missing(self.0.id.value(), range.start().value(), range.len()))
            }
            Err(_) => Err(state.reset_error()),
        }
    }

    /// Ends the half abruptly. Nothing happens if it is over already.
    pub(super) fn reset(&self, code: application::Error) {
        let mut state = self.lock();
        if state.is_complete() || state.is_over() {
            return;
        }
        state.half.reset(code.into());
        state.reset = Some(code);
        self.changed(state);
    }

    /// The next batch for the pump goes into `frames`: at most about `max_bytes`, in frames of at most `max_payload`.
    pub(crate) fn poll_frames(
        &self,
        max_bytes: usize,
        max_payload: usize,
        frames: &mut Vec<OutFrame>,
        cx: &mut Context<'_>,
    ) -> Poll<SendStep> {
        let mut state = self.lock();
        state.pump.set(cx);
        state.pump_hungry = true;
        if let Some(step) = state.abrupt_end() {
            return Poll::Ready(step);
        }
        state.take_frames(max_bytes, max_payload, frames);
        let begins = state.delegated && !state.begun;
        if begins || !frames.is_empty() {
            state.begun = true;
            state.in_flight = true;
            let writer = state.writer.take();
            drop(state);
            writer.wake();
            return Poll::Ready(SendStep::Frames);
        }
        if state.fin_handed_out {
            return Poll::Ready(SendStep::Finish);
        }
        // Once for each window: the answer to a bell may well be another turn of the pump.
        let blocked = state.half.is_blocked();
        if blocked.is_some() && std::mem::replace(&mut state.told_blocked, blocked) != blocked {
            self.0.bell.ring();
        }
        match state.in_flight && state.flush_wanted {
            true => Poll::Ready(SendStep::Flush),
            false => Poll::Pending,
        }
    }

    /// Where the next bytes for the pump go, if there are any.
    pub(crate) fn due(&self) -> Option<Offset> {
        self.lock().half.due()
    }

    /// Whether the pump has to give up what QUIC does not take.
    pub(crate) fn poll_abrupt_end(&self, cx: &mut Context<'_>) -> Poll<SendStep> {
        let mut state = self.lock();
        state.pump.set(cx);
        state.pump_hungry = false;
        state.abrupt_end().map_or(Poll::Pending, Poll::Ready)
    }

    /// QUIC has delivered everything that the pump gave it.
    pub(crate) fn delivered(&self) {
        let mut state = self.lock();
        state.in_flight = false;
        state.flush_wanted = false;
        let finished = state.fin_handed_out;
        state.fin_delivered = finished;
        let writer = state.writer.take();
        drop(state);
        writer.wake();
        if finished {
            self.0.bell.ring();
        }
    }

    /// Bytes were queued: the pump goes on.
    fn written(&self, mut state: MutexGuard<'_, State>) {
        let (pump, freed) = (state.take_hungry_pump(), state.book());
        let watch = state.stake.is_some() && !std::mem::replace(&mut state.watched, true);
        drop(state);
        freed.wake();
        pump.wake();
        if watch {
            self.0.bell.ring();
        }
    }

    fn changed(&self, mut state: MutexGuard<'_, State>) {
        let (writer, pump, freed) = (state.writer.take(), state.pump.take(), state.book());
        drop(state);
        freed.wake();
        writer.wake();
        pump.wake();
        self.0.bell.ring();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
