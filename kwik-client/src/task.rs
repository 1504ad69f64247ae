//! The session's task: it feeds the core what happens and carries out what the core says.

mod carriers;
mod dial;
mod dials;
mod kept;
mod report;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kwik_core::delay::DelayHistogram;
use kwik_core::path::primary::PrimaryState;
use kwik_core::session::ClientSession;
use kwik_core::session::client::Output;
use kwik_core::session::config::SessionConfig;
use kwik_core::throttle::Rates;
use kwik_core::time::Instant;
use kwik_io::channel::{self, Receiver, Sender};
use kwik_io::control::PushError;
use kwik_io::endpoint::{ClientEndpoints, Dialled};
use kwik_io::env::Env;
use kwik_io::link::{FromLink, Inbox, Link, LinkEvent};
use kwik_io::pulse::Pulse;
use kwik_io::pump::{CarrierControl, CarrierEvent, SentBytes, Waiting};
use kwik_io::session::{Open, Request, Requests, SessionHandle, SessionInfo, requests};
use kwik_io::sign::ConfirmationKey;
use kwik_io::stream::{
    SendMemory, ServiceList, SharedSend, StreamHalf, Watch, application, connection,
};
use kwik_io::table::{Left, StreamTable};
use kwik_io::tls::Trust;
use kwik_io::turn::Turn;
use kwik_io::worker::{Worker, Workers};
use kwik_proto::frame::{ControlFrame, ErrorCode};
use kwik_proto::{Epoch, PathId, StreamId, StreamKind};
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tracing::Instrument;

use crate::connection::{Handle, Told};
use crate::metrics::SessionMetrics;
use crate::session::ClientRequest;
use crate::{Connect, ConnectError, Session};

pub(crate) use dials::SharedDials;
use kept::{Ended, Faults};

/// Control frames, and carriers' events, that wait for the task. A path waits while they do.
const INBOX: usize = 256;
/// How often the core is told what QUIC measured, while there is a stream or a secondary.
const MEASURE: Duration = Duration::from_millis(50);

/// What the sessions of a client share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) env: Env,
    pub(crate) workers: Workers,
    pub(crate) secondaries: ClientEndpoints,
    /// How often each was dialled.
    pub(crate) dials: SharedDials,
    pub(crate) config: SessionConfig,
    pub(crate) trust: Trust,
    pub(crate) dial_time: Duration,
    /// Most pumps at a time on one connection.
    pub(crate) most_pumps: usize,
    /// How fast a server may send control frames: the primary as the others.
    pub(crate) rates: Arc<Rates>,
    /// What sessions hold of what they send, and how much one may.
    pub(crate) send_memory: (SendMemory, u64),
    /// How often QUIC asks a silent peer.
    pub(crate) keep_alive: Duration,
    /// Sessions so far.
    pub(crate) sessions: AtomicU64,
}

/// A secondary that was dialled, or why not.
struct DialOutcome {
    path: PathId,
    epoch: Epoch,
    result: Result<(Link, [u8; 64]), dial::Unreached>,
}

struct Task {
    shared: Arc<Shared>,
    core: ClientSession,
    table: StreamTable,
    primary: Option<Link>,
    remote: SocketAddr,
    secondaries: BTreeMap<PathId, Link>,
    dials: BTreeMap<PathId, AbortHandle>,
    key: Arc<ConfirmationKey>,
    controls: BTreeMap<(PathId, u64), (CarrierControl, Option<StreamId>)>,
    requests: Requests<ClientRequest>,
    /// Who waits for the primary's Welcome; told once.
    welcome: Option<oneshot::Sender<()>>,
    inbox: Inbox,
    dialled: Sender<Box<DialOutcome>>,
    pumps: JoinSet<()>,
    waiting: Waiting,
    services: ServiceList,
    peak_buffer: u64,
    /// What came on carriers that are over, by path.
    received: BTreeMap<PathId, u64>,
    /// Bytes of streams that QUIC took.
    sent: SentBytes,
    repairs: u64,
    faults: Faults,
    /// When the session began.
    began: Instant,
    /// When the core was told last what QUIC measured.
    measured: Instant,
    ended: Ended,
    /// In-order delays of the streams that are over.
    delays: DelayHistogram,
    primary_told: watch::Sender<PrimaryState>,
    last_told: watch::Sender<Option<Arc<SessionMetrics>>>,
}

