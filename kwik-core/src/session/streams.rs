//! The public streams of a session: ids, limits, windows and ends. Both ends of the primary path have one.
//!
//! The halves themselves (what is buffered, what is read) belong to the driver, which lends them for a call. This part
//! knows which halves are open, tells the peer about their windows and ends, and closes what is over.

mod ends;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kwik_proto::frame::{ControlFrame, ErrorCode, Limits, StreamProgress, StreamWindow};
use kwik_proto::{Initiator, Offset, StreamId, StreamKind};

use super::config::{INITIAL_WINDOW, SessionConfig};
use super::linger::{Linger, Overdue};
use super::unread::{Read, Unread};
use crate::mapping::{RemoteId, StreamNumbers, UnknownStream};
use crate::stream::{Failure, ReceiveConfig, ReceiveHalf, SendConfig};
use crate::time::Instant;
use crate::window::Budget;

/// What the driver does with the halves of a public stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamAction {
    /// Make the halves of a new stream. Comes before anything else about the stream.
    Open {
        /// The stream.
        id: StreamId,
        /// Set if this end receives on it.
        receive: Option<ReceiveConfig>,
        /// Set if this end sends on it.
        send: Option<SendConfig>,
    },
    /// Hand the stream to the application that accepts. In the order of the ids of a kind.
    Accept(StreamId),
    /// The sending half may send up to here.
    ExtendWindow(StreamId, Offset),
    /// The receiver told what arrived.
    Progress(StreamId, StreamProgress),
    /// The receiver wants no more: apply to the sending half.
    Stopped(StreamId, u64),
    /// The sender ended it abruptly: apply to the receiving half.
    Reset(StreamId, u64, Offset),
    /// The receiver is done with what this end sent.
    PeerDone(StreamId, bool),
    /// Readers get this after the last contiguous byte.
    Fail(StreamId, Failure),
    /// Both halves are over at this end: forget the stream.
    Remove(StreamId),
    /// Opening may succeed again.
    Available(StreamKind),
    /// The header of this stream had to wait; now there is room for it.
    Admit(StreamId),
    /// Tell what the sending half holds ([`PrimarySession::watch_send`](super::PrimarySession::watch_send)): it may be read by
    /// nobody.
    Weigh(StreamId),
}

/// What a call of this part caused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// To the other end of the primary path.
    Frame(ControlFrame),
    /// For the driver.
    Action(StreamAction),
    /// A receiving half takes nothing more; on the client every source of it is to be told.
    ReceiveClosed(StreamId, bool),
    /// Nothing more is sent on a sending half.
    SendClosed(StreamId),
    /// The receiving half is to be lent to [`PublicStreams::service`].
    Service(StreamId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    /// The stream has no such half.
    Absent,
    Open,
    /// Nothing more is to be done at this end, but the half counts: one that is received until the application knows its
    /// end, one that is sent, and was reset, until the receiver is done with it.
    Ended,
    Closed,
}

impl Half {
    fn is_over(self) -> bool {
        matches!(self, Half::Absent | Half::Closed)
    }
}

#[derive(Debug)]
struct Stream {
    receive: Half,
    send: Half,
    /// Whether the receiving half has its part of the session's budget.
    admitted: bool,
    /// The window that senders were told last.
    window: Offset,
    /// The driver forgot it.
    removed: bool,
}

impl Stream {
    fn new(receive: Half, send: Half) -> Self {
        let window = Offset::ZERO.saturating_add(INITIAL_WINDOW);
        Self { receive, send, admitted: false, window, removed: false }
    }

    /// Whether this end has nothing left to do for it.
    fn is_settled(&self) -> bool {
        self.receive.is_over() && self.send != Half::Open
    }

    fn is_over(&self) -> bool {
        self.receive.is_over() && self.send.is_over()
    }
}

