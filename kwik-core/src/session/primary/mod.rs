//! A server's session as primary: public streams, secondaries, and who sends what.

mod carriers;
mod ended;
mod orders;
mod paths;
mod proofs;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use kwik_proto::frame::{
    ControlFrame, ErrorCode, Gap, GapReason, Hello, MappingSnapshot, Order, Orders, PathState,
    Pong, ServerIdentity, SessionClose, StreamProgress, StreamWindow, Welcome,
};
use kwik_proto::{
    ByteRange, DelegationId, Epoch, Initiator, Offset, PathId, SessionId, StreamId, StreamKind,
};

use super::config::SessionConfig;
use super::handshake::negotiate;
use super::leave::{LEFT, Leave, Step};
use super::streams::{Effect, PublicStreams, StreamAction};
use crate::delegation::{
    Event as RangeEvent, PathShare, PathView, Scheduler, SchedulerStats, StreamView,
};
use crate::grant::Grants;
use crate::mapping::Mapping;
use crate::orders::OrderIssuer;
use crate::proving::Provers;
use crate::stream::ReceiveHalf;
use crate::time::Instant;

pub use carriers::Admitted;
pub use paths::{AddPathError, MAX_PATHS, PathReport, PathSpec};

use ended::Ended;
use paths::Path;

/// What the driver does for a [`PrimarySession`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// To the client on the control stream.
    Send(ControlFrame),
    /// Sign and send to the client, which passes it on.
    Sign(Orders),
    /// Make a token for the path and send AddPath.
    Attach {
        /// The path.
        path: PathId,
        /// Which try.
        epoch: Epoch,
        /// Where the secondary is.
        addresses: Vec<SocketAddr>,
        /// Who it is; also the token's audience.
        identity: ServerIdentity,
        /// What the token is bound to.
        confirmation_key: [u8; 32],
    },
    /// Something about a public stream.
    Stream(StreamAction),
    /// Lend the stream's receiving half to [`PrimarySession::service_stream`].
    Service(StreamId),
    /// Send the range from the stream's local provider, as a contribution on this connection.
    Supply {
        /// The stream.
        stream: StreamId,
        /// The bytes.
        range: ByteRange,
        /// The number for the contribution's header.
        delegation: DelegationId,
    },
    /// Stop supplying.
    CancelSupply(DelegationId),
    /// Take the BLAKE3 of the range of the stream's local copy: tell each piece that was read
    /// ([`PrimarySession::handle_proof_read`]), and the end ([`PrimarySession::handle_proof`]). What is being read at a
    /// time is bounded.
    Prove {
        /// The order that waits for it.
        delegation: DelegationId,
        /// The stream.
        stream: StreamId,
        /// The bytes.
        range: ByteRange,
    },
    /// For the application.
    Event(Event),
    /// A message of a secondary's application; unauthenticated.
    Message(PathId, Bytes),
    /// The session is over: close the connection with this code once what was sent is out.
    Close(ErrorCode, Option<u64>, String),
}

/// What the primary's application may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A secondary was admitted.
    PathUp(PathId),
    /// A secondary is silent, or was lost; it is redialled while it is wanted.
    PathDown(PathId, Option<ErrorCode>, String),
    /// Something about delegated ranges.
    Range(RangeEvent),
    /// Bytes that nobody can deliver, and why.
    Unavailable(StreamId, ByteRange, GapReason),
}

/// A server's session as primary.
///
/// Created from a Hello without admission. Feed it frames, the application's wishes and the time; after each call
/// drain [`poll_output`](Self::poll_output), and call [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) has come.
#[derive(Debug)]
pub struct PrimarySession {
    id: SessionId,
    confirmation_key: Option<[u8; 32]>,
    streams: PublicStreams,
    scheduler: Scheduler,
    pub(in crate::session) provers: Provers,
    pub(super) paths: BTreeMap<PathId, Path>,
    /// `None`: all were used.
    next_path: Option<u16>,
    issuer: OrderIssuer,
    /// What this end sends, by the QUIC streams that it opened or answers on.
    carriers: Mapping,
    /// The carriers of what the client sends, as long as their streams are known: each has one.
    received: Mapping,
    pub(super) granted: Grants,
    /// Who sent how much of the streams that ended last.
    ended: Ended,
    outputs: VecDeque<Output>,
    leave: Leave,
    closed: bool,
}