/// What the task does next.
enum Next {
    Link(Box<FromLink>),
    Dialled(Box<DialOutcome>),
    Carrier(Box<CarrierEvent>),
    Service,
    /// `None`: the application is gone.
    Request(Option<Request<ClientRequest>>),
    Close,
    Pulse,
    PumpEnded,
    Timeout,
}

/// A primary that was dialled.
pub(crate) struct Reached {
    pub(crate) connect: Connect,
    pub(crate) dialled: Dialled,
    /// How long it may take to answer the Hello.
    pub(crate) answer_time: Duration,
    /// Told when it has, and dropped when the session ends before.
    pub(crate) welcome: oneshot::Sender<()>,
}

/// Sets a session up on a connection to its primary. Runs on `worker`.
pub(crate) async fn start(
    shared: Arc<Shared>,
    worker: Worker,
    primary: Reached,
) -> Result<Session, ConnectError> {
    let Reached { connect, dialled, answer_time, welcome } = primary;
    let Dialled { mut connection, stats, .. } = dialled;
    let local = connection.local_addr().map_err(connection::Error::from)?;
    let info = SessionInfo {
        id: shared.sessions.fetch_add(1, Ordering::Relaxed),
        local: Some(local),
        remote: Some(connect.address()),
        server_name: connect.server_name().map(Into::into),
    };
    // One that gives no credit for a stream is as good as one that does not answer.
    let opening = connection.open_bidirectional_stream();
    let Ok(control) = tokio::time::timeout(answer_time, opening).await else {
        let code = ErrorCode::HandshakeTimeout;
        let quic = s2n_quic::application::Error::new(code.quic_code());
        connection.close(quic.expect("KWIK's own codes are below 2^62"));
        let (code, here) = (application::Error::of_kwik(code), connection::Location::Local);
        return Err(connection::Error::application(code, here).into());
    };
    let control = control.map_err(connection::Error::from)?;
    let (links, link_events) = channel::bounded(INBOX);
    let (carriers, carrier_events) = channel::bounded(INBOX);
    let (most_pumps, rates) = (shared.most_pumps, shared.rates.clone());
    let inbox = Inbox { links, carriers, most_pumps, rates };
    let span = tracing::info_span!("session", primary = %connect.address());
    let (path, epoch) = (PathId::PRIMARY, Epoch::FIRST);
    let primary =
        span.in_scope(|| Link::start(path, epoch, connection, control, stats, inbox.clone()));
    let (asker, requests) = requests();
    let services = ServiceList::default();
    let (table, incomings) =
        StreamTable::new(shared.env.clone(), services.clone(), requests.ending.clone());
    let (memory, most) = &shared.send_memory;
    let table = table.sharing(memory.share(*most));
    let (dial_results, dials) = channel::bounded(INBOX);
    let key = Arc::new(ConfirmationKey::generate(&shared.env));
    let seed = u64::from_le_bytes(shared.env.random());
    let remote = connect.address();
    let config = SessionConfig { answer_time, ..shared.config.clone() };
    let core = ClientSession::new(config, remote, key.public(), seed);
    let (primary_told, primary_state) = watch::channel(PrimaryState::Live);
    let (last_told, last) = watch::channel(None);
    let told = Told { primary: primary_state, last };
    let task = Box::new(Task {
        core,
        table,
        primary: Some(primary),
        remote,
        secondaries: BTreeMap::new(),
        dials: BTreeMap::new(),
        key,
        controls: BTreeMap::new(),
        requests,
        welcome: Some(welcome),
        inbox,
        dialled: dial_results,
        pumps: JoinSet::new(),
        waiting: Waiting::default(),
        services,
        peak_buffer: 0,
        received: BTreeMap::new(),
        sent: SentBytes::default(),
        repairs: 0,
        faults: Faults::default(),
        began: shared.env.now(),
        measured: Instant::ZERO,
        ended: Ended::default(),
        delays: DelayHistogram::default(),
        primary_told,
        last_told,
        shared,
    });
    worker.spawn(task.run(link_events, carrier_events, dials).instrument(span));
    Ok(Session::new(Handle::new(SessionHandle::new(asker, info), told), incomings))
}

