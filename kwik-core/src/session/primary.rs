//! A server's session as primary: public streams, secondaries, and who sends what.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use kwik_proto::frame::{
    AddPathResult, ControlFrame, ErrorCode, Gap, GapReason, Grant, Hello, MappingSnapshot, Order,
    Orders, PathState, Pong, Relay, RelayCredit, RemovePath, Revoke, ServerIdentity, SessionClose,
    StreamHeader, StreamProgress, StreamWindow, TokenRequest, Welcome,
};
use kwik_proto::{
    ByteRange, DelegationId, Epoch, Initiator, Offset, PathId, SessionId, StreamId, StreamKind,
};

use super::config::{INITIAL_WINDOW, SessionConfig};
use super::handshake::{negotiate, refuse};
use super::streams::{Effect, PublicStreams, StreamAction};
use crate::delegation::{
    Candidates, Decision, DelegateError, DelegationConfig, Event as RangeEvent, Local, PathShare,
    PathView, PlanId, Scheduler, SchedulerStats,
};
use crate::mapping::{Mapping, takes_contributions};
use crate::orders::{MAX_ORDERS, OrderIssuer};
use crate::relay::{Inbox, Outbox};
use crate::stream::ReceiveHalf;
use crate::time::Instant;

/// Secondaries that one session may have. The application is told `Full` beyond it.
pub const MAX_PATHS: usize = 16;
/// How long a removed path may take to finish what it accepted.
const DRAIN: Duration = Duration::from_secs(5);

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
    /// Bytes that nobody can deliver.
    Unavailable(StreamId, ByteRange),
}

/// Where a secondary is and who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSpec {
    /// Addresses, the best first. 1 to 8.
    pub addresses: Vec<SocketAddr>,
    /// Whom the client has to find there.
    pub identity: ServerIdentity,
    /// Whether every stream is granted to it whole.
    pub grant_all: bool,
}

/// Why a path was not added. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddPathError {
    /// Too many.
    #[error("the session has {MAX_PATHS} secondary paths already")]
    Full,
    /// No address, or more than 8.
    #[error("a secondary needs 1 to 8 addresses")]
    Addresses,
    /// The client sent no key that tokens could be bound to.
    #[error("the client can't be attached to secondaries: its Hello has no confirmation key")]
    NotAttachable,
    /// The server has no key to sign with.
    #[error("this server has no identity key: it can't attach secondaries")]
    NoIdentity,
    /// The session is over.
    #[error("the session is closed")]
    Closed,
}

/// A path as the primary knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathReport {
    /// The path.
    pub path: PathId,
    /// Where the client reaches it.
    pub addresses: Vec<SocketAddr>,
    /// The last state that the client told.
    pub state: PathState,
    /// Smoothed RTT between client and secondary; `None`: not measured.
    pub smoothed_rtt: Option<Duration>,
    /// Bytes of contributions that the client received, duplicates included.
    pub received_bytes: u64,
}

