//! The task of a session in which this server is secondary.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kwik_core::session::SecondarySession as Core;
use kwik_core::session::secondary::{ContributionPlan, MAX_DELEGATIONS, Output};
use kwik_io::channel::{self, Receiver, Sender};
use kwik_io::connection::ConnectionStats;
use kwik_io::control::{ControlReader, ControlSender};
use kwik_io::link::{FromLink, Inbox, Link, LinkEvent};
use kwik_io::pump::{
    ContributionControl, ContributionError, ContributionTarget, ContributionWriter, SentBytes,
    contribution,
};
use kwik_io::session::{Request, Requests, SessionInfo, requests};
use kwik_io::stream::{SendShare, application, connection};
use kwik_io::turn::Turn;
use kwik_io::worker::Worker;
use kwik_io::{key::PublicKey, sign};
use kwik_proto::frame::{self, ControlFrame, ErrorCode, GapReason, Orders, SignedOrders};
use kwik_proto::{DelegationId, Epoch, StreamId};
use s2n_quic::connection::{Handle, StreamAcceptor};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::{
    ContributionOpenError, OpenReply, SecondaryMetrics, SecondaryRequest, SecondarySession,
};
use crate::admission::Shared;
use crate::census::Resident;
use crate::leaving::Presence;
use crate::primary::sleep_until;

/// Control frames that wait for the task. The client waits while they do.
const INBOX: usize = 256;
/// Relay messages that wait for the application: as many as its inbox in the core allows.
const MESSAGES: usize = 1024;

/// What a connection is made of, after its Hello.
pub(crate) struct Parts {
    pub(crate) connection: (Handle, StreamAcceptor),
    pub(crate) control: (ControlReader, ControlSender),
    pub(crate) stats: Arc<ConnectionStats>,
    pub(crate) info: SessionInfo,
    pub(crate) signer: PublicKey,
    /// Where the session runs.
    pub(crate) worker: Worker,
    /// The session's place among those of the server.
    pub(crate) resident: Resident,
}

struct Open {
    stream: StreamId,
    delegation: Option<DelegationId>,
    control: ContributionControl,
}

struct Task {
    shared: Arc<Shared>,
    core: Core,
    link: Option<Link>,
    signer: PublicKey,
    requests: Requests<SecondaryRequest>,
    offers: Option<Sender<Box<frame::Delegation>>>,
    messages: Sender<Bytes>,
    open: BTreeMap<u64, Open>,
    pumps: JoinSet<(u64, Result<(), ContributionError>)>,
    presence: Presence,
    /// What was handed to QUIC.
    sent: SentBytes,
    /// What is on its way to the client.
    share: SendShare,
    /// The session's place among those of the server.
    _resident: Resident,
    /// Keeps the thread that the session runs on, whatever becomes of the server's handles. Dropped last.
    _worker: Worker,
}

pub(crate) fn start(shared: Arc<Shared>, core: Core, parts: Parts) -> SecondarySession {
    let Parts { connection, control, stats, info, signer, worker, resident } = parts;
    let (path, epoch) = (core.path(), Epoch::FIRST);
    let (links, link_events) = channel::bounded(INBOX);
    // A client opens no carrier towards a secondary: one that it does open is refused, and counts as empty.
    let (carriers, _) = channel::bounded(1);
    let (most_pumps, rates) = (shared.most_pumps, shared.settings.now().rates.clone());
    let inbox = Inbox { links, carriers, most_pumps, rates };
    let span = tracing::info_span!("session", id = %core.session(), client = ?info.remote);
    let link = span.in_scope(|| Link::resume(path, epoch, connection, control, stats, inbox));
    let (asker, requests) = requests();
    let (offers, offered) = channel::bounded(MAX_DELEGATIONS);
    let (messages, messages_out) = channel::bounded(MESSAGES);
    let task = Box::new(Task {
        core,
        link: Some(link),
        signer,
        requests,
        offers: Some(offers),
        messages,
        open: BTreeMap::new(),
        pumps: JoinSet::new(),
        presence: Presence::new(&shared.leaving),
        sent: SentBytes::within(&shared.counters.secondary_sent),
        share: shared.send_share(),
        shared,
        _resident: resident,
        _worker: worker,
    });
    tokio::spawn(task.run(link_events).instrument(span));
    SecondarySession { asker, offers: offered, messages: messages_out, info }
}

