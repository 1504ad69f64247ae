//! A client's session: public streams from the primary, and everything that secondaries send into them.

mod arrivals;
mod carriers;
mod conflict;
mod doubt;
mod ends;
mod held;
mod orders;
mod orphan;
mod output;
mod paths;
mod primary;
mod progress;
mod standstill;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use kwik_proto::frame::{
    ControlFrame, ErrorCode, Hello, PathState, PathStatus, Ping, Pong, SessionClose, SignedOrders,
    Welcome,
};
use kwik_proto::{ByteRange, Epoch, Initiator, PathId, SessionId, StreamId, StreamKind};

use super::config::SessionConfig;
use super::handshake::{FEATURES, VERSIONS, check};
use super::streams::{Effect, PublicStreams, StreamAction};
use crate::gap::{GapConfig, PathTiming, Promises};
use crate::grant::Grants;
use crate::mapping::{Mapping, Resync};
use crate::path::account::Account;
use crate::path::liveness::{Heard, Verdict};
use crate::path::primary::{PrimaryLiveness, PrimaryState};
use crate::path::table::{PathLimits, PathTable};
use crate::path::trust::Convictions;
use crate::relay::{CreditToll, Toll};
use crate::stall::{Stall, Stalls};
use crate::stream::{Failure, RangeHash, SourceKey};
use crate::time::Instant;
use carriers::Carrier;
use orphan::Orphans;
use progress::StreamWatch;

pub use arrivals::SourceReport;
pub use carriers::{CarrierEnd, Route, Routed};
pub use output::{Output, PathReport};

/// What a path has beyond the dial time: a driver that sees no handshake by then says what was wrong with it, before the
/// path's own clock can only say that it took too long.
const DIAL_GRACE: Duration = Duration::from_millis(100);
/// Least time between two progress reports of a stream.
const LEAST_REPORT_INTERVAL: Duration = Duration::from_millis(5);

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
    /// Hashes that the streams' halves have yet to be told: taken at the next look at each.
    hashes: BTreeMap<StreamId, Vec<(ByteRange, RangeHash)>>,
    /// Paths that lied about a stream.
    isolated: BTreeMap<StreamId, BTreeSet<PathId>>,
    /// How often each lied.
    convictions: Convictions,
    /// Sources of carriers whose path is gone, until their half is at hand.
    stale: BTreeMap<StreamId, Vec<SourceKey>>,
    /// Streams whose sources were told that they are over before the half was.
    told_closed: BTreeSet<StreamId>,
    /// Credit for messages that each secondary gave the primary.
    credits: BTreeMap<PathId, CreditToll>,
    /// The counters of each path as the primary was told them last.
    told_status: BTreeMap<PathId, PathStatus>,
    /// Set once the primary is gone.
    orphans: Option<Orphans>,
    primary_account: Account,
    primary_liveness: PrimaryLiveness,
    /// It said that it goes away.
    primary_leaves: bool,
    /// What the driver was told last.
    primary_state: PrimaryState,
    /// When this end last found that it had stood still.
    stood_still: Option<Instant>,
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
        let dial_time = config.dial_time.saturating_add(DIAL_GRACE);
        let limits = PathLimits { max_paths: config.path_policy.max_paths(), dial_time };
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
            hashes: BTreeMap::new(),
            isolated: BTreeMap::new(),
            convictions: Convictions::default(),
            stale: BTreeMap::new(),
            told_closed: BTreeSet::new(),
            credits: BTreeMap::new(),
            told_status: BTreeMap::new(),
            orphans: None,
            primary_account: Account::default(),
            primary_liveness: PrimaryLiveness::new(Instant::ZERO),
            primary_leaves: false,
            primary_state: PrimaryState::Live,
            stood_still: None,
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
        self.answer_due.get_or_insert(now + self.config.answer_time);
        while let Some(effect) = self.streams.poll() {
            self.apply(effect, now);
        }
        self.note_expectation(now);
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
        let linger = self.streams.poll_timeout();
        let primary = self.primary_liveness.poll_timeout();
        let paths = self.paths.poll_timeout();
        let due = [paths, primary, streams, self.resync.poll_timeout(), answer, linger];
        due.into_iter().flatten().min()
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come. Tell the sockets' last activity
    /// ([`handle_activity`](Self::handle_activity)) first: a process that was stopped must not condemn its paths.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.note_standstill(now);
        if self.session.is_none() && self.answer_due.is_some_and(|due| due <= now) {
            let reason = "the primary did not answer the Hello in time";
            return self.close(ErrorCode::HandshakeTimeout, None, reason);
        }
        self.streams.handle_timeout(now);
        self.watch_primary(now);
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
            ControlFrame::StreamWindow(window) => self.streams.handle_window(window, now),
            ControlFrame::Gap(gap) if gap.path.is_none() => self.handle_unserved(&gap),
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
            ControlFrame::GoAway(_) => {
                self.primary_leaves = true;
                self.tell_primary_state();
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

    /// Opens a stream; `None` while the primary's limit is reached.
    pub fn open_stream(&mut self, kind: StreamKind) -> Option<StreamId> {
        if self.closed || self.orphans.is_some() { None } else { self.streams.open(kind) }
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

    /// The application dropped a sending half: the session owns it until the primary has everything, or takes nothing for
    /// [`SessionConfig::linger`](crate::session::SessionConfig::linger).
    pub fn detach_stream(&mut self, id: StreamId, delivered: bool, now: Instant) {
        self.streams.detach(id, delivered, now);
    }

    /// Whether no stream is open and none is owed to anybody.
    pub fn is_idle(&self) -> bool {
        self.closed || self.streams.is_idle()
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The primary path's RTT, as QUIC measured it.
    pub fn handle_primary_rtt(&mut self, smoothed: Duration, variation: Duration, now: Instant) {
        self.note_standstill(now);
        if self.is_our_own_time(smoothed, self.primary_rtt, now) {
            return;
        }
        self.primary_rtt = smoothed;
        self.primary_rttvar = variation;
        self.paths.handle_primary_rtt(smoothed);
        self.primary_liveness.handle_rtt(smoothed);
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
        self.tell_primary_state();
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
            Effect::Service(id) => self.outputs.push_back(Output::Service(id)),
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
