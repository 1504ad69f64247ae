//! A server's session as secondary: it obeys signed orders and contributes.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use kwik_proto::frame::{
    CarrierKind, ControlFrame, Delegation, DelegationState, DelegationStatus, ErrorCode, GapReason,
    Hello, MappingQuery, MappingSnapshot, Order, Orders, Pong, Rank, RelayCredit, SessionClose,
    StreamBlocked, StreamHeader, Welcome,
};
use kwik_proto::{ByteRange, DelegationId, Epoch, Offset, PathId, SessionId, StreamId};

use super::config::SessionConfig;
use super::handshake::negotiate;
use super::leave::{LEFT, Leave, Step};
use crate::grant::Grants;
use crate::mapping::{Mapping, takes_contributions};
use crate::orders::OrderChecker;
use crate::relay::{Inbox, Outbox, RelayError};
use crate::time::Instant;

/// Delegations that wait for the application or are being sent, at most. Beyond it the primary is told Busy.
pub const MAX_DELEGATIONS: usize = 1024;
/// Bytes of the resources of all these, at most: 256 KiB, 256 for each of them. Beyond it the primary is told Busy.
pub const MAX_RESOURCES: usize = 256 << 10;

/// What the driver does for a [`SecondarySession`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// To the client on the control stream.
    Send(ControlFrame),
    /// Offer to the application.
    Offer(Delegation),
    /// Writers of this delegation, or (`None`) of the whole stream, stop: nobody wants the bytes.
    Stop {
        /// The stream.
        stream: StreamId,
        /// One delegation, or all contributions.
        delegation: Option<DelegationId>,
        /// What writers are told.
        code: ErrorCode,
    },
    /// Open-ended contributions to the stream may send up to here.
    Window(StreamId, Offset),
    /// A message of the primary's application.
    Message(Bytes),
    /// Close the connection with this code.
    Close(ErrorCode, String),
}

/// Why a contribution can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Nothing was granted, a delegation apart: that is for [`SecondarySession::accept`].
    #[error("the primary granted nothing on stream {stream} to this path")]
    NotGranted {
        /// The target.
        stream: StreamId,
    },
    /// The target can't take contributions: only the server-to-client half of a stream can.
    #[error("stream {stream} is sent by the client alone")]
    WrongDirection {
        /// The target.
        stream: StreamId,
    },
    /// The server goes away.
    #[error("the server goes away and begins nothing")]
    Leaving,
    /// The delegation was revoked, or the stream is over.
    #[error("stream {stream} was closed, or delegation {delegation} revoked")]
    Closed {
        /// The stream.
        stream: StreamId,
        /// The delegation.
        delegation: DelegationId,
    },
}

/// What a writer needs to open a contribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContributionPlan {
    /// What its bytes go before on the path.
    pub rank: Rank,
    /// First message on the carrier.
    pub header: StreamHeader,
    /// Where the writer may write.
    pub allowed: ByteRange,
    /// Up to where it may send now. The end of the range for a delegation.
    pub max_offset: Offset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Offered,
    Accepted,
}

/// A server's session as secondary.
///
/// Created from a Hello whose token was verified and judged. Then: feed it frames and the application's wishes, and
/// after each call drain [`poll_output`](Self::poll_output). It has no timers but for its server's end.
#[derive(Debug)]
pub struct SecondarySession {
    id: SessionId,
    path: PathId,
    checker: OrderChecker,
    grants: Grants,
    delegations: BTreeMap<DelegationId, (Stage, Delegation)>,
    contributions: Mapping,
    windows: BTreeMap<StreamId, Offset>,
    inbox: Inbox,
    outbox: Outbox,
    outputs: VecDeque<Output>,
    leave: Leave,
    closed: bool,
}

impl SecondarySession {
    /// Answers an admitted Hello with Welcome.
    ///
    /// # Errors
    /// The refusal to send, if no version is in common.
    pub fn new(
        config: &SessionConfig,
        hello: &Hello,
        session: SessionId,
        path: PathId,
        epoch: Epoch,
    ) -> Result<Self, kwik_proto::frame::Refuse> {
        let agreed = negotiate(hello)?;
        let welcome = Welcome {
            version: agreed.version,
            features: agreed.features,
            limits: config.limits(),
            session,
        };
        Ok(Self {
            id: session,
            path,
            checker: OrderChecker::new(session, path, epoch),
            grants: Grants::default(),
            delegations: BTreeMap::new(),
            contributions: Mapping::new(),
            windows: BTreeMap::new(),
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            outputs: VecDeque::from([Output::Send(ControlFrame::Welcome(welcome))]),
            leave: Leave::default(),
            closed: false,
        })
    }