/// Table of public streams. Bounded by the limits told to the peer and those it told.
#[derive(Debug)]
pub(super) struct PublicStreams {
    local: Initiator,
    numbers: StreamNumbers,
    table: BTreeMap<StreamId, Stream>,
    budget: Budget,
    /// Bidirectional streams of this end that the budget has room for.
    most_bidirectional: u64,
    conflict_policy: crate::conflict::ConflictPolicy,
    send_queue: usize,
    peer_window: u64,
    linger: Linger,
    unread: Unread,
    /// Streams that were ended because their receiver took nothing.
    given_up: u64,
    /// When readers that took little are to be heard of.
    unsaid: BTreeMap<StreamId, Instant>,
    effects: VecDeque<Effect>,
}

impl PublicStreams {
    pub(super) fn new(local: Initiator, config: &SessionConfig) -> Self {
        let limits = config.limits();
        // Receiving halves: both kinds of the peer's streams, of which there can be twice the limit (see
        // `StreamNumbers`), and this end's bidirectional ones.
        let early = StreamNumbers::EARLY;
        let bidirectional = limits.max_bidirectional_streams.max(early).saturating_mul(3);
        let unidirectional = limits.max_unidirectional_streams.max(early).saturating_mul(2);
        let halves = bidirectional.saturating_add(unidirectional);
        Self {
            local,
            numbers: StreamNumbers::new(local, limits),
            table: BTreeMap::new(),
            budget: Budget::with_floor(config.session_budget, halves, INITIAL_WINDOW),
            most_bidirectional: limits.max_bidirectional_streams.max(early).into(),
            conflict_policy: config.conflict_policy,
            send_queue: config.send_queue,
            peer_window: INITIAL_WINDOW,
            linger: Linger::new(config.linger),
            unread: Unread::new(config.reader_patience),
            given_up: 0,
            unsaid: BTreeMap::new(),
            effects: VecDeque::new(),
        }
    }

    pub(super) fn poll(&mut self) -> Option<Effect> {
        let effect = self.effects.pop_front();
        if effect.is_none() {
            // An idle session keeps no room for effects.
            self.effects = VecDeque::new();
        }
        effect
    }

    /// The peer's Hello or Welcome.
    pub(super) fn set_peer_limits(&mut self, limits: Limits) {
        self.numbers.set_peer_limits(limits);
        self.peer_window = limits.initial_window;
        let early: Vec<StreamId> =
            self.table.iter().filter(|(_, s)| s.send == Half::Open).map(|(id, _)| *id).collect();
        for id in early {
            let window = Offset::new(limits.initial_window).unwrap_or(Offset::MAX);
            self.act(StreamAction::ExtendWindow(id, window));
        }
        self.act(StreamAction::Available(StreamKind::Bidirectional));
        self.act(StreamAction::Available(StreamKind::Unidirectional));
    }

    /// Opens a stream of this end; `None` while the peer's limit is reached, or this end's: the first window of a half
    /// was told before it opens, so there has to be room for all that can be open.
    pub(super) fn open(&mut self, kind: StreamKind) -> Option<StreamId> {
        let receives = kind == StreamKind::Bidirectional;
        if receives && self.numbers.open_count(self.local, kind) >= self.most_bidirectional {
            return None;
        }
        let id = self.numbers.open_local(kind)?;
        self.create(id);
        Some(id)
    }

    /// A header of the peer named `id`, its carrier's or, if the application may not see it yet (`accept`), that of a
    /// contribution: it and all lower ones of its kind exist now, or the header waits for [`StreamAction::Admit`].
    pub(super) fn handle_header(&mut self, id: StreamId, accept: bool) -> Result<Known, ErrorCode> {
        let known = self.try_announce(id, accept)?;
        if known == Known::Wait {
            self.numbers.wait(id);
        }
        Ok(known)
    }

    /// A frame on the control stream named `id`: it and all lower ones of its kind exist now.
    ///
    /// `accept` is whether the application may see it: a grant alone does not show a stream.
    pub(super) fn announce(&mut self, id: StreamId, accept: bool) -> Result<Known, ErrorCode> {
        match self.try_announce(id, accept)? {
            Known::Wait => Err(ErrorCode::LimitExceeded),
            known => Ok(known),
        }
    }