impl Task {
    /// Boxed: as `self` it would be in the future twice.
    async fn run(mut self: Box<Self>, mut links: Receiver<Box<FromLink>>) {
        let (mut attended, mut turn) = (true, Turn::default());
        self.carry_out();
        while self.link.is_some() {
            let timeout = self.core.poll_timeout().map(|at| self.shared.env.deadline(at));
            turn.pass_on().await;
            tokio::select! {
                biased;
                Some(from) = links.recv() => self.handle_link(from.event),
                Some(Ok((carrier, end))) = self.pumps.join_next(), if !self.pumps.is_empty() => {
                    self.open.remove(&carrier);
                    self.core.handle_carrier_end(carrier, end.is_ok());
                }
                request = self.requests.wishes.next(), if attended => match request {
                    Some(request) => self.handle_request(request),
                    None => attended = false,
                },
                end = self.presence.called_away() => self.core.go_away(end, self.shared.env.now()),
                () = sleep_until(timeout) => self.core.handle_timeout(self.shared.env.now()),
                never = turn.wait() => match never {},
            }
            self.carry_out();
            if !attended && self.open.is_empty() {
                self.core.close(ErrorCode::None, "");
                self.carry_out();
            }
        }
    }

    fn handle_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Frame(ControlFrame::Orders(signed)) => self.handle_orders(&signed),
            LinkEvent::Frame(frame) => self.core.handle_control(frame),
            LinkEvent::Throttled(_) => self.shared.counters.count_throttled(),
            LinkEvent::BadFrame(error) => {
                self.core.close(error.code(), error.to_string());
            }
            LinkEvent::Flood => {
                let reason = "the client opened too many streams that brought nothing";
                self.core.close(ErrorCode::LimitExceeded, reason);
            }
            LinkEvent::Closing => {}
            LinkEvent::Lost(error) => {
                self.requests.ending.set(error);
                self.end(ErrorCode::SessionClosed);
            }
        }
    }

    fn handle_orders(&mut self, signed: &SignedOrders) {
        if let Err(error) = sign::verify_orders(&self.signer, signed) {
            return self.core.close(ErrorCode::OrderInvalid, error.to_string());
        }
        match Orders::decode(&signed.body) {
            Ok(orders) => self.core.handle_orders(orders),
            Err(error) => self.core.close(ErrorCode::OrderInvalid, error.to_string()),
        }
    }

    fn handle_request(&mut self, request: Request<SecondaryRequest>) {
        let Request::Other(request) = request else { return };
        match request {
            SecondaryRequest::Accept(stream, id, reply) => {
                let plan = self.core.accept(stream, id);
                let opened = plan.map_err(Into::into).and_then(|plan| self.open(&plan));
                if matches!(opened, Err(ContributionOpenError::Busy)) {
                    self.core.fail_delegation(id, GapReason::Busy);
                }
                answer(reply, opened);
            }
            SecondaryRequest::Open(stream, reply) => {
                let plan = self.core.open(stream);
                answer(reply, plan.map_err(Into::into).and_then(|plan| self.open(&plan)));
            }
            SecondaryRequest::Refuse(id, reason) => self.core.refuse(id, reason),
            SecondaryRequest::Postpone(id) => self.core.postpone(id),
            SecondaryRequest::Send(message, reply) => {
                let _ = reply.send(self.core.send_message(message).is_ok());
            }
            SecondaryRequest::Metrics(reply) => {
                let (contributions, delegations) = self.core.counts();
                let sent_bytes = self.sent.total();
                let _ = reply.send(SecondaryMetrics { contributions, delegations, sent_bytes });
            }
            SecondaryRequest::MessageTaken(size) => self.core.handle_message_taken(size),
        }
    }

    fn open(
        &mut self,
        plan: &ContributionPlan,
    ) -> Result<ContributionWriter, ContributionOpenError> {
        let Some(link) = &mut self.link else { return Err(ContributionOpenError::Busy) };
        let header = plan.header;
        let target = ContributionTarget {
            stream: header.stream,
            delegation: header.delegation,
            promised: header.promised,
            granted: plan.allowed,
            window: plan.max_offset,
        };
        let lane = link.stats().lane().clone();
        let (writer, pump, control) =
            contribution::open(link.connection_mut(), target).map_err(|error| match error {
                kwik_io::pump::OpenError::Connection(error) => error.into(),
                _ => ContributionOpenError::Busy,
            })?;
        let pump = pump.in_world(self.shared.env.clone()).counted(self.sent.clone());
        let pump = pump.sharing(&self.share).in_lane(&lane).ranked(plan.rank);
        let carrier = pump.carrier().0;
        self.core.handle_carrier_open(carrier, header);
        let (stream, delegation) = (header.stream, header.delegation);
        self.open.insert(carrier, Open { stream, delegation, control });
        let span = tracing::debug_span!("stream", id = %stream, carrier);
        self.pumps.spawn(async move { (carrier, pump.run().await) }.instrument(span));
        Ok(writer)
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Send(frame) => self.send(&frame),
                Output::Offer(delegation) => self.offer(delegation),
                Output::Stop { stream, delegation, .. } => self.stop(stream, delegation),
                Output::Window(stream, max_offset) => {
                    for open in self
                        .open
                        .values()
                        .filter(|open| open.stream == stream && open.delegation.is_none())
                    {
                        open.control.extend(max_offset);
                    }
                }
                Output::Message(message) => {
                    // As many as the core lets wait fit.
                    let _ = self.messages.try_send(message);
                }
                Output::Close(code, reason) => {
                    tracing::debug!(?code, reason, "secondary session ended");
                    self.end(code);
                }
                other => tracing::warn!(?other, "an output that this server does not know"),
            }
        }
    }

    fn offer(&mut self, delegation: frame::Delegation) {
        let id = delegation.id;
        let offered = self
            .offers
            .as_ref()
            .is_some_and(|offers| offers.try_send(Box::new(delegation)).is_ok());
        if !offered {
            self.core.refuse(id, GapReason::Busy);
        }
    }

    fn stop(&self, stream: StreamId, delegation: Option<DelegationId>) {
        let error = match delegation {
            Some(_) => ContributionError::Revoked,
            None => ContributionError::StreamClosed,
        };
        for open in self.open.values().filter(|open| open.stream == stream) {
            if delegation.is_none() || open.delegation == delegation {
                open.control.stop(error);
            }
        }
    }

    fn send(&mut self, frame: &ControlFrame) {
        let Some(link) = &self.link else { return };
        let relay = matches!(frame, ControlFrame::Relay(_));
        if link.push(frame).is_err() && !relay {
            self.end(ErrorCode::LimitExceeded);
        }
    }

    fn end(&mut self, code: ErrorCode) {
        let closing = application::Error::of_kwik(code);
        let remote = connection::Location::Remote;
        self.requests.ending.set(match code {
            ErrorCode::None => connection::Error::closed(remote),
            _ => connection::Error::application(closing, remote),
        });
        for open in self.open.values() {
            open.control.stop(ContributionError::SessionClosed);
        }
        self.offers = None;
        if let Some(link) = self.link.take() {
            self.shared.counters.count_secondary_end(code);
            link.close(closing);
        }
    }
}

fn answer(reply: OpenReply, opened: Result<ContributionWriter, ContributionOpenError>) {
    // An application that went away drops the writer, which gives the range back.
    let _ = reply.send(opened);
}