    /// The session, as its primary numbered it.
    pub fn session(&self) -> SessionId {
        self.id
    }

    /// The path that this connection is.
    pub fn path(&self) -> PathId {
        self.path
    }

    /// What the driver does next; `None` when everything was drained.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty()
            && let Some(ping) = self.leave.poll(!self.closed && self.owes_nothing())
        {
            self.send(ping);
        }
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): only while the server goes away.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.leave.poll_timeout().filter(|_| !self.closed)
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.leave.is_over(now) {
            self.close(ErrorCode::GoingAway, LEFT);
        }
    }

    /// The server goes away. The client is told, and what the application has not accepted yet goes back, so that others
    /// send it. The session ends when all that was accepted has arrived and the client has heard of it, and at
    /// `end` at the latest. Called again, it can
    /// only make that sooner.
    pub fn go_away(&mut self, end: Instant, now: Instant) {
        match self.leave.begin(end, now) {
            Step::None => return,
            Step::Close => return self.close(ErrorCode::GoingAway, LEFT),
            Step::Tell(frame) => self.send(frame),
        }
        let offered = self.delegations.iter().filter(|(_, (stage, _))| *stage == Stage::Offered);
        for id in offered.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.refuse(id, GapReason::Busy);
        }
    }

    /// Whether nothing is accepted or being sent.
    fn owes_nothing(&self) -> bool {
        self.delegations.is_empty() && self.contributions.is_empty()
    }

    /// A frame of the client. [`ControlFrame::Orders`] goes to [`handle_orders`](Self::handle_orders) instead, once its
    /// signature was checked.
    pub fn handle_control(&mut self, frame: ControlFrame) {
        if self.closed {
            return;
        }
        let result = match frame {
            ControlFrame::Ping(ping) => {
                self.send(ControlFrame::Pong(Pong { nonce: ping.nonce }));
                Ok(())
            }
            ControlFrame::StreamClosed(closed) => {
                self.end_stream(closed.stream, ErrorCode::StreamClosed);
                Ok(())
            }
            ControlFrame::StreamReset(reset) => {
                self.end_stream(reset.stream, ErrorCode::StreamClosed);
                Ok(())
            }
            ControlFrame::StreamStop(stop) => {
                self.end_stream(stop.stream, ErrorCode::StreamClosed);
                Ok(())
            }
            ControlFrame::StreamWindow(window) => {
                self.extend_window(window.stream, window.max_offset);
                Ok(())
            }
            ControlFrame::RelayCredit(credit) => {
                self.outbox.handle_credit(credit.max_bytes);
                self.send_relay();
                Ok(())
            }
            ControlFrame::MappingQuery(query) => {
                self.answer_query(&query);
                Ok(())
            }
            ControlFrame::SessionClose(close) => {
                self.close(close.code, close.reason);
                Ok(())
            }
            ControlFrame::Pong(pong) => {
                if self.leave.handle_pong(pong.nonce, self.owes_nothing()) {
                    self.close(ErrorCode::GoingAway, LEFT);
                }
                Ok(())
            }
            ControlFrame::MappingSnapshot(_) => Ok(()),
            _ => Err(ErrorCode::ProtocolViolation),
        };
        if let Err(code) = result {
            self.fail(code, "a frame that a client does not send to a secondary");
        }
    }

    /// Orders whose signature was checked against a trusted primary.
    pub fn handle_orders(&mut self, orders: Orders) {
        if self.closed {
            return;
        }
        if let Err(error) = self.checker.check(&orders) {
            self.fail(error.code(), error.to_string());
            return;
        }
        for order in orders.orders {
            if self.closed {
                return;
            }
            match order {
                Order::Grant(grant) => {
                    self.grants.record_newest(self.path, grant.stream, grant.start, grant.end);
                    self.extend_window(grant.stream, grant.max_offset);
                }
                Order::Delegation(delegation) => self.offer(delegation),
                Order::Revoke(revoke) => self.revoke(revoke.stream, revoke.delegation),
                Order::Relay(piece) => self.handle_relay(piece),
            }
        }
    }

    /// The application will send a delegation that was offered to it.
    ///
    /// # Errors
    /// [`OpenError::Closed`] if it was revoked meanwhile.
    pub fn accept(
        &mut self,
        stream: StreamId,
        id: DelegationId,
    ) -> Result<ContributionPlan, OpenError> {
        let Some((stage, delegation)) = self.delegations.get_mut(&id) else {
            return Err(OpenError::Closed { stream, delegation: id });
        };
        *stage = Stage::Accepted;
        let (range, urgent) = (delegation.range, delegation.rank.urgent);
        let rank = Rank { urgent, ..self.rank_of(stream) };
        self.status(id, DelegationState::Accepted);
        Ok(ContributionPlan {
            rank,
            header: StreamHeader {
                stream,
                kind: CarrierKind::Contribution,
                delegation: Some(id),
                promised: Some(range),
            },
            allowed: range,
            max_offset: range.end(),
        })
    }

    /// The application can't say yet; it will accept or refuse later.
    pub fn postpone(&mut self, id: DelegationId) {
        if self.delegations.contains_key(&id) {
            self.status(id, DelegationState::Pending);
        }
    }

    /// The application will not send a delegation that was offered to it.
    pub fn refuse(&mut self, id: DelegationId, reason: GapReason) {
        if self.delegations.remove(&id).is_some() {
            self.status(id, DelegationState::Refused(reason));
        }
    }

    /// An accepted delegation can't be finished.
    pub fn fail_delegation(&mut self, id: DelegationId, reason: GapReason) {
        if self.delegations.remove(&id).is_some() {
            self.status(id, DelegationState::Failed(reason));
        }
    }

    /// A contribution within the grants of a stream, without a delegation. A delegation is a grant for its own
    /// contribution alone.
    ///
    /// # Errors
    /// If nothing was granted, or the stream can't take contributions.
    pub fn open(&mut self, stream: StreamId) -> Result<ContributionPlan, OpenError> {
        if !takes_contributions(stream) {
            return Err(OpenError::WrongDirection { stream });
        }
        if self.leave.has_begun() {
            return Err(OpenError::Leaving);
        }
        let allowed = self.grants.allowed(self.path, stream).hull();
        let Some(allowed) = allowed else {
            return Err(OpenError::NotGranted { stream });
        };
        let max_offset = self.windows.get(&stream).copied().unwrap_or(Offset::ZERO);
        Ok(ContributionPlan {
            rank: self.rank_of(stream),
            header: StreamHeader {
                stream,
                kind: CarrierKind::Contribution,
                delegation: None,
                promised: None,
            },
            allowed,
            max_offset,
        })
    }

    /// A writer has bytes beyond the window.
    pub fn handle_blocked(&mut self, stream: StreamId, max_offset: Offset) {
        self.send(ControlFrame::StreamBlocked(StreamBlocked { stream, max_offset }));
    }

    /// QUIC opened a carrier for a contribution.
    pub fn handle_carrier_open(&mut self, carrier: u64, header: StreamHeader) {
        // Refused only for what the driver can't do: one QUIC stream id twice.
        let _ = self.contributions.create(self.path, carrier, header);
    }

    /// A contribution's carrier is over. `sent` is whether QUIC took every promised byte.
    pub fn handle_carrier_end(&mut self, carrier: u64, sent: bool) {
        let Some(mapping) = self.contributions.close(self.path, carrier) else { return };
        let Some(id) = mapping.delegation else { return };
        if self.delegations.remove(&id).is_some() {
            let state = if sent {
                DelegationState::Sent
            } else {
                DelegationState::Failed(GapReason::SourceFailed)
            };
            self.status(id, state);
        }
    }

    /// A message to the primary's application, unauthenticated there.
    ///
    /// # Errors
    /// The message, if it is larger than 64 KiB or the queue is full.
    pub fn send_message(&mut self, message: Bytes) -> Result<(), Bytes> {
        self.outbox.push(message)?;
        self.send_relay();
        Ok(())
    }

    /// The application took a message: the primary may send more.
    pub fn handle_message_taken(&mut self, size: usize) {
        self.inbox.handle_taken(size);
        self.send_relay_credit();
    }

    fn send_relay_credit(&mut self) {
        let (path, max_bytes) = (self.path, self.inbox.credit());
        self.send(ControlFrame::RelayCredit(RelayCredit { path, max_bytes }));
    }

    /// Contributions and delegations that are open, for metrics.
    pub fn counts(&self) -> (usize, usize) {
        (self.contributions.len(), self.delegations.len())
    }

    /// The application, or the server's end, closes the path.
    pub fn close(&mut self, code: ErrorCode, reason: impl Into<String>) {
        if self.closed {
            return;
        }
        let reason = reason.into();
        self.send(ControlFrame::SessionClose(SessionClose {
            code,
            application_code: None,
            reason: reason.clone(),
        }));
        self.closed = true;
        self.outputs.push_back(Output::Close(code, reason));
    }

    fn offer(&mut self, delegation: Delegation) {
        let range = delegation.range;
        let known = self.delegations.contains_key(&delegation.id);
        if known || range.is_empty() || !takes_contributions(delegation.stream) {
            self.fail(ErrorCode::OrderInvalid, "a delegation that repeats an id, or has no bytes");
            return;
        }
        let resources = self.delegations.values().map(|(_, known)| known.resource.len());
        let full = self.delegations.len() == MAX_DELEGATIONS
            || resources.sum::<usize>() + delegation.resource.len() > MAX_RESOURCES;
        if full || self.leave.has_begun() {
            // The refusal has to be heard too.
            self.leave.ask_again();
            self.status(delegation.id, DelegationState::Refused(GapReason::Busy));
            return;
        }
        // A copy: what came in keeps the whole frame alive.
        let resource = Bytes::copy_from_slice(&delegation.resource);
        let delegation = Delegation { resource, ..delegation };
        self.delegations.insert(delegation.id, (Stage::Offered, delegation.clone()));
        self.outputs.push_back(Output::Offer(delegation));
    }

    fn revoke(&mut self, stream: StreamId, delegation: Option<DelegationId>) {
        match delegation {
            Some(id) => {
                self.delegations.remove(&id);
                let code = ErrorCode::StreamClosed;
                self.outputs.push_back(Output::Stop { stream, delegation: Some(id), code });
            }
            None => self.end_stream(stream, ErrorCode::StreamClosed),
        }
    }

    fn end_stream(&mut self, stream: StreamId, code: ErrorCode) {
        self.delegations.retain(|_, (_, delegation)| delegation.stream != stream);
        self.grants.forget(stream);
        self.windows.remove(&stream);
        self.outputs.push_back(Output::Stop { stream, delegation: None, code });
    }

    fn extend_window(&mut self, stream: StreamId, max_offset: Offset) {
        if self.grants.allowed(self.path, stream).is_empty() {
            return;
        }
        let window = self.windows.entry(stream).or_default();
        if max_offset > *window {
            *window = max_offset;
            self.outputs.push_back(Output::Window(stream, max_offset));
        }
    }

    /// That of the stream's newest delegation that is under way.
    fn rank_of(&self, stream: StreamId) -> Rank {
        let orders = self.delegations.values().filter(|(_, order)| order.stream == stream);
        let newest = orders.max_by_key(|(_, order)| order.id);
        let priority = newest.map_or(0, |(_, order)| order.rank.priority);
        Rank { priority, urgent: false }
    }

    fn answer_query(&mut self, query: &MappingQuery) {
        let mappings = self.contributions.snapshot(self.path, &query.carriers);
        self.send(ControlFrame::MappingSnapshot(MappingSnapshot { query: query.query, mappings }));
    }

    fn handle_relay(&mut self, piece: kwik_proto::frame::Relay) {
        match self.inbox.handle_piece(piece) {
            Ok(Some(message)) => self.outputs.push_back(Output::Message(message)),
            Ok(None) => {}
            // A message that the application has no room for is lost, and its credit given back.
            Err(RelayError::Busy) => self.send_relay_credit(),
            Err(error) => self.fail(error.code(), error.to_string()),
        }
    }

    fn send_relay(&mut self) {
        while let Some(piece) = self.outbox.next_piece(self.path) {
            self.send(ControlFrame::Relay(piece));
        }
    }

    fn status(&mut self, delegation: DelegationId, state: DelegationState) {
        let path = self.path;
        self.send(ControlFrame::DelegationStatus(DelegationStatus { path, delegation, state }));
    }

    fn send(&mut self, frame: ControlFrame) {
        if !self.closed {
            self.outputs.push_back(Output::Send(frame));
        }
    }

    fn fail(&mut self, code: ErrorCode, reason: impl Into<String>) {
        self.close(code, reason);
    }
}