impl PrimarySession {
    /// Answers a Hello with Welcome. `id` and `seed` are random.
    ///
    /// # Errors
    /// The refusal to send.
    pub fn new(
        config: &SessionConfig,
        hello: &Hello,
        id: SessionId,
        seed: u64,
        now: Instant,
    ) -> Result<Self, kwik_proto::frame::Refuse> {
        let agreed = negotiate(hello)?;
        let mut streams = PublicStreams::new(Initiator::Server, config);
        streams.set_peer_limits(hello.limits);
        let mut scheduler = Scheduler::new(config.delegation.clone(), seed);
        let live = PathView { state: PathState::Live, srtt: None, rttvar: Duration::ZERO };
        scheduler.set_path(PathId::PRIMARY, live, now);
        let welcome = Welcome {
            version: agreed.version,
            features: agreed.features,
            limits: config.limits(),
            session: id,
        };
        Ok(Self {
            id,
            confirmation_key: hello.confirmation_key,
            streams,
            scheduler,
            provers: Provers::default(),
            paths: BTreeMap::new(),
            next_path: Some(1),
            issuer: OrderIssuer::new(id),
            carriers: Mapping::new(),
            received: Mapping::new(),
            granted: Grants::default(),
            ended: Ended::default(),
            outputs: VecDeque::from([Output::Send(ControlFrame::Welcome(welcome))]),
            leave: Leave::default(),
            closed: false,
        })
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What the driver does next; `None` when everything was drained.
    pub fn poll_output(&mut self, now: Instant) -> Option<Output> {
        self.collect(now);
        if self.outputs.is_empty()
            && let Some(ping) = self.leave.poll(!self.closed && self.streams.is_idle())
        {
            self.send(ping);
        }
        let output = self.outputs.pop_front();
        if output.is_none() {
            // An idle session keeps no room for outputs.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        let linger = self.streams.poll_timeout();
        let due = [self.scheduler.poll_timeout(), self.provers.poll_timeout(), linger];
        let leaves = self.leave.poll_timeout().filter(|_| !self.closed);
        due.into_iter().chain([self.next_forgotten(), leaves]).flatten().min()
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.streams.handle_timeout(now);
        self.forget_drained(now);
        if self.leave.is_over(now) {
            self.close(ErrorCode::GoingAway, None, LEFT);
        }
    }

    /// A frame of the client.
    pub fn handle_control(&mut self, frame: ControlFrame, now: Instant) {
        if self.closed {
            return;
        }
        if let Err(code) = self.dispatch(frame, now) {
            self.close(code, None, "the client broke a rule of the control plane");
        }
    }

    fn dispatch(&mut self, frame: ControlFrame, now: Instant) -> Result<(), ErrorCode> {
        match frame {
            ControlFrame::StreamWindow(window) => self.handle_window(window, now),
            ControlFrame::StreamProgress(progress) => self.handle_progress(progress, now),
            ControlFrame::StreamReset(reset) => self.streams.handle_reset(reset),
            ControlFrame::StreamStop(stop) => self.streams.handle_stop(stop),
            ControlFrame::StreamClosed(closed) => self.streams.handle_closed(closed),
            ControlFrame::StreamBlocked(_) => Ok(()),
            ControlFrame::Pong(pong) => {
                if self.leave.handle_pong(pong.nonce, self.streams.is_idle()) {
                    self.close(ErrorCode::GoingAway, None, LEFT);
                }
                Ok(())
            }
            ControlFrame::Ping(ping) => {
                self.send(ControlFrame::Pong(Pong { nonce: ping.nonce }));
                Ok(())
            }
            ControlFrame::PathStatus(status) => {
                self.handle_path_status(&status, now);
                Ok(())
            }
            ControlFrame::AddPathResult(result) => {
                self.handle_add_path_result(result, now);
                Ok(())
            }
            ControlFrame::TokenRequest(request) => {
                self.handle_token_request(request);
                Ok(())
            }
            ControlFrame::DelegationStatus(status) => {
                self.scheduler.handle_status(&status, now);
                Ok(())
            }
            ControlFrame::Gap(gap) => self.handle_gap(gap, now),
            ControlFrame::MappingQuery(query) => {
                let mappings = self.carriers.snapshot(PathId::PRIMARY, &query.carriers);
                let snapshot = MappingSnapshot { query: query.query, mappings };
                self.send(ControlFrame::MappingSnapshot(snapshot));
                Ok(())
            }
            ControlFrame::Relay(piece) => self.handle_relay(piece),
            ControlFrame::RelayCredit(credit) => {
                self.handle_relay_credit(credit);
                Ok(())
            }
            ControlFrame::SessionClose(close) => {
                self.closed = true;
                let (code, application_code) = (close.code, close.application_code);
                self.outputs.push_back(Output::Close(code, application_code, close.reason));
                Ok(())
            }
            _ => Err(ErrorCode::ProtocolViolation),
        }
    }

    /// Opens a stream; `None` while the client's limit is reached.
    pub fn open_stream(&mut self, kind: StreamKind) -> Option<StreamId> {
        if self.closed { None } else { self.streams.open(kind) }
    }

    /// The application wants no more of what the client sends.
    pub fn stop_stream(&mut self, id: StreamId, error_code: u64) {
        self.streams.stop(id, error_code);
    }

    /// What this end sends was reset.
    pub fn reset_stream(&mut self, id: StreamId, error_code: u64, final_size: Offset) {
        self.streams.reset(id, error_code, final_size);
    }

    /// What the client may be promised in all, as things stand, in bytes of memory: for a server that shares its memory out among
    /// sessions. Asked for before each [`service_stream`](Self::service_stream); see
    /// [`Budget::set_limit`](crate::window::Budget::set_limit).
    pub fn limit_promises(&mut self, bytes: u64) {
        self.streams.limit_promises(bytes);
    }

    /// Bytes promised to the client now, as the session's budget counts them.
    pub fn promised_bytes(&self) -> u64 {
        self.streams.promised()
    }

    /// Looks at a receiving half after it changed.
    pub fn service_stream(&mut self, id: StreamId, half: &mut ReceiveHalf, now: Instant) {
        self.streams.service(id, half, now, self.scheduler.control_loop());
    }

    /// The application dropped a sending half that is finished: KWIK owns it until it is complete.
    pub fn detach_stream(&mut self, id: StreamId, delivered: bool, now: Instant) {
        self.streams.detach(id, delivered, now);
    }

    /// Tells what a sending half holds for the client, in bytes, and how much of what it held before the client has taken. To be
    /// called when that begins, and whenever [`StreamAction::Weigh`] asks.
    pub fn watch_send(&mut self, id: StreamId, held: u64, released: u64, now: Instant) {
        self.streams.watch_send(id, held, released, now);
    }

    /// How many streams were ended so far because the client took nothing of them for longer than
    /// [`SessionConfig::reader_patience`].
    pub fn unread_streams(&self) -> u64 {
        self.streams.given_up()
    }

    /// Whether anything is still owed: a driver keeps the connection until this is false.
    pub fn is_idle(&self) -> bool {
        self.closed || self.streams.is_idle()
    }

    /// The RTT of the primary path, measured by this end.
    pub fn handle_rtt(&mut self, rtt: Duration) {
        self.scheduler.set_primary_rtt(rtt);
    }

    /// The server goes away. The client is told, and what is open goes on. The session ends when no stream is open and the
    /// client has answered once more, and at `end` at the latest. Called again, it can only make that sooner.
    pub fn go_away(&mut self, end: Instant, now: Instant) {
        match self.leave.begin(end, now) {
            Step::None => {}
            Step::Close => self.close(ErrorCode::GoingAway, None, LEFT),
            Step::Tell(frame) => self.send(frame),
        }
    }

    /// Counters of the scheduler.
    pub fn delegation_stats(&self) -> SchedulerStats {
        self.scheduler.stats()
    }

    /// What is known of the first `most` streams that this end sends; the first call begins to record who delivers what.
    pub fn watch_streams(&mut self, most: usize) -> Vec<StreamView> {
        self.scheduler.watch();
        self.scheduler.views(most)
    }

    /// Counters of one path in the scheduler.
    pub fn path_share(&self, path: PathId) -> Option<PathShare> {
        self.scheduler.path_share(path)
    }

    /// Bytes of a stream's delegated ranges that the client has, by who sent them, as far as its reports tell: of streams that
    /// are open, and of the 64 that ended last. Bytes whose sender is not known are nobody's.
    pub fn stream_shares(&self, stream: StreamId) -> Vec<(PathId, u64)> {
        self.ended.of(stream).unwrap_or_else(|| self.scheduler.stream_shares(stream))
    }

    /// Ends the session. `application_code` is the application's, if it closed the session.
    pub fn close(&mut self, code: ErrorCode, application_code: Option<u64>, reason: &str) {
        if self.closed {
            return;
        }
        self.send(ControlFrame::SessionClose(SessionClose {
            code,
            application_code,
            reason: reason.into(),
        }));
        self.closed = true;
        self.outputs.push_back(Output::Close(code, application_code, reason.into()));
    }

    fn handle_window(&mut self, window: StreamWindow, now: Instant) -> Result<(), ErrorCode> {
        self.streams.handle_window(window, now)?;
        if self.streams.sends(window.stream) {
            self.scheduler.handle_window(window.stream, window.max_offset, now);
        }
        Ok(())
    }

    fn handle_progress(&mut self, progress: StreamProgress, now: Instant) -> Result<(), ErrorCode> {
        if self.streams.sends(progress.stream) {
            self.scheduler.handle_progress(&progress, now);
            self.granted.handle_read(progress.stream, progress.read_offset);
            self.provers.handle_progress(progress.stream, progress.contiguous_end);
        }
        self.streams.handle_progress(progress, now)
    }

    fn handle_gap(&mut self, gap: Gap, now: Instant) -> Result<(), ErrorCode> {
        if self.streams.sends(gap.stream) {
            self.scheduler.handle_gap(&gap, now);
        }
        Ok(())
    }

    /// Turns what the parts have to say into outputs, until nothing is left.
    fn collect(&mut self, now: Instant) {
        while let Some(effect) = self.streams.poll() {
            self.apply(effect, now);
        }
        let mut orders: BTreeMap<PathId, Vec<Order>> = BTreeMap::new();
        self.collect_proofs(&mut orders, now);
        loop {
            while let Some(decision) = self.scheduler.poll(now) {
                self.decide(decision, &mut orders, now);
                self.hear_provers(now);
            }
            self.begin_proofs();
            // What waits for a proof leaves room for what needs none.
            let Some(debts) = self.provers.poll_debts() else { break };
            self.scheduler.set_unproven(&debts);
        }
        for (id, orders) in orders {
            self.order(id, orders);
        }
        while let Some(event) = self.scheduler.poll_event() {
            self.outputs.push_back(Output::Event(Event::Range(event)));
        }
    }

    fn apply(&mut self, effect: Effect, now: Instant) {
        match effect {
            Effect::Frame(frame) => self.send(frame),
            Effect::Action(action) => {
                if let StreamAction::Open { id, send: Some(send), .. } = &action {
                    let window = Offset::new(send.initial_window).unwrap_or(Offset::MAX);
                    self.scheduler.handle_window(*id, window, now);
                    self.grant_everywhere(*id);
                }
                let opened = match &action {
                    StreamAction::Open { id, receive: Some(_), .. } => Some(*id),
                    _ => None,
                };
                if let StreamAction::PeerDone(id, complete) = &action {
                    if *complete {
                        self.scheduler.handle_stream_complete(*id);
                    }
                    self.remember_shares(*id);
                }
                if let StreamAction::Remove(id) = &action {
                    self.carriers.close_stream(*id);
                    self.received.close_stream(*id);
                }
                self.act(action);
                self.outputs.extend(opened.map(Output::Service));
            }
            Effect::ReceiveClosed(..) => {}
            Effect::Service(id) => self.outputs.push_back(Output::Service(id)),
            Effect::SendClosed(id) => {
                self.scheduler.handle_stream_closed(id, now);
                self.provers.forget(id);
                self.granted.forget(id);
                self.scheduler.set_priority(id, 0);
            }
        }
    }

    /// The scheduler forgets the stream before the driver hears that it is over.
    fn remember_shares(&mut self, id: StreamId) {
        let shares = self.scheduler.stream_shares(id);
        if !shares.is_empty() {
            self.ended.add(id, shares);
        }
    }

    fn act(&mut self, action: StreamAction) {
        self.outputs.push_back(Output::Stream(action));
    }

    fn send(&mut self, frame: ControlFrame) {
        if !self.closed {
            self.outputs.push_back(Output::Send(frame));
        }
    }
}
