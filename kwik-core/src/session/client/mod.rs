//! A client's session: public streams from the primary, and everything that secondaries send into them.

mod carriers;
mod conflict;
mod orphan;
mod paths;
mod progress;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use kwik_proto::frame::{
    ControlFrame, Delegation, ErrorCode, Gap, GapReason, Grant, Hello, Order, Orders, PathState,
    PathStatus, Ping, Pong, SessionClose, SignedOrders, StreamClosed, StreamWindow, Welcome,
};
use kwik_proto::{ByteRange, Epoch, Initiator, Offset, PathId, SessionId, StreamId, StreamKind};

use super::config::SessionConfig;
use super::handshake::{FEATURES, VERSIONS, check};
use super::streams::{Effect, PublicStreams, StreamAction};
use crate::gap::{GapConfig, PathTiming, Promises};
use crate::grant::{Grants, Recorded};
use crate::mapping::{Mapping, Resync, takes_contributions};
use crate::path::account::Account;
use crate::path::table::{PathLimits, PathTable, Target};
use crate::relay::Toll;
use crate::stall::{Stall, Stalls};
use crate::stream::{Failure, SourceKey};
use crate::time::Instant;
use carriers::Carrier;
use conflict::isolated;
use orphan::Orphans;
use progress::StreamWatch;

pub use carriers::{CarrierEnd, Route, SourceReport};

/// Orders that wait for a path's connection, at most. Beyond it the ranges go back to the primary as Busy.
const MAX_WAITING_ORDERS: usize = 64;
/// How long the primary may take to answer the Hello. Longer: an application waits that much longer for a server that
/// is none.
const ANSWER: Duration = Duration::from_secs(10);
/// Least time between two progress reports of a stream.
const LEAST_REPORT_INTERVAL: Duration = Duration::from_millis(5);

/// What the driver does for a [`ClientSession`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// On the control stream of that path's current connection.
    Send(PathId, ControlFrame),
    /// Connect to a secondary; then call [`ClientSession::handle_connected`].
    Dial {
        /// The path.
        path: PathId,
        /// Which try.
        epoch: Epoch,
        /// Where and whom.
        target: Target,
        /// Sent back in [`ClientSession::handle_connected`], for the proof is over it.
        token: String,
    },
    /// Close the path's connection, or stop dialling it.
    ClosePath {
        /// The path.
        path: PathId,
        /// Which try.
        epoch: Epoch,
        /// Why.
        code: ErrorCode,
    },
    /// Something about a public stream.
    Stream(StreamAction),
    /// Lend the stream's receiving half to [`ClientSession::service_stream`].
    Service(StreamId),
    /// The carrier's later frames belong to this stream: add a source to its half and tell
    /// [`ClientSession::handle_source`].
    Reroute {
        /// The path.
        path: PathId,
        /// QUIC stream id.
        carrier: u64,
        /// Where its bytes go.
        route: Route,
    },
    /// STOP_SENDING on a carrier.
    StopCarrier {
        /// The path.
        path: PathId,
        /// QUIC stream id.
        carrier: u64,
        /// Why.
        code: ErrorCode,
    },
    /// The primary accepted the session.
    Established,
    /// The primary is gone. Nothing can be opened, accepted or sent any more; a stream that
    /// [fails](StreamAction::Fail) with the session has the connection's error. [`Output::Close`] follows.
    Orphaned,
    /// The session is over: close the primary connection.
    Close {
        /// KWIK's reason.
        code: ErrorCode,
        /// The peer's application's code, if it closed the session.
        application_code: Option<u64>,
        /// For people.
        reason: String,
    },
}

/// A path as the client knows it, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathReport {
    /// The path.
    pub path: PathId,
    /// The first address.
    pub address: Option<SocketAddr>,
    /// Where it stands.
    pub state: PathState,
    /// Smoothed RTT.
    pub smoothed_rtt: Option<Duration>,
    /// Bytes of contributions received, duplicates included.
    pub received_bytes: u64,
    /// Contributions open now.
    pub contributions: usize,
}