impl Task {
    /// Boxed: as `self` it would be in the future twice.
    async fn run(
        mut self: Box<Self>,
        mut links: Receiver<Box<FromLink>>,
        mut carriers: Receiver<Box<CarrierEvent>>,
        mut dials: Receiver<Box<DialOutcome>>,
    ) {
        let mut due = Vec::new();
        let (mut pulse, mut turn) = (Pulse::new(MEASURE), Turn::default());
        let mut attended = true;
        self.measure();
        self.carry_out();
        while self.primary.is_some() {
            let timeout = self.core.poll_timeout().map(|at| self.shared.env.deadline(at));
            let services = self.services.clone();
            pulse.set(!self.is_idle());
            turn.pass_on().await;
            let next = tokio::select! {
                biased;
                Some(event) = links.recv() => Next::Link(event),
                Some(outcome) = dials.recv() => Next::Dialled(outcome),
                Some(event) = carriers.recv() => Next::Carrier(event),
                () = services.wait(&mut due) => Next::Service,
                request = self.requests.wishes.next(), if attended => Next::Request(request),
                () = self.requests.close.ordered(), if attended => Next::Close,
                () = pulse.beat() => Next::Pulse,
                () = sleep_until(timeout) => Next::Timeout,
                Some(_) = self.pumps.join_next(), if !self.pumps.is_empty() => Next::PumpEnded,
                never = turn.wait() => match never {},
            };
            self.measure_if_due(&next);
            match next {
                Next::Link(event) => self.handle_link(*event),
                Next::Dialled(outcome) => self.handle_dialled(*outcome),
                Next::Carrier(event) => self.handle_carrier(*event),
                Next::Service => self.service(&mut due),
                Next::Request(Some(request)) => self.handle_request(request),
                Next::Request(None) => {
                    attended = false;
                    // Closed and dropped at once: the code is still there.
                    self.handle_close();
                    self.table.abandon();
                }
                Next::Close => self.handle_close(),
                Next::Pulse | Next::PumpEnded => {}
                Next::Timeout => self.core.handle_timeout(self.shared.env.now()),
            }
            self.carry_out();
            while let Some(request) = self.waiting.next_admitted() {
                self.route(request);
            }
            if !attended && self.core.is_idle() {
                self.core.close(ErrorCode::None, None, "");
                self.carry_out();
            } else if !attended {
                self.detach_all();
            }
        }
    }

    /// Streams whose application is gone are kept until QUIC has delivered them, as QUIC's own are, and then for a while:
    /// the session's end would take from the primary what it has not read.
    fn detach_all(&mut self) {
        let now = self.shared.env.now();
        for (id, halves) in self.table.iter() {
            if halves.send.as_ref().is_some_and(SharedSend::is_delivered) {
                self.core.detach_stream(id, true, now);
            }
        }
    }

    fn handle_link(&mut self, from: FromLink) {
        let FromLink { path, epoch, event } = from;
        let now = self.shared.env.now();
        match event {
            LinkEvent::Frame(frame) => self.core.handle_control(path, epoch, frame, now),
            LinkEvent::Throttled(_) => {}
            LinkEvent::BadFrame(error) if path.is_primary() => {
                self.core.close(error.code(), None, &error.to_string());
            }
            LinkEvent::BadFrame(error) => {
                self.core.handle_lost(path, epoch, error.code(), &error.to_string(), now);
            }
            LinkEvent::Flood => {
                let reason = "it opened too many streams that brought nothing";
                self.core.handle_violation(path, epoch, ErrorCode::LimitExceeded, reason, now);
            }
            LinkEvent::Closing if path.is_primary() => self.waiting.close(),
            LinkEvent::Closing => {}
            LinkEvent::Lost(error) if path.is_primary() => {
                self.requests.ending.set(error);
                self.core.handle_primary_lost(&error.to_string(), now);
            }
            LinkEvent::Lost(error) => {
                let code = ErrorCode::Unreachable;
                self.core.handle_lost(path, epoch, code, &error.to_string(), now);
            }
        }
    }