    fn try_announce(&mut self, id: StreamId, accept: bool) -> Result<Known, ErrorCode> {
        match self.numbers.handle_remote(id, accept) {
            RemoteId::Open => Ok(Known::Open),
            RemoteId::Closed => Ok(Known::Closed),
            RemoteId::Wait => Ok(Known::Wait),
            RemoteId::Opened { created, accepted } => {
                for id in created {
                    self.create(id);
                }
                for id in accepted {
                    self.act(StreamAction::Accept(id));
                }
                self.admit();
                Ok(Known::Open)
            }
            RemoteId::Unknown => Err(ErrorCode::StreamState),
            RemoteId::LimitExceeded => Err(ErrorCode::LimitExceeded),
        }
    }

    /// Headers that waited and need not any more.
    fn admit(&mut self) {
        while let Some(id) = self.numbers.take_admissible() {
            self.act(StreamAction::Admit(id));
        }
    }

    fn create(&mut self, id: StreamId) {
        let bidirectional = id.kind() == StreamKind::Bidirectional;
        let ours = id.initiator() == self.local;
        let receives = bidirectional || !ours;
        let sends = bidirectional || ours;
        let state = |present| if present { Half::Open } else { Half::Absent };
        self.table.insert(id, Stream::new(state(receives), state(sends)));
        let receive = receives.then_some(ReceiveConfig {
            policy: self.conflict_policy,
            initial_window: INITIAL_WINDOW,
        });
        let send = sends
            .then_some(SendConfig { initial_window: self.peer_window, queue: self.send_queue });
        self.act(StreamAction::Open { id, receive, send });
    }

    /// Whether the half that this end receives is still wanted.
    pub(super) fn receives(&self, id: StreamId) -> bool {
        self.table.get(&id).is_some_and(|stream| stream.receive == Half::Open)
    }

    /// The window that senders of an open receiving half were told last.
    pub(super) fn window(&self, id: StreamId) -> Option<Offset> {
        self.table.get(&id).filter(|stream| stream.receive == Half::Open).map(|s| s.window)
    }

    /// Whether the half that this end sends is open.
    pub(super) fn sends(&self, id: StreamId) -> bool {
        self.table.get(&id).is_some_and(|stream| stream.send == Half::Open)
    }

    /// Whether the stream is one of these, open or not: not one that was never opened.
    pub(super) fn unknown(&self, id: StreamId) -> Option<UnknownStream> {
        let forgotten = self.table.get(&id).is_none_or(|stream| stream.removed);
        let over = forgotten.then_some(UnknownStream::Closed);
        UnknownStream::of(id, &self.numbers).or(over)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.table.keys().copied()
    }

    /// Whether this end has nothing left to do for any stream.
    pub(super) fn is_idle(&self) -> bool {
        self.table.values().all(|stream| stream.removed)
    }

    /// Bytes promised to senders now.
    pub(super) fn promised(&self) -> u64 {
        self.budget.promised()
    }

    /// Until the next call no window grows once that many bytes are promised. What was promised stays.
    pub(super) fn limit_promises(&mut self, bytes: u64) {
        self.budget.set_limit(bytes);
    }

    /// The application left what this end sends, finished or reset: the session owns it until the receiver is done, or
    /// takes nothing for [`SessionConfig::linger`].
    pub(super) fn detach(&mut self, id: StreamId, delivered: bool, now: Instant) {
        if self.sends(id) {
            self.linger.add(id, delivered, now);
        }
    }

    /// What a half that this end sends holds for the receiver, and how much of what it held before has arrived.
    pub(super) fn watch_send(&mut self, id: StreamId, held: u64, released: u64, now: Instant) {
        if self.sends(id) && self.unread.note(id, held, released, now) == Read::Never {
            self.given_up = self.given_up.saturating_add(1);
            self.act(StreamAction::Stopped(id, ErrorCode::PathTimeout.quic_code()));
        }
    }