/// A client's session.
///
/// The drain contract: after any `handle_*` or other call, drain [`poll_output`](Self::poll_output) to the end and carry
/// out each output in order; call [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout)
/// has come. Receiving halves stay with the driver, which lends them to
/// [`service_stream`](Self::service_stream) after they changed.
#[derive(Debug)]
pub struct ClientSession {
    config: SessionConfig,
    primary: SocketAddr,
    session: Option<SessionId>,
    /// When the primary has to have answered the Hello.
    answer_due: Option<Instant>,
    streams: PublicStreams,
    paths: PathTable,
    greeted: BTreeMap<PathId, VecDeque<SignedOrders>>,
    connected: BTreeSet<PathId>,
    grants: Grants,
    mapping: Mapping,
    resync: Resync,
    tolls: BTreeMap<PathId, Toll>,
    /// Why a path failed, for the AddPathResult.
    details: BTreeMap<PathId, String>,
    promises: Promises,
    stalls: Stalls,
    carriers: BTreeMap<(PathId, u64), Carrier>,
    watches: BTreeMap<StreamId, StreamWatch>,
    /// What this end sends, by the QUIC streams that it opened or answers on.
    sending: Mapping,
    /// Paths that lied about a stream.
    isolated: BTreeMap<StreamId, BTreeSet<PathId>>,
    /// Sources of carriers whose path is gone, until their half is at hand.
    stale: BTreeMap<StreamId, Vec<SourceKey>>,
    /// Streams whose sources were told that they are over before the half was.
    told_closed: BTreeSet<StreamId>,
    /// Credit for messages that each secondary gave the primary.
    credits: BTreeMap<PathId, u64>,
    /// The counters of each path as the primary was told them last.
    told_status: BTreeMap<PathId, PathStatus>,
    /// Set once the primary is gone.
    orphans: Option<Orphans>,
    primary_account: Account,
    primary_rtt: Duration,
    primary_rttvar: Duration,
    delivered: BTreeMap<PathId, u64>,
    duplicate_bytes: u64,
    pending_status: BTreeSet<PathId>,
    outputs: VecDeque<Output>,
    next_nonce: u64,
    closed: bool,
}

impl ClientSession {
    /// A session on a connection to `primary` whose handshake is done. Its first output is the Hello.
    ///
    /// `confirmation_key` is the public half of the ephemeral key that tokens are bound to; `seed` decides the jitter
    /// of redials.
    pub fn new(
        config: SessionConfig,
        primary: SocketAddr,
        confirmation_key: [u8; 32],
        seed: u64,
    ) -> Self {
        let hello = Hello {
            versions: VERSIONS.to_vec(),
            features: FEATURES.to_vec(),
            limits: config.limits(),
            confirmation_key: Some(confirmation_key),
            admission: None,
        };
        let limits =
            PathLimits { max_paths: config.path_policy.max_paths(), ..PathLimits::default() };
        let gaps = GapConfig { gap_timeout: config.gap_timeout, ..GapConfig::default() };
        let mut session = Self {
            primary,
            session: None,
            answer_due: None,
            streams: PublicStreams::new(Initiator::Client, &config),
            paths: PathTable::new(limits, seed),
            greeted: BTreeMap::new(),
            connected: BTreeSet::new(),
            grants: Grants::default(),
            mapping: Mapping::default(),
            resync: Resync::default(),
            tolls: BTreeMap::new(),
            details: BTreeMap::new(),
            promises: Promises::new(gaps),
            stalls: Stalls::default(),
            carriers: BTreeMap::new(),
            watches: BTreeMap::new(),
            sending: Mapping::default(),
            isolated: BTreeMap::new(),
            stale: BTreeMap::new(),
            told_closed: BTreeSet::new(),
            credits: BTreeMap::new(),
            told_status: BTreeMap::new(),
            orphans: None,
            primary_account: Account::default(),
            primary_rtt: crate::path::liveness::Liveness::INITIAL_RTT,
            primary_rttvar: Duration::ZERO,
            delivered: BTreeMap::new(),
            duplicate_bytes: 0,
            pending_status: BTreeSet::new(),
            outputs: VecDeque::new(),
            next_nonce: 1,
            closed: false,
            config,
        };
        session.send(PathId::PRIMARY, ControlFrame::Hello(hello));
        session
    }

    /// The session's id; `None` before Welcome.
    pub fn id(&self) -> Option<SessionId> {
        self.session
    }

