//! The task of a session in which this server is primary.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kwik_core::admission::{Claims, LIFETIME, TokenId};
use kwik_core::session::primary::{Event, Output};
use kwik_core::session::{PrimarySession as Core, StreamAction};
use kwik_core::time::{Instant, WallTime};
use kwik_io::channel::{self, Receiver, Sender};
use kwik_io::connection::ConnectionStats;
use kwik_io::control::{ControlReader, ControlSender, PushError};
use kwik_io::link::{FromLink, Inbox, Link, LinkEvent};
use kwik_io::pulse::Pulse;
use kwik_io::pump::{CarrierEvent, SentBytes, Waiting};
use kwik_io::session::{Open, Request, Requests, SessionHandle, SessionInfo, requests};
use kwik_io::stream::{
    ReceiveShare, SendShare, ServiceList, SharedSend, StreamHalf, application, connection,
};
use kwik_io::table::{Left, StreamTable};
use kwik_io::turn::Turn;
use kwik_io::worker::Worker;
use kwik_io::{sign, token};
use kwik_proto::frame::{AddPath, ControlFrame, ErrorCode, Orders, ServerIdentity};
use kwik_proto::{ByteRange, Epoch, Offset, PathId, StreamId, StreamKind};
use s2n_quic::connection::{Handle, StreamAcceptor};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::prove::{Proving, Step};
use super::supply::{Providers, Supplied};
use super::{PrimaryMetrics, PrimaryRequest, PrimarySession};
use crate::admission::Shared;
use crate::census::Resident;
use crate::connection::Inboxes;
use crate::delegate::{Delegate, DelegateError};
use crate::delegation::{DelegationHandle, SourceError, Told};
use crate::leaving::Presence;
use crate::reads::Reader;

/// Control frames, and carriers' events, that wait for the task. The client waits while they do.
const INBOX: usize = 256;
/// Events and messages that wait for the application. Further events are lost.
const EVENTS: usize = 1024;
/// How often the measured round trip is told to the core, while ranges are delegated. Otherwise it is told when something
/// happens, so that an idle session, or a stream that waits, wakes nobody.
const MEASURE: Duration = Duration::from_millis(50);

/// What a connection is made of, after its Hello.
pub(crate) struct Parts {
    pub(crate) connection: (Handle, StreamAcceptor),
    pub(crate) control: (ControlReader, ControlSender),
    pub(crate) stats: Arc<ConnectionStats>,
    pub(crate) info: SessionInfo,
    /// Where the session runs.
    pub(crate) worker: Worker,
    /// The session's place among those of the server.
    pub(crate) resident: Resident,
}

pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) core: Box<Core>,
    pub(super) table: StreamTable,
    pub(super) link: Option<Link>,
    pub(super) inbox: Inbox,
    pub(super) pumps: JoinSet<()>,
    pub(super) waiting: Waiting,
    pub(super) providers: Providers,
    pub(super) proving: Proving,
    pub(super) reader: Reader,
    /// What is on its way to the client.
    pub(super) share: SendShare,
    /// What the client may send.
    receiving: ReceiveShare,
    /// What was handed to QUIC.
    pub(super) sent: SentBytes,
    told: Told,
    requests: Requests<PrimaryRequest>,
    services: ServiceList,
    events: Sender<Box<Event>>,
    messages: Sender<Box<(PathId, Bytes)>>,
    presence: Presence,
    /// When the core was told last what QUIC measured.
    measured: Instant,
    /// The session's place among those of the server.
    _resident: Resident,
    /// Keeps the thread that the session runs on, whatever becomes of the server's handles. Dropped last.
    _worker: Worker,
}

/// What the task does next.
enum Next {
    Link(Box<FromLink>),
    Carrier(Box<CarrierEvent>),
    Supplied(Supplied),
    Proven(Step),
    Service,
    /// `None`: the application is gone.
    Request(Option<Request<PrimaryRequest>>),
    Close,
    /// The server goes away: when the session has to end.
    Leave(Instant),
    Pulse,
    PumpEnded,
    Timeout,
}