    /// How many streams were ended because their receiver took nothing of them for too long.
    pub(super) fn given_up(&self) -> u64 {
        self.given_up
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let patience = [self.linger.poll_timeout(), self.unread.poll_timeout()];
        self.unsaid.values().copied().chain(patience.into_iter().flatten()).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(overdue) = self.linger.take_overdue(now) {
            match overdue {
                Overdue::Undelivered(id) => {
                    self.act(StreamAction::Stopped(id, ErrorCode::PathTimeout.quic_code()));
                }
                Overdue::Delivered(id) => self.end_send(id),
            }
        }
        for (id, _) in self.unsaid.extract_if(.., |_, due| *due <= now) {
            self.effects.push_back(Effect::Service(id));
        }
        while let Some(id) = self.unread.take_due(now) {
            self.act(StreamAction::Weigh(id));
        }
    }

    pub(super) fn handle_window(
        &mut self,
        frame: StreamWindow,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        self.linger.handle_progress(frame.stream, now);
        if self.known_send_half(frame.stream)? {
            self.act(StreamAction::ExtendWindow(frame.stream, frame.max_offset));
        }
        Ok(())
    }

    pub(super) fn handle_progress(
        &mut self,
        frame: StreamProgress,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        self.linger.handle_progress(frame.stream, now);
        if self.known_send_half(frame.stream)? {
            self.act(StreamAction::Progress(frame.stream, frame));
        }
        Ok(())
    }

    /// Looks at a receiving half after it changed: closes it when it is over, moves its window when that is due.
    ///
    /// `loop_time` is the longest control loop among the live paths: what decides how fast a window has to be.
    pub(super) fn service(
        &mut self,
        id: StreamId,
        half: &mut ReceiveHalf,
        now: Instant,
        loop_time: Duration,
    ) {
        self.unsaid.remove(&id);
        if self.receives(id) {
            self.service_open(id, half, now, loop_time);
            self.unsaid.extend(half.window_due().map(|due| (id, due)));
        }
        if half.is_over() {
            self.close_receive(id, half.is_complete());
        }
    }

    fn service_open(
        &mut self,
        id: StreamId,
        half: &mut ReceiveHalf,
        now: Instant,
        loop_time: Duration,
    ) {
        let Some(stream) = self.table.get_mut(&id) else { return };
        let max_offset = if stream.admitted {
            half.update_window(now, loop_time, &mut self.budget)
        } else if id.initiator() != self.local && half.is_unaccepted() {
            // A peer that opens streams for an application that takes none gets no more than it was promised.
            None
        } else {
            stream.admitted = true;
            half.open_window(now, &mut self.budget)
        };
        if half.is_finished() {
            half.close_window(&mut self.budget);
            stream.receive = Half::Ended;
            self.effects.push_back(Effect::ReceiveClosed(id, half.is_complete()));
        } else if let Some(max_offset) = max_offset {
            stream.window = max_offset;
            self.tell(ControlFrame::StreamWindow(StreamWindow { stream: id, max_offset }));
        }
    }

    /// A frame about what this end sends: whether the half is still open. An error if it can never have been.
    ///
    /// The control stream may be ahead of the carrier: such a frame makes the peer's stream exist, as MAX_STREAM_DATA
    /// does in QUIC (RFC 9000, 3.2), and accept waits for its header.
    fn known_send_half(&mut self, id: StreamId) -> Result<bool, ErrorCode> {
        if id.initiator() != self.local && id.kind() == StreamKind::Bidirectional {
            self.announce(id, false)?;
        }
        match self.table.get(&id).map(|stream| stream.send) {
            Some(Half::Absent) => Err(ErrorCode::StreamState),
            Some(half) => Ok(half == Half::Open),
            None if self.was_opened(id) => Ok(false),
            None => Err(ErrorCode::StreamState),
        }
    }

    fn was_opened(&self, id: StreamId) -> bool {
        self.numbers.was_opened(id)
    }

    fn act(&mut self, action: StreamAction) {
        self.effects.push_back(Effect::Action(action));
    }

    fn tell(&mut self, frame: ControlFrame) {
        self.effects.push_back(Effect::Frame(frame));
    }
}

/// What is known of a stream that a peer named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// In the table.
    Open,
    /// It was, and is over.
    Closed,
    /// There is no room for it yet.
    Wait,
}