#[derive(Debug)]
struct Path {
    spec: PathSpec,
    epoch: Epoch,
    state: PathState,
    smoothed_rtt: Option<Duration>,
    received_bytes: u64,
    outbox: Outbox,
    inbox: Inbox,
    removed: bool,
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
    paths: BTreeMap<PathId, Path>,
    next_path: u16,
    issuer: OrderIssuer,
    carriers: Mapping,
    granted: BTreeMap<StreamId, Vec<PathId>>,
    linger: Duration,
    lingering: BTreeMap<StreamId, Instant>,
    outputs: VecDeque<Output>,
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
        if hello.limits.initial_window < INITIAL_WINDOW {
            return Err(refuse(
                ErrorCode::ProtocolViolation,
                format!("initial_window {} is below 65536", hello.limits.initial_window),
            ));
        }
        let mut streams = PublicStreams::new(Initiator::Server, config);
        streams.set_peer_limits(hello.limits);
        let mut scheduler = Scheduler::new(DelegationConfig::default(), seed);
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
            paths: BTreeMap::new(),
            next_path: 1,
            issuer: OrderIssuer::new(id),
            carriers: Mapping::new(),
            granted: BTreeMap::new(),
            linger: config.linger,
            lingering: BTreeMap::new(),
            outputs: VecDeque::from([Output::Send(ControlFrame::Welcome(welcome))]),
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
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        let linger = self.lingering.values().map(|since| *since + self.linger).min();
        [self.scheduler.poll_timeout(), linger].into_iter().flatten().min()
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let over: Vec<StreamId> = self
            .lingering
            .iter()
            .filter(|(_, since)| now >= **since + self.linger)
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.lingering.remove(&id);
            self.act(StreamAction::Stopped(id, ErrorCode::PathTimeout.quic_code()));
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
            ControlFrame::StreamBlocked(_) | ControlFrame::Pong(_) => Ok(()),
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
        self.streams.open(kind)
    }

    /// A public carrier's header arrived. `Ok(false)`: the stream is over, the carrier is to be stopped.
    ///
    /// # Errors
    /// The code to close the connection with.
    pub fn handle_header(&mut self, id: StreamId) -> Result<bool, ErrorCode> {
        if id.initiator() == Initiator::Client {
            self.streams.announce(id, true)?;
        }
        Ok(self.streams.receives(id) || self.streams.sends(id))
    }

    /// The application wants no more of what the client sends.
    pub fn stop_stream(&mut self, id: StreamId, error_code: u64) {
        self.streams.stop(id, error_code);
    }

    /// What this end sends was reset.
    pub fn reset_stream(&mut self, id: StreamId, error_code: u64, final_size: Offset) {
        self.streams.reset(id, error_code, final_size);
    }

    /// Looks at a receiving half after it changed.
    pub fn service_stream(&mut self, id: StreamId, half: &mut ReceiveHalf, now: Instant) {
        self.streams.service(id, half, now, Duration::from_millis(200));
    }

    /// The application dropped a sending half that is finished: KWIK owns it until it is complete.
    pub fn detach_stream(&mut self, id: StreamId, now: Instant) {
        if self.streams.sends(id) {
            self.lingering.entry(id).or_insert(now);
        }
    }

    /// Whether anything is still owed: a driver keeps the connection until this is false.
    pub fn is_idle(&self) -> bool {
        self.closed || self.streams.is_empty()
    }

    /// Adds a secondary. The client connects to it; ranges may be delegated to it at once.
    ///
    /// # Errors
    /// See [`AddPathError`].
    pub fn add_path(&mut self, spec: PathSpec, now: Instant) -> Result<PathId, AddPathError> {
        if self.closed {
            return Err(AddPathError::Closed);
        }
        if spec.addresses.is_empty() || spec.addresses.len() > 8 {
            return Err(AddPathError::Addresses);
        }
        if self.confirmation_key.is_none() {
            return Err(AddPathError::NotAttachable);
        }
        if self.paths.values().filter(|path| !path.removed).count() >= MAX_PATHS {
            return Err(AddPathError::Full);
        }
        let id = PathId::new(self.next_path);
        self.next_path = self.next_path.checked_add(1).ok_or(AddPathError::Full)?;
        let path = Path {
            spec,
            epoch: Epoch::FIRST,
            state: PathState::Dialing,
            smoothed_rtt: None,
            received_bytes: 0,
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            removed: false,
        };
        self.paths.insert(id, path);
        self.attach(id);
        self.scheduler.set_path(id, PathView::DIALING, now);
        Ok(id)
    }

    /// Takes a secondary out: it finishes what it accepted within 5 s, the rest goes to others.
    pub fn remove_path(&mut self, id: PathId, now: Instant) -> bool {
        let Some(path) = self.paths.get_mut(&id) else { return false };
        if path.removed {
            return false;
        }
        path.removed = true;
        let drain_ms = u32::try_from(DRAIN.as_millis()).unwrap_or(u32::MAX);
        self.send(ControlFrame::RemovePath(RemovePath { path: id, drain_ms }));
        let view = PathView { state: PathState::Draining, srtt: None, rttvar: Duration::ZERO };
        self.scheduler.set_path(id, view, now);
        true
    }

    /// Every secondary that was added and not removed.
    pub fn paths(&self) -> impl Iterator<Item = PathReport> + '_ {
        self.paths.iter().filter(|(_, path)| !path.removed).map(|(id, path)| PathReport {
            path: *id,
            addresses: path.spec.addresses.clone(),
            state: path.state,
            smoothed_rtt: path.smoothed_rtt,
            received_bytes: path.received_bytes,
        })
    }

    /// Permits a path to contribute to a stream within `start..end` (`None`: without an end).
    pub fn grant(&mut self, id: PathId, stream: StreamId, start: Offset, end: Option<Offset>) {
        let max_offset = Offset::ZERO.saturating_add(INITIAL_WINDOW);
        let grant = Grant { stream, start, end, max_offset };
        if takes_contributions(stream) && self.paths.contains_key(&id) {
            self.granted.entry(stream).or_default().push(id);
            self.order(id, vec![Order::Grant(grant)]);
        }
    }

    /// Whether [`delegate`](Self::delegate) would take the range: to be asked before the sending half reserves it.
    ///
    /// # Errors
    /// See [`DelegateError`].
    pub fn check_delegate(
        &self,
        stream: StreamId,
        range: ByteRange,
        resource: &Bytes,
        candidates: &Candidates,
        local: Local,
    ) -> Result<(), DelegateError> {
        if self.closed || !self.streams.sends(stream) || !takes_contributions(stream) {
            return Err(DelegateError::Closed);
        }
        self.scheduler.check_delegate(range, resource, candidates, local)
    }

    /// Orders a range of a stream. The caller has reserved it in the sending half.
    ///
    /// # Errors
    /// See [`DelegateError`]; then nothing was taken.
    pub fn delegate(
        &mut self,
        stream: StreamId,
        range: ByteRange,
        resource: Bytes,
        candidates: Candidates,
        local: Local,
        now: Instant,
    ) -> Result<PlanId, DelegateError> {
        if self.closed || !self.streams.sends(stream) || !takes_contributions(stream) {
            return Err(DelegateError::Closed);
        }
        self.scheduler.delegate(stream, range, resource, candidates, local, now)
    }

    /// QUIC opened a carrier for a supply.
    pub fn handle_carrier_open(&mut self, carrier: u64, header: StreamHeader) {
        // Refused only for what the driver can't do: one QUIC stream id twice.
        let _ = self.carriers.create(PathId::PRIMARY, carrier, header);
    }

    /// A supply's carrier is over.
    pub fn handle_carrier_end(&mut self, carrier: u64) {
        self.carriers.close(PathId::PRIMARY, carrier);
    }

    /// The local provider failed to supply a range.
    pub fn handle_supply_failed(
        &mut self,
        stream: StreamId,
        range: ByteRange,
        delegation: DelegationId,
        reason: GapReason,
        now: Instant,
    ) {
        let gap = Gap {
            stream,
            range,
            reason,
            path: Some(PathId::PRIMARY),
            delegation: Some(delegation),
        };
        self.scheduler.handle_gap(&gap, now);
    }

    /// A message to a secondary's application, signed on the way.
    ///
    /// # Errors
    /// The message, if the path is unknown, its queue is full, or it is larger than 64 KiB.
    pub fn send_message(&mut self, id: PathId, message: Bytes) -> Result<(), Bytes> {
        let Some(path) = self.paths.get_mut(&id) else { return Err(message) };
        path.outbox.push(message)?;
        self.send_relay(id);
        Ok(())
    }

    /// The application took a message of a secondary.
    pub fn handle_message_taken(&mut self, id: PathId, size: usize) {
        if let Some(path) = self.paths.get_mut(&id) {
            let max_bytes = path.inbox.handle_taken(size);
            self.send(ControlFrame::RelayCredit(RelayCredit { path: id, max_bytes }));
        }
    }

    /// The RTT of the primary path, measured by this end.
    pub fn handle_rtt(&mut self, rtt: Duration) {
        self.scheduler.set_primary_rtt(rtt);
    }

    /// Counters of the scheduler.
    pub fn delegation_stats(&self) -> SchedulerStats {
        self.scheduler.stats()
    }

    /// Counters of one path in the scheduler.
    pub fn path_share(&self, path: PathId) -> Option<PathShare> {
        self.scheduler.path_share(path)
    }

    /// Ends the session. `application_code` is the application's, if it closed the session.
    pub fn close(&mut self, code: ErrorCode, application_code: Option<u64>, reason: &str) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.send(ControlFrame::SessionClose(SessionClose {
            code,
            application_code,
            reason: reason.into(),
        }));
        self.outputs.push_back(Output::Close(code, application_code, reason.into()));
    }

    fn handle_window(&mut self, window: StreamWindow, now: Instant) -> Result<(), ErrorCode> {
        self.streams.handle_window(window)?;
        if self.streams.sends(window.stream) {
            self.scheduler.handle_window(window.stream, window.max_offset, now);
        }
        Ok(())
    }

    fn handle_progress(&mut self, progress: StreamProgress, now: Instant) -> Result<(), ErrorCode> {
        if self.streams.sends(progress.stream) {
            self.scheduler.handle_progress(&progress, now);
        }
        if let Some(since) = self.lingering.get_mut(&progress.stream) {
            *since = now;
        }
        self.streams.handle_progress(progress)
    }

    fn handle_gap(&mut self, gap: Gap, now: Instant) -> Result<(), ErrorCode> {
        if self.streams.sends(gap.stream) {
            self.scheduler.handle_gap(&gap, now);
        }
        Ok(())
    }

    fn handle_path_status(&mut self, status: &kwik_proto::frame::PathStatus, now: Instant) {
        if status.path.is_primary() {
            self.scheduler.handle_path_status(status, now);
            return;
        }
        let Some(path) = self.paths.get_mut(&status.path) else { return };
        if status.epoch < path.epoch {
            return;
        }
        let before = path.state;
        path.state = status.state;
        path.received_bytes = status.received_bytes;
        if status.smoothed_rtt_us > 0 {
            path.smoothed_rtt = Some(Duration::from_micros(status.smoothed_rtt_us));
        }
        let removed = path.removed;
        self.scheduler.handle_path_status(status, now);
        self.note_change(status.path, before, status.state, status.reason, String::new());
        if removed && status.state == PathState::Gone {
            self.paths.remove(&status.path);
            self.scheduler.remove_path(status.path, now);
        }
    }

    fn note_change(
        &mut self,
        id: PathId,
        before: PathState,
        after: PathState,
        reason: Option<ErrorCode>,
        detail: String,
    ) {
        if before == after {
            return;
        }
        match after {
            PathState::Live => self.outputs.push_back(Output::Event(Event::PathUp(id))),
            PathState::Suspect | PathState::Gone => {
                self.outputs.push_back(Output::Event(Event::PathDown(id, reason, detail)));
            }
            PathState::Dialing | PathState::Proving | PathState::Draining => {}
        }
    }

    fn handle_add_path_result(&mut self, result: AddPathResult, now: Instant) {
        let Some(path) = self.paths.get_mut(&result.path) else { return };
        if result.epoch != path.epoch {
            return;
        }
        let up = result.code == ErrorCode::None;
        let before = path.state;
        path.state = if up { PathState::Live } else { PathState::Gone };
        let view = PathView { state: path.state, srtt: path.smoothed_rtt, rttvar: Duration::ZERO };
        let after = path.state;
        self.scheduler.set_path(result.path, view, now);
        self.note_change(result.path, before, after, Some(result.code), result.detail);
    }

    fn handle_token_request(&mut self, request: TokenRequest) {
        let Some(path) = self.paths.get_mut(&request.path) else { return };
        if path.removed || request.epoch != path.epoch {
            return;
        }
        path.epoch = path.epoch.next();
        path.state = PathState::Dialing;
        self.attach(request.path);
        self.renew_grants(request.path);
    }

    fn renew_grants(&mut self, id: PathId) {
        let max_offset = Offset::ZERO.saturating_add(INITIAL_WINDOW);
        let grants: Vec<Order> = self
            .granted
            .iter()
            .filter(|(_, paths)| paths.contains(&id))
            .map(|(stream, _)| {
                Order::Grant(Grant { stream: *stream, start: Offset::ZERO, end: None, max_offset })
            })
            .collect();
        if !grants.is_empty() {
            self.order(id, grants);
        }
    }

    fn attach(&mut self, id: PathId) {
        let (Some(path), Some(confirmation_key)) = (self.paths.get(&id), self.confirmation_key)
        else {
            return;
        };
        self.outputs.push_back(Output::Attach {
            path: id,
            epoch: path.epoch,
            addresses: path.spec.addresses.clone(),
            identity: path.spec.identity.clone(),
            confirmation_key,
        });
    }

    fn handle_relay(&mut self, piece: Relay) -> Result<(), ErrorCode> {
        let id = piece.path;
        let Some(path) = self.paths.get_mut(&id) else { return Ok(()) };
        match path.inbox.handle_piece(piece) {
            Ok(Some(message)) => {
                self.outputs.push_back(Output::Message(id, message));
                Ok(())
            }
            Ok(None) => Ok(()),
            // A secondary's broken message is its own loss: the client only passed it on.
            Err(_) => Ok(()),
        }
    }

    fn handle_relay_credit(&mut self, credit: RelayCredit) {
        if let Some(path) = self.paths.get_mut(&credit.path) {
            path.outbox.handle_credit(credit.max_bytes);
            self.send_relay(credit.path);
        }
    }

    fn send_relay(&mut self, id: PathId) {
        let Some(path) = self.paths.get_mut(&id) else { return };
        let mut pieces = Vec::new();
        while let Some(piece) = path.outbox.next_piece(id) {
            pieces.push(Order::Relay(piece));
        }
        // Eleven pieces of 4 KiB stay below the 48 KiB that signed orders may have.
        while !pieces.is_empty() {
            let rest = pieces.split_off(pieces.len().min(11));
            self.order(id, pieces);
            pieces = rest;
        }
    }

    /// Turns what the parts have to say into outputs, until nothing is left.
    fn collect(&mut self, now: Instant) {
        while let Some(effect) = self.streams.poll() {
            self.apply(effect, now);
        }
        let mut orders: BTreeMap<PathId, Vec<Order>> = BTreeMap::new();
        while let Some(decision) = self.scheduler.poll(now) {
            self.decide(decision, &mut orders);
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
                self.act(action);
                self.outputs.extend(opened.map(Output::Service));
            }
            Effect::ReceiveClosed(..) => {}
            Effect::SendClosed(id) => {
                self.scheduler.handle_stream_closed(id, now);
                self.granted.remove(&id);
                self.lingering.remove(&id);
            }
        }
    }

    fn grant_everywhere(&mut self, stream: StreamId) {
        let all = |(id, path): (&PathId, &Path)| path.spec.grant_all.then_some(*id);
        let paths: Vec<PathId> = self.paths.iter().filter_map(all).collect();
        for id in paths {
            self.grant(id, stream, Offset::ZERO, None);
        }
    }

    fn decide(&mut self, decision: Decision, orders: &mut BTreeMap<PathId, Vec<Order>>) {
        match decision {
            Decision::Delegate { path, delegation } => {
                orders.entry(path).or_default().push(Order::Delegation(delegation));
            }
            Decision::SupplyLocally { stream, range, id } => {
                self.outputs.push_back(Output::Supply { stream, range, delegation: id });
            }
            Decision::CancelLocal { id } => self.outputs.push_back(Output::CancelSupply(id)),
            Decision::Revoke { path, stream, delegation } => {
                let revoke = Revoke { stream, delegation: Some(delegation) };
                orders.entry(path).or_default().push(Order::Revoke(revoke));
            }
            Decision::GiveUp { stream, range, .. } => {
                self.outputs.push_back(Output::Event(Event::Unavailable(stream, range)));
            }
        }
    }

    fn order(&mut self, id: PathId, orders: Vec<Order>) {
        let Some(epoch) = self.paths.get(&id).map(|path| path.epoch) else { return };
        let mut rest = orders;
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(batch_length(&rest)));
            if let Ok(orders) = self.issuer.issue(id, epoch, rest) {
                self.outputs.push_back(Output::Sign(orders));
            }
            rest = later;
        }
    }

    fn act(&mut self, action: StreamAction) {
        self.outputs.push_back(Output::Stream(action));
    }

    fn send(&mut self, frame: ControlFrame) {
        self.outputs.push_back(Output::Send(frame));
    }
}

/// How many orders fit into one signed batch of 48 KiB, at least one.
fn batch_length(orders: &[Order]) -> usize {
    const ROOM: usize = 40 * 1024;
    let mut size = 0;
    let fits = |order: &&Order| {
        size += match order {
            Order::Delegation(delegation) => 128 + delegation.resource.len(),
            Order::Relay(relay) => 64 + relay.piece.len(),
            Order::Grant(_) | Order::Revoke(_) => 64,
        };
        size <= ROOM
    };
    orders.iter().take(MAX_ORDERS).take_while(fits).count().max(1)
}