pub(crate) fn start(shared: Arc<Shared>, core: Box<Core>, parts: Parts) -> PrimarySession {
    let Parts { connection, control, stats, info, worker, resident } = parts;
    let (links, link_events) = channel::bounded(INBOX);
    let (carriers, carrier_events) = channel::bounded(INBOX);
    let (most_pumps, rates) = (shared.most_pumps, shared.settings.now().rates.clone());
    let inbox = Inbox { links, carriers, most_pumps, rates };
    let (path, epoch) = (PathId::PRIMARY, Epoch::FIRST);
    let span = tracing::info_span!("session", id = %core.id(), client = ?info.remote);
    let link =
        span.in_scope(|| Link::resume(path, epoch, connection, control, stats, inbox.clone()));
    let (asker, requests) = requests();
    let services = ServiceList::default();
    let (table, incomings) =
        StreamTable::new(shared.env.clone(), services.clone(), requests.ending.clone());
    let share = shared.send_share();
    let table = table.sharing(share.clone());
    let (events, events_out) = channel::bounded(EVENTS);
    let (messages, messages_out) = channel::bounded(EVENTS);
    let providers = Providers::default();
    let proving = Proving::default();
    let reader = Reader { reads: shared.reads.clone(), session: info.id };
    let task = Box::new(Task {
        core,
        table,
        link: Some(link),
        inbox,
        pumps: JoinSet::new(),
        waiting: Waiting::default(),
        providers,
        proving,
        reader,
        share,
        receiving: shared.receive_memory.share(),
        sent: SentBytes::within(&shared.counters.primary_sent),
        told: Told::default(),
        requests,
        services,
        events,
        messages,
        presence: Presence::new(&shared.leaving),
        measured: Instant::ZERO,
        shared,
        _resident: resident,
        _worker: worker,
    });
    tokio::spawn(task.run(link_events, carrier_events).instrument(span));
    let inboxes = Inboxes { events: events_out.into(), messages: messages_out.into() };
    PrimarySession::new(crate::Handle::new(SessionHandle::new(asker, info), inboxes), incomings)
}