    fn handle_request(&mut self, request: Request<ClientRequest>) {
        match request {
            Request::Open(open) => match self.requests.ending.error() {
                // The session lives on at most for the bytes that are under way.
                Some(error) => open.refuse(error),
                None => self.handle_open(open),
            },
            Request::Other(ClientRequest::Metrics(reply)) => {
                let _ = reply.send(self.metrics());
            }
            Request::Ping => {
                let _ = self.primary.as_mut().map(|primary| primary.connection_mut().ping());
            }
            Request::KeepAlive(enabled) => {
                let keep = |link: &mut Link| link.connection_mut().keep_alive(enabled);
                let _ = self.primary.as_mut().map(keep);
            }
        }
    }

    fn handle_open(&mut self, open: Open) {
        let served = match self.requests.must_wait(open.kind) {
            true => Err(open),
            false => self.serve(open),
        };
        if let Err(open) = served {
            self.requests.wait(open);
        }
    }

    fn handle_close(&mut self) {
        if let Some(code) = self.requests.close.code() {
            let location = connection::Location::Local;
            self.requests.ending.set(connection::Error::application(code, location));
            self.core.close(ErrorCode::None, Some(code.into()), "closed by the application");
        }
    }

    /// Halves that pumps or the application changed.
    fn service(&mut self, due: &mut Vec<StreamHalf>) {
        for half in due.drain(..) {
            match half {
                StreamHalf::Receive(id) => self.service_receive(id),
                StreamHalf::Send(id) => self.service_send(id),
            }
        }
    }

    fn service_receive(&mut self, id: StreamId) {
        let Some(receive) = self.table.receive(id).cloned() else { return };
        let now = self.shared.env.now();
        if let Some(code) = receive.stop_code() {
            self.core.stop_stream(id, code.into());
        }
        let core = &mut self.core;
        let peak = receive.service(|half| {
            core.service_stream(id, half, now);
            half.peak_pinned()
        });
        self.peak_buffer = self.peak_buffer.max(peak);
        if self.core.has_sources(id) {
            receive.watch(Watch::Progress);
        }
    }

    fn service_send(&mut self, id: StreamId) {
        let Some(send) = self.table.send(id).cloned() else { return };
        let status = send.status();
        if let (Some(code), Some(size)) = (status.reset, status.final_size) {
            self.core.reset_stream(id, code.into(), size);
        }
    }

    /// Nothing is sent, received or dialled: no measured time matters.
    fn is_idle(&self) -> bool {
        self.table.is_empty() && self.secondaries.is_empty() && self.dials.is_empty()
    }

    /// What follows from an event is to go by what is known now. A timer that fires asks most of all: silence is judged by it.
    fn measure_if_due(&mut self, next: &Next) {
        let due = self.measured + MEASURE;
        if matches!(next, Next::Pulse | Next::Timeout) || self.shared.env.now() >= due {
            self.measure();
        }
    }