    /// What the driver does next; `None` when everything was drained.
    pub fn poll_output(&mut self, now: Instant) -> Option<Output> {
        self.answer_due.get_or_insert(now + ANSWER);
        while let Some(effect) = self.streams.poll() {
            self.apply(effect, now);
        }
        if self.outputs.is_empty() {
            self.send_pending_status(now);
        }
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let streams = match &self.orphans {
            Some(orphans) => orphans.poll_timeout(),
            None => {
                let reports = self.watches.values().filter_map(StreamWatch::poll_timeout);
                let promises = self.promises.poll_timeout().map(|(at, _)| at);
                reports.chain(promises).min()
            }
        };
        let answer = self.answer_due.filter(|_| self.session.is_none());
        let due = [self.paths.poll_timeout(), streams, self.resync.poll_timeout(), answer];
        due.into_iter().flatten().min()
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come. Tell the sockets' last activity
    /// ([`handle_activity`](Self::handle_activity)) first: a process that was stopped must not condemn its paths.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        if self.session.is_none() && self.answer_due.is_some_and(|due| due <= now) {
            let reason = "the primary did not answer the Hello in time";
            return self.close(ErrorCode::HandshakeTimeout, None, reason);
        }
        while let Some(work) = self.paths.handle_timeout(now) {
            self.handle_path_work(work, now);
        }
        while let Some(step) = self.resync.handle_timeout(now) {
            self.carry_out_resync(step, now);
        }
        if self.orphans.is_some() {
            return self.fail_overdue_orphans(now);
        }
        let due = |watch: &StreamWatch| watch.poll_timeout().is_some_and(|at| at <= now);
        let mut streams: BTreeSet<StreamId> =
            self.watches.iter().filter(|(_, watch)| due(watch)).map(|(id, _)| *id).collect();
        streams.extend(self.promises.poll_timeout().filter(|(at, _)| *at <= now).map(|(_, id)| id));
        for id in streams {
            self.outputs.push_back(Output::Service(id));
        }
    }

    /// A frame of the primary ([`PathId::PRIMARY`]) or of a secondary's current connection.
    pub fn handle_control(
        &mut self,
        path: PathId,
        epoch: Epoch,
        frame: ControlFrame,
        now: Instant,
    ) {
        if self.closed {
            return;
        }
        if path.is_primary() {
            if self.orphans.is_none()
                && let Err(code) = self.dispatch_primary(frame, now)
            {
                self.close(code, None, "the primary broke a rule of the control plane");
            }
        } else if self.paths.path(path).is_some_and(|known| known.epoch() == epoch) {
            self.dispatch_secondary(path, epoch, frame, now);
        }
    }

    fn dispatch_primary(&mut self, frame: ControlFrame, now: Instant) -> Result<(), ErrorCode> {
        match frame {
            ControlFrame::Welcome(welcome) => self.handle_welcome(&welcome),
            ControlFrame::Refuse(refuse) => {
                self.end(refuse.code, None, refuse.reason);
                Ok(())
            }
            ControlFrame::AddPath(add) => {
                self.handle_add_path(add, now);
                Ok(())
            }
            ControlFrame::RemovePath(remove) => {
                self.handle_remove_path(remove, now);
                Ok(())
            }
            ControlFrame::Orders(orders) => self.handle_orders(orders, now),
            ControlFrame::StreamReset(reset) => self.streams.handle_reset(reset),
            ControlFrame::StreamStop(stop) => self.streams.handle_stop(stop),
            ControlFrame::StreamClosed(closed) => self.streams.handle_closed(closed),
            ControlFrame::StreamWindow(window) => self.streams.handle_window(window),
            ControlFrame::StreamBlocked(_) | ControlFrame::Pong(_) => Ok(()),
            ControlFrame::RelayCredit(credit) => {
                if self.paths.path(credit.path).is_some() {
                    self.tolls.entry(credit.path).or_default().handle_credit(credit.max_bytes);
                    self.send(credit.path, ControlFrame::RelayCredit(credit));
                }
                Ok(())
            }
            ControlFrame::MappingQuery(query) => {
                self.answer_query(PathId::PRIMARY, &query);
                Ok(())
            }
            ControlFrame::MappingSnapshot(snapshot) => {
                self.handle_snapshot(PathId::PRIMARY, &snapshot, now);
                Ok(())
            }
            ControlFrame::Ping(ping) => {
                self.send(PathId::PRIMARY, ControlFrame::Pong(Pong { nonce: ping.nonce }));
                Ok(())
            }
            ControlFrame::SessionClose(close) => {
                self.end(close.code, close.application_code, close.reason);
                Ok(())
            }
            _ => Err(ErrorCode::ProtocolViolation),
        }
    }

    fn handle_welcome(&mut self, welcome: &Welcome) -> Result<(), ErrorCode> {
        if self.session.is_some() {
            return Err(ErrorCode::ProtocolViolation);
        }
        check(welcome)?;
        self.session = Some(welcome.session);
        self.streams.set_peer_limits(welcome.limits);
        self.outputs.push_back(Output::Established);
        Ok(())
    }

    /// Reads orders to keep account, and passes them on as they are.
    fn handle_orders(&mut self, signed: SignedOrders, now: Instant) -> Result<(), ErrorCode> {
        let orders = Orders::decode(&signed.body).map_err(|_| ErrorCode::FrameEncoding)?;
        if Some(orders.session) != self.session {
            return Err(ErrorCode::ProtocolViolation);
        }
        let path = orders.path;
        if self.paths.path(path).is_none() {
            self.return_orders(&orders);
            return Ok(());
        }
        let current = self
            .paths
            .path_mut(path)
            .is_some_and(|known| known.epoch() == orders.epoch && known.state() != PathState::Gone);
        for order in &orders.orders {
            self.note_order(path, order, current, now)?;
        }
        if !current {
            return Ok(());
        }
        if self.connected.contains(&path) {
            self.send(path, ControlFrame::Orders(signed));
            for order in &orders.orders {
                if let Order::Grant(grant) = order {
                    self.send_window(path, grant.stream);
                }
            }
            self.end_late_orders(path, &orders);
            return Ok(());
        }
        let waiting = self.greeted.entry(path).or_default();
        if waiting.len() < MAX_WAITING_ORDERS {
            waiting.push_back(signed);
        } else {
            self.hand_back_orders(path, &orders, now);
        }
        Ok(())
    }

    /// A new connection needs the windows of all streams that its path has grants for.
    pub(super) fn send_windows(&mut self, path: PathId) {
        self.grants.forget_windows(path);
        for stream in self.grants.streams_of(path) {
            self.send_window(path, stream);
        }
    }

    fn send_window(&mut self, path: PathId, stream: StreamId) {
        if let Some(max_offset) = self.streams.window(stream)
            && self.grants.tell_window(path, stream, max_offset)
        {
            self.send(path, ControlFrame::StreamWindow(StreamWindow { stream, max_offset }));
        }
    }

    /// Orders that crossed the end of their stream: the path is told of the end once more, behind them.
    pub(super) fn end_late_orders(&mut self, path: PathId, orders: &Orders) {
        let late: BTreeSet<StreamId> = orders
            .orders
            .iter()
            .filter_map(|order| match order {
                Order::Grant(grant) => Some(grant.stream),
                Order::Delegation(delegation) => Some(delegation.stream),
                Order::Revoke(_) | Order::Relay(_) => None,
            })
            .filter(|stream| !self.streams.receives(*stream))
            .collect();
        for stream in late {
            self.grants.forget(stream);
            let frame = StreamClosed { stream, complete: false };
            self.send(path, ControlFrame::StreamClosed(frame));
        }
    }

    /// Orders behind an AddPath that was refused: nothing is remembered of them, the ranges go back at once.
    fn return_orders(&mut self, orders: &Orders) {
        for order in &orders.orders {
            if let Order::Delegation(delegation) = order {
                let gap = Gap {
                    stream: delegation.stream,
                    range: delegation.range,
                    reason: GapReason::PathGone,
                    path: Some(orders.path),
                    delegation: Some(delegation.id),
                };
                self.send(PathId::PRIMARY, ControlFrame::Gap(gap));
            }
        }
    }

    fn hand_back_orders(&mut self, path: PathId, orders: &Orders, now: Instant) {
        for order in &orders.orders {
            if let Order::Delegation(delegation) = order {
                self.hand_back_order(path, delegation, GapReason::Busy, now);
            }
        }
    }

    /// A delegation that will not be carried out. Not [`Promises::path_gone`]: what else the path owes stands.
    fn hand_back_order(
        &mut self,
        path: PathId,
        delegation: &Delegation,
        reason: GapReason,
        now: Instant,
    ) {
        let (id, range) = (delegation.id, delegation.range);
        if self.streams.receives(delegation.stream) {
            self.promises.handle_end((path, delegation.stream, id), &[range], reason, now);
            self.outputs.push_back(Output::Service(delegation.stream));
        }
    }

    fn note_order(
        &mut self,
        path: PathId,
        order: &Order,
        current: bool,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        match order {
            Order::Grant(grant) => {
                self.announce_target(grant.stream)?;
                self.note_grant(path, grant);
                Ok(())
            }
            Order::Delegation(delegation) => {
                self.announce_target(delegation.stream)?;
                self.note_delegation(path, delegation, current, now);
                Ok(())
            }
            Order::Revoke(revoke) => {
                if let Some(id) = revoke.delegation {
                    self.promises.revoke(path, id, now);
                    self.note_debt(path, now);
                }
                Ok(())
            }
            Order::Relay(_) => Ok(()),
        }
    }

    /// A grant that finds no room does not count; the primary hears of it where it names an end.
    fn note_grant(&mut self, path: PathId, grant: &Grant) {
        if !self.streams.receives(grant.stream) {
            return;
        }
        let recorded = self.grants.grant(path, grant.stream, grant.start, grant.end);
        self.watch(grant.stream);
        if recorded == Recorded::Full
            && let Some(range) = grant.end.and_then(|end| ByteRange::new(grant.start, end))
        {
            let (stream, reason) = (grant.stream, GapReason::Busy);
            let gap = Gap { stream, range, reason, path: Some(path), delegation: None };
            self.send(PathId::PRIMARY, ControlFrame::Gap(gap));
        }
    }

    fn note_delegation(
        &mut self,
        path: PathId,
        delegation: &Delegation,
        current: bool,
        now: Instant,
    ) {
        let (stream, range) = (delegation.stream, delegation.range);
        if !self.streams.receives(stream) {
            return;
        }
        let refused = if isolated(&self.isolated, stream, path) {
            Some(GapReason::Conflict)
        } else if self.grants.record(path, stream, range.start(), Some(range.end()))
            == Recorded::Full
        {
            Some(GapReason::Busy)
        } else {
            (!current).then_some(GapReason::PathGone)
        };
        self.watch(stream);
        self.promises.record(path, delegation.id, stream, range, now);
        if let Some(reason) = refused {
            self.hand_back_order(path, delegation, reason, now);
        }
        self.note_debt(path, now);
        self.outputs.push_back(Output::Service(stream));
    }

    /// A grant or delegation announces its stream: it exists, but accept waits for the primary's header.
    fn announce_target(&mut self, stream: StreamId) -> Result<(), ErrorCode> {
        if !takes_contributions(stream) {
            return Err(ErrorCode::StreamState);
        }
        self.streams.announce(stream, false).map(|_| ())
    }

    /// Opens a stream; `None` while the primary's limit is reached.
    pub fn open_stream(&mut self, kind: StreamKind) -> Option<StreamId> {
        if self.closed || self.orphans.is_some() { None } else { self.streams.open(kind) }
    }

    /// The application wants no more of what servers send on the stream.
    pub fn stop_stream(&mut self, id: StreamId, error_code: u64) {
        self.streams.stop(id, error_code);
        self.close_sources(id, false);
    }

    /// What this end sends was reset.
    pub fn reset_stream(&mut self, id: StreamId, error_code: u64, final_size: Offset) {
        self.streams.reset(id, error_code, final_size);
    }

    /// Ends the session.
    pub fn close(&mut self, code: ErrorCode, application_code: Option<u64>, reason: &str) {
        if self.closed {
            return;
        }
        let frame = ControlFrame::SessionClose(SessionClose {
            code,
            application_code,
            reason: reason.into(),
        });
        self.send(PathId::PRIMARY, frame.clone());
        let secondaries: Vec<PathId> = self.connected.iter().copied().collect();
        for path in secondaries {
            self.send(path, frame.clone());
        }
        self.end(code, application_code, reason.into());
    }

    /// Whether no stream is open and none is owed to anybody.
    pub fn is_idle(&self) -> bool {
        self.closed || self.streams.is_empty()
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The primary path's RTT, as QUIC measured it.
    pub fn handle_primary_rtt(&mut self, smoothed: Duration, variation: Duration, now: Instant) {
        self.primary_rtt = smoothed;
        self.primary_rttvar = variation;
        self.paths.handle_primary_rtt(smoothed);
        let timing = PathTiming { srtt: Some(smoothed), rttvar: variation };
        self.promises.set_path(PathId::PRIMARY, timing, now);
    }

    /// The reader's longest pauses, with who was to blame.
    pub fn stalls(&self) -> &[Stall] {
        self.stalls.kept()
    }

    /// The longest pause of a reader.
    pub fn longest_stall(&self) -> Duration {
        self.stalls.longest()
    }

    /// Bytes that arrived more than once.
    pub fn duplicate_bytes(&self) -> u64 {
        self.duplicate_bytes
    }

    /// Bytes promised to senders now, as the session's budget counts them.
    pub fn promised_bytes(&self) -> u64 {
        self.streams.promised()
    }

    fn end(&mut self, code: ErrorCode, application_code: Option<u64>, reason: String) {
        if self.closed {
            return;
        }
        self.closed = true;
        let ids: Vec<StreamId> = self.streams.ids().collect();
        for id in ids {
            self.act(StreamAction::Fail(id, Failure::SessionEnded));
        }
        let open: Vec<(PathId, Epoch)> = self
            .paths
            .iter()
            .filter(|path| path.state() != PathState::Gone)
            .map(|path| (path.id(), path.epoch()))
            .collect();
        for (path, epoch) in open {
            self.outputs.push_back(Output::ClosePath { path, epoch, code });
        }
        self.outputs.push_back(Output::Close { code, application_code, reason });
    }

    fn apply(&mut self, effect: Effect, now: Instant) {
        match effect {
            Effect::Frame(frame) => {
                if let ControlFrame::StreamWindow(window) = &frame {
                    for path in self.grants.handle_window(window.stream, window.max_offset) {
                        self.send(path, ControlFrame::StreamWindow(*window));
                    }
                }
                self.send(PathId::PRIMARY, frame);
            }
            Effect::Action(action) => {
                let opened = match &action {
                    StreamAction::Open { id, receive: Some(_), .. } => Some(*id),
                    _ => None,
                };
                if let StreamAction::Remove(id) = &action {
                    self.sending.close_stream(*id);
                }
                self.act(action);
                self.outputs.extend(opened.map(Output::Service));
            }
            Effect::ReceiveClosed(id, complete) => {
                self.close_sources(id, complete);
                self.forget_sources(id, now);
            }
            Effect::SendClosed(_) => {}
        }
    }

    fn forget_sources(&mut self, id: StreamId, now: Instant) {
        self.grants.forget(id);
        self.watches.remove(&id);
        self.stalls.abandoned(id, now);
        self.isolated.remove(&id);
        self.stale.remove(&id);
        for path in self.promises.forget_stream(id, now) {
            self.note_debt(path, now);
        }
    }

    /// The stream can't be completed: its reader gets `failure`, the primary hears of it, its sources are stopped.
    fn fail_stream(&mut self, id: StreamId, failure: Failure, code: ErrorCode) {
        if self.streams.receives(id) {
            self.act(StreamAction::Fail(id, failure));
            self.streams.stop(id, code.quic_code());
            self.close_sources(id, false);
        }
    }

    /// Nobody needs bytes for the stream any more: every path with a grant is told, every contribution stopped.
    fn close_sources(&mut self, id: StreamId, complete: bool) {
        let frame = StreamClosed { stream: id, complete };
        let told = match self.streams.receives(id) {
            true => !self.told_closed.insert(id),
            false => self.told_closed.remove(&id),
        };
        for path in self.grants.paths_for(id) {
            if !told && !path.is_primary() {
                self.send(path, ControlFrame::StreamClosed(frame));
            }
        }
        for (path, carrier) in self.mapping.close_stream(id) {
            self.carriers.remove(&(path, carrier));
            self.resync.handle_closed(path, carrier);
            if !path.is_primary() || !complete {
                self.outputs.push_back(Output::StopCarrier {
                    path,
                    carrier,
                    code: ErrorCode::StreamClosed,
                });
            }
        }
    }

    fn ping(&mut self, path: PathId) {
        let nonce = self.next_nonce;
        self.next_nonce += 1;
        self.send(path, ControlFrame::Ping(Ping { nonce }));
    }

    fn act(&mut self, action: StreamAction) {
        self.outputs.push_back(Output::Stream(action));
    }

    fn send(&mut self, path: PathId, frame: ControlFrame) {
        let reachable = match path.is_primary() {
            true => self.orphans.is_none(),
            false => self.connected.contains(&path),
        };
        if !self.closed && reachable {
            self.outputs.push_back(Output::Send(path, frame));
        }
    }

    fn report_interval(&self) -> Duration {
        (self.primary_rtt / 8).max(LEAST_REPORT_INTERVAL)
    }
}