impl Task {
    /// Boxed: as `self` it would be in the future twice.
    async fn run(
        mut self: Box<Self>,
        mut links: Receiver<Box<FromLink>>,
        mut carriers: Receiver<Box<CarrierEvent>>,
    ) {
        let mut due = Vec::new();
        let (mut pulse, mut turn) = (Pulse::new(MEASURE), Turn::default());
        let mut attended = true;
        self.measure();
        self.carry_out();
        while self.link.is_some() {
            let timeout = self.core.poll_timeout().map(|at| self.shared.env.deadline(at));
            let services = self.services.clone();
            pulse.set(!self.told.is_empty());
            turn.pass_on().await;
            let next = tokio::select! {
                biased;
                Some(event) = links.recv() => Next::Link(event),
                Some(event) = carriers.recv() => Next::Carrier(event),
                Some(end) = self.providers.next_ended() => Next::Supplied(end),
                Some(step) = self.proving.next_step() => Next::Proven(step),
                () = services.wait(&mut due) => Next::Service,
                request = self.requests.wishes.next(), if attended => Next::Request(request),
                () = self.requests.close.ordered(), if attended => Next::Close,
                end = self.presence.called_away() => Next::Leave(end),
                () = pulse.beat() => Next::Pulse,
                () = sleep_until(timeout) => Next::Timeout,
                Some(_) = self.pumps.join_next(), if !self.pumps.is_empty() => Next::PumpEnded,
                never = turn.wait() => match never {},
            };
            self.measure_if_due(&next);
            match next {
                Next::Link(event) => self.handle_link(*event),
                Next::Carrier(event) => self.handle_carrier(*event),
                Next::Supplied(end) => self.handle_supplied(end),
                Next::Proven(step) => self.handle_step(step),
                Next::Service => self.service(&mut due),
                Next::Request(Some(request)) => self.handle_request(request),
                Next::Request(None) => {
                    attended = false;
                    // Closed and dropped at once: the code is still there.
                    self.handle_close();
                    self.table.abandon();
                }
                Next::Close => self.handle_close(),
                Next::Leave(end) => self.core.go_away(end, self.shared.env.now()),
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

    fn handle_link(&mut self, from: FromLink) {
        match from.event {
            LinkEvent::Frame(frame) => self.core.handle_control(frame, self.shared.env.now()),
            LinkEvent::Throttled(_) => self.shared.counters.count_throttled(),
            LinkEvent::BadFrame(error) => {
                self.core.close(error.code(), None, &error.to_string());
            }
            LinkEvent::Flood => {
                let reason = "the client opened too many streams that brought nothing";
                self.core.close(ErrorCode::LimitExceeded, None, reason);
            }
            LinkEvent::Closing => self.waiting.close(),
            LinkEvent::Lost(error) => {
                self.requests.ending.set(error);
                self.end(ErrorCode::SessionClosed, "the connection is over");
            }
        }
    }

    fn handle_request(&mut self, request: Request<PrimaryRequest>) {
        match request {
            Request::Open(open) => {
                let served = match self.requests.must_wait(open.kind) {
                    true => Err(open),
                    false => self.serve(open),
                };
                if let Err(open) = served {
                    self.requests.wait(open);
                }
            }
            Request::Ping => {
                let _ = self.link.as_mut().map(|link| link.connection_mut().ping());
            }
            Request::KeepAlive(enabled) => {
                let _ = self.link.as_mut().map(|link| link.connection_mut().keep_alive(enabled));
            }
            Request::Other(request) => self.handle_command(request),
        }
    }

    fn handle_command(&mut self, request: PrimaryRequest) {
        self.measure();
        let now = self.shared.env.now();
        // An application that went away needs no answer.
        match request {
            PrimaryRequest::AddPath(spec, reply) => {
                let added = match self.shared.identity {
                    Some(_) => self.core.add_path(spec, now),
                    None => Err(kwik_core::session::primary::AddPathError::NoIdentity),
                };
                let _ = reply.send(added);
            }
            PrimaryRequest::RemovePath(path, reply) => {
                let _ = reply.send(self.core.remove_path(path, now));
            }
            PrimaryRequest::Paths(reply) => {
                let _ = reply.send(self.core.paths().collect());
            }
            PrimaryRequest::Delegate { stream, order, reply } => {
                let _ = reply.send(self.delegate(stream, &order));
            }
            PrimaryRequest::Grant { path, stream, start, end, reply } => {
                let start = Offset::new(start).unwrap_or(Offset::MAX);
                let end = end.map(|end| Offset::new(end).unwrap_or(Offset::MAX));
                let _ = reply.send(self.core.grant(path, stream, start, end));
            }
            PrimaryRequest::SendMessage(path, message, reply) => {
                let _ = reply.send(self.core.send_message(path, message).is_ok());
            }
            PrimaryRequest::MessageTaken(path, size) => self.core.handle_message_taken(path, size),
            PrimaryRequest::Metrics(reply) => {
                let _ = reply.send(self.metrics());
            }
            PrimaryRequest::Watch(most, reply) => {
                let _ = reply.send(self.core.watch_streams(most));
            }
        }
    }

    fn metrics(&self) -> PrimaryMetrics {
        let paths: Vec<_> = self.core.paths().collect();
        let share = |path: PathId| Some((path, self.core.path_share(path)?));
        let known = paths.iter().map(|report| report.path).chain([PathId::PRIMARY]);
        PrimaryMetrics {
            shares: known.filter_map(share).collect(),
            paths,
            delegation: self.core.delegation_stats(),
            supplies: self.providers.supplies().collect(),
            sent_bytes: self.sent.total(),
        }
    }

    fn delegate(
        &mut self,
        stream: StreamId,
        order: &Delegate,
    ) -> Result<DelegationHandle, DelegateError> {
        let (start, end) = (order.range.start, order.range.end);
        let range = Offset::new(start)
            .zip(Offset::new(end))
            .and_then(|(start, end)| ByteRange::new(start, end))
            .ok_or(DelegateError::Range { start, end })?;
        let now = self.shared.env.now();
        let Some(send) = self.table.send(stream).cloned() else {
            return Err(DelegateError::Order(kwik_core::delegation::DelegateError::Closed));
        };
        let (candidates, local) = (order.candidates(), order.local());
        self.core.check_delegate(stream, range, &order.resource, &candidates, local)?;
        send.delegate(range)?;
        if let Some(source) = &order.local {
            let wanted = |range| self.core.wants_copy(stream, range);
            self.providers.add(stream, range, source.clone(), wanted);
        }
        self.core.set_priority(stream, send.priority());
        self.core.delegate(stream, range, order.resource.clone(), candidates, local, now)?;
        if order.proven && order.local.is_some() {
            self.core.prove(stream, range);
        }
        Ok(self.told.handle(stream, range))
    }

    /// The application is told at once, and the log once for each delegation.
    pub(super) fn tell_source_failed(
        &mut self,
        stream: StreamId,
        range: ByteRange,
        error: SourceError,
    ) {
        if self.told.source_failed(stream, range, error) {
            tracing::debug!(%stream, %error, "the local copy fails");
        }
    }

    fn handle_close(&mut self) {
        if let Some(code) = self.requests.close.code() {
            let location = connection::Location::Local;
            self.requests.ending.set(connection::Error::application(code, location));
            self.core.close(ErrorCode::None, Some(code.into()), "closed by the application");
        }
    }

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
        self.core.limit_promises(self.receiving.limit());
        receive.service(|half| self.core.service_stream(id, half, now));
        self.receiving.hold(self.core.promised_bytes());
    }

    fn service_send(&mut self, id: StreamId) {
        let Some(send) = self.table.send(id).cloned() else { return };
        let status = send.status();
        if let (Some(code), Some(size)) = (status.reset, status.final_size) {
            self.core.reset_stream(id, code.into(), size);
        }
        self.core.set_priority(id, send.priority());
        let before = self.core.unread_streams();
        self.core.watch_send(id, status.held, status.released, self.shared.env.now());
        self.shared.counters.count_unread(self.core.unread_streams() - before);
    }

    /// Streams whose application is gone are kept as long as they progress.
    fn detach_all(&mut self) {
        let now = self.shared.env.now();
        for (id, halves) in self.table.iter() {
            let delivered = halves.send.as_ref().is_some_and(SharedSend::is_delivered);
            self.core.detach_stream(id, delivered, now);
        }
    }

    fn measure_if_due(&mut self, next: &Next) {
        if matches!(next, Next::Pulse) || self.shared.env.now() >= self.measured + MEASURE {
            self.measure();
        }
    }

    fn measure(&mut self) {
        self.measured = self.shared.env.now();
        let rtt = self.link.as_ref().and_then(|link| link.stats().smoothed_rtt());
        if let Some(rtt) = rtt {
            self.core.handle_rtt(rtt);
        }
    }

    pub(super) fn carry_out(&mut self) {
        while let Some(output) = self.core.poll_output(self.shared.env.now()) {
            self.carry_out_one(output);
        }
    }

    fn carry_out_one(&mut self, output: Output) {
        match output {
            Output::Send(frame) => self.send(&frame),
            Output::Sign(orders) => self.sign(&orders),
            Output::Attach { path, epoch, addresses, identity, confirmation_key } => {
                self.attach(path, epoch, addresses, identity, confirmation_key);
            }
            Output::Stream(action) => {
                if let StreamAction::Progress(id, _) | StreamAction::PeerDone(id, _) = &action
                    && self.told.knows(*id)
                {
                    self.told.set_shares(*id, &self.core.stream_shares(*id));
                }
                self.told.hear(&action);
                let left = self.table.apply(action);
                self.handle_left(left);
            }
            Output::Service(id) => self.service_receive(id),
            Output::Supply { stream, range, delegation } => self.supply(stream, range, delegation),
            Output::CancelSupply(delegation) => self.providers.cancel(delegation),
            Output::Prove { delegation, stream, range } => self.prove(delegation, stream, range),
            Output::Event(event) => {
                if let Event::Unavailable(stream, range, _) = event {
                    self.told.unavailable(stream, range);
                }
                tracing::debug!(?event, "event");
                let _ = self.events.try_send(Box::new(event));
            }
            Output::Message(path, message) => {
                // As many as the core lets wait fit.
                let _ = self.messages.try_send(Box::new((path, message)));
            }
            Output::Close(code, application_code, reason) => {
                if let Some(code) =
                    application_code.and_then(|code| application::Error::new(code).ok())
                {
                    let location = connection::Location::Remote;
                    self.requests.ending.set(connection::Error::application(code, location));
                }
                self.end(code, &reason);
            }
            other => tracing::warn!(?other, "an output that this server does not know"),
        }
    }

    fn handle_left(&mut self, left: Left) {
        match left {
            Left::Nothing => {}
            Left::Service(id) => self.service_receive(id),
            Left::Removed(id, _) => self.providers.forget(id),
            Left::Available(kind) => self.retry_opens(kind),
            Left::Admit(id) => self.waiting.admit(id),
            Left::Weigh(id) => {
                if let Some(send) = self.table.halves(id).and_then(|halves| halves.send.as_ref()) {
                    send.refresh();
                }
                self.service_send(id);
            }
        }
    }

    fn retry_opens(&mut self, kind: StreamKind) {
        while let Some(open) = self.requests.retry(kind) {
            if let Err(open) = self.serve(open) {
                return self.requests.put_back(open);
            }
        }
    }

    /// Opens a stream for the application, unless the client's limit is reached.
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

    fn sign(&mut self, orders: &Orders) {
        if let Some(key) = &self.shared.identity {
            let signed = sign::sign_orders(key, orders.encode());
            self.send(&ControlFrame::Orders(signed));
        }
    }

    fn attach(
        &mut self,
        path: PathId,
        epoch: Epoch,
        addresses: Vec<SocketAddr>,
        identity: ServerIdentity,
        confirmation_key: [u8; 32],
    ) {
        let Some(key) = self.shared.identity.clone() else { return };
        let now = self.shared.env.wall();
        let claims = Claims {
            session: self.core.id(),
            path,
            epoch,
            audience: identity.clone(),
            not_before: now,
            expires: WallTime(now.0.saturating_add(LIFETIME.as_secs())),
            confirmation_key,
            token_id: TokenId(self.shared.env.random()),
        };
        match token::sign(&key, &claims) {
            Ok(token) => {
                let token = token.into();
                let add = AddPath { path, epoch, addresses, identity, token };
                self.send(&ControlFrame::AddPath(add));
            }
            Err(error) => tracing::error!(%error, "no token can be made"),
        }
    }

    fn send(&mut self, frame: &ControlFrame) {
        let Some(link) = &self.link else { return };
        let relay = matches!(frame, ControlFrame::Relay(_));
        if link.push(frame) == Err(PushError::Full) && !relay {
            let reason = "the control stream is full: the client takes nothing";
            self.end(ErrorCode::LimitExceeded, reason);
        }
    }

    fn end(&mut self, code: ErrorCode, reason: &str) {
        let remote = connection::Location::Remote;
        let kwik = application::Error::of_kwik(code);
        self.requests.ending.set(match code {
            ErrorCode::None => connection::Error::closed(remote),
            _ => connection::Error::application(kwik, remote),
        });
        let error = self.requests.ending.error().unwrap_or(connection::Error::Unspecified);
        tracing::debug!(?code, reason, "primary session ended");
        self.table.fail_all(error);
        self.told.end(error);
        self.providers.clear();
        let closing = error.application_error().unwrap_or(kwik);
        if let Some(link) = self.link.take() {
            self.shared.counters.count_primary_end(code);
            link.close(closing);
        }
    }
}

pub(crate) async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