    /// Tells the core what QUIC measured.
    fn measure(&mut self) {
        let now = self.shared.env.now();
        self.measured = now;
        if let Some(primary) = &self.primary
            && let (Some(rtt), Some(variation)) =
                (primary.stats().smoothed_rtt(), primary.stats().rtt_variation())
        {
            self.core.handle_primary_rtt(rtt, variation, now);
        }
        let heard = self.primary.as_ref().and_then(|primary| primary.stats().last_datagram());
        if let Some(at) = heard {
            self.core.handle_activity(PathId::PRIMARY, at, now);
        }
        for (path, link) in &self.secondaries {
            let stats = link.stats();
            if let (Some(rtt), Some(variation)) = (stats.smoothed_rtt(), stats.rtt_variation()) {
                self.core.handle_path_rtt(*path, rtt, variation, now);
            }
            if let Some(at) = stats.last_datagram() {
                self.core.handle_activity(*path, at, now);
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.core.poll_output(self.shared.env.now()) {
            self.carry_out_one(output);
        }
    }

    fn carry_out_one(&mut self, output: Output) {
        match output {
            Output::Send(path, frame) => self.send(path, &frame),
            Output::Dial { path, epoch, target, token } => {
                self.dial(path, epoch, target, token);
            }
            Output::ClosePath { path, epoch, code } => self.close_path(path, epoch, code),
            Output::Stream(action) => {
                let left = self.table.apply(action);
                self.handle_left(left);
            }
            Output::Service(id) => self.service_receive(id),
            Output::Reroute { path, carrier, route } => self.reroute(path, carrier, route),
            Output::StopCarrier { path, carrier, code } => {
                if let Some((control, _)) = self.controls.get(&(path, carrier)) {
                    control.stop(code);
                }
            }
            Output::Fault { path, code } => self.count_fault(path, code),
            Output::Primary(state) => drop(self.primary_told.send_replace(state)),
            Output::Established => {
                if let Some(welcome) = self.welcome.take() {
                    // Who only wanted the handshake does not wait.
                    let _ = welcome.send(());
                }
            }
            Output::Orphaned => {
                if let Some(error) = self.requests.ending.error() {
                    self.table.orphan(error);
                    self.requests.fail_waiting(error);
                }
            }
            Output::Close { code, application_code, reason } => {
                self.end(code, application_code, &reason);
            }
            other => tracing::warn!(?other, "an output that this client does not know"),
        }
    }

    fn handle_left(&mut self, left: Left) {
        match left {
            // A client's streams have no bound on what they hold, and are not weighed.
            Left::Nothing | Left::Weigh(_) => {}
            Left::Service(id) => self.service_receive(id),
            Left::Removed(id, halves) => {
                if let Some(receive) = &halves.receive {
                    self.keep_ended(id, receive);
                    let bytes = receive.inspect(|half| half.path_bytes().collect::<Vec<_>>());
                    for (path, bytes) in bytes {
                        self.core.handle_delivered(path, bytes);
                    }
                }
            }
            Left::Available(kind) => self.retry_opens(kind),
            Left::Admit(id) => self.waiting.admit(id),
        }
    }

    fn retry_opens(&mut self, kind: StreamKind) {
        while let Some(open) = self.requests.retry(kind) {
            if let Err(open) = self.serve(open) {
                return self.requests.put_back(open);
            }
        }
    }

    /// Opens a stream for the application, unless the primary's limit is reached.
    fn serve(&mut self, open: Open) -> Result<(), Open> {
        if open.is_forgotten() {
            return Ok(());
        }
        match self.open(open.kind) {
            Some(halves) => {
                open.answer(halves);
                Ok(())
            }
            None => Err(open),
        }
    }

    fn send(&mut self, path: PathId, frame: &ControlFrame) {
        self.count_sent(frame);
        let link =
            if path.is_primary() { self.primary.as_ref() } else { self.secondaries.get(&path) };
        let Some(link) = link else { return };
        let relay = matches!(frame, ControlFrame::Relay(_));
        if link.push(frame) == Err(PushError::Full) && !relay {
            let (epoch, now) = (link.epoch(), self.shared.env.now());
            let reason = "the control stream is full: its peer takes nothing";
            if path.is_primary() {
                self.core.close(ErrorCode::LimitExceeded, None, reason);
            } else {
                self.core.handle_lost(path, epoch, ErrorCode::LimitExceeded, reason, now);
            }
        }
    }

    fn end(&mut self, code: ErrorCode, application_code: Option<u64>, reason: &str) {
        let remote = connection::Location::Remote;
        let spoken = application_code.and_then(|code| application::Error::new(code).ok());
        let closing = spoken.unwrap_or_else(|| application::Error::of_kwik(code));
        let error = match (spoken, code) {
            (None, ErrorCode::None) => connection::Error::closed(remote),
            _ => connection::Error::application(closing, remote),
        };
        self.requests.ending.set(error);
        let error = self.requests.ending.error().unwrap_or(error);
        tracing::debug!(?code, reason, "session ended");
        self.last_told.send_replace(Some(Arc::new(self.metrics())));
        self.table.fail_all(error);
        for (_, dial) in std::mem::take(&mut self.dials) {
            dial.abort();
        }
        for (_, link) in std::mem::take(&mut self.secondaries) {
            link.close_soon(closing);
        }
        if let Some(primary) = self.primary.take() {
            primary.close_soon(closing);
        }
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
