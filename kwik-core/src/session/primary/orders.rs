//! What the primary orders: grants, delegations, its own supplies, messages.

use std::collections::BTreeMap;

use bytes::Bytes;
use kwik_proto::frame::{
    ControlFrame, ErrorCode, Gap, GapReason, Grant, Order, Relay, RelayCredit, Revoke, StreamHeader,
};
use kwik_proto::{ByteRange, DelegationId, Offset, PathId, StreamId};

use super::paths::Path;
use super::{Event, Output, PrimarySession};
use crate::delegation::{Candidates, Decision, DelegateError, Local, PlanId};
use crate::grant::Recorded;
use crate::mapping::takes_contributions;
use crate::orders::MAX_ORDERS;
use crate::session::config::INITIAL_WINDOW;
use crate::time::Instant;

impl PrimarySession {
    /// Permits a path to contribute to an open stream within `start..end` (`None`: without an end). The path may use it up
    /// to the stream's window. `false`: there is no such stream or path, the range has no bytes, or the path has 4,096
    /// separate ranges on the stream already that the client's application did not read.
    pub fn grant(
        &mut self,
        id: PathId,
        stream: StreamId,
        start: Offset,
        end: Option<Offset>,
    ) -> bool {
        let granted = self.note_grant(id, stream, start, end);
        if granted {
            let grant = self.grant_order(stream, start, end);
            self.order(id, vec![grant]);
        }
        granted
    }

    fn note_grant(
        &mut self,
        id: PathId,
        stream: StreamId,
        start: Offset,
        end: Option<Offset>,
    ) -> bool {
        let empty = end.is_some_and(|end| end <= start);
        let wanted = self.paths.get(&id).is_some_and(|path| path.removed.is_none());
        !empty
            && wanted
            && takes_contributions(stream)
            && self.streams.sends(stream)
            && self.granted.record(id, stream, start, end) == Recorded::Kept
    }

    /// A grant carries the window as it is now.
    fn grant_order(&self, stream: StreamId, start: Offset, end: Option<Offset>) -> Order {
        let initial = Offset::ZERO.saturating_add(INITIAL_WINDOW);
        let max_offset = self.scheduler.window(stream).max(initial);
        Order::Grant(Grant { stream, start, end, max_offset })
    }

    /// Sets a stream's priority: its orders carry it from now on, and secondaries send streams of higher ones first. Default 0.
    pub fn set_priority(&mut self, stream: StreamId, priority: i32) {
        // One is kept for each stream that is open, at most.
        let priority = if self.streams.sends(stream) { priority } else { 0 };
        self.scheduler.set_priority(stream, priority);
    }

    /// Streams whose priority is kept.
    #[cfg(test)]
    pub(crate) fn priorities(&self) -> usize {
        self.scheduler.priorities()
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

    /// Whether the local copy of a range that was delegated may still be asked for. A driver drops it when this is false.
    pub fn wants_copy(&self, stream: StreamId, range: ByteRange) -> bool {
        self.scheduler.wants_copy(stream, range)
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

    /// A new connection of a path knows none of its grants: it gets exactly those that it had.
    pub(super) fn renew_grants(&mut self, id: PathId) {
        let mut grants = Vec::new();
        for stream in self.granted.streams_of(id) {
            let allowed = self.granted.allowed(id, stream);
            let bounded = allowed.ranges().map(|range| (range.start(), Some(range.end())));
            let open = allowed.open_from().map(|start| (start, None));
            grants.extend(bounded.chain(open).map(|(from, to)| self.grant_order(stream, from, to)));
        }
        self.order(id, grants);
    }

    /// A path that is granted everything gets the streams that are open already.
    pub(super) fn grant_open_streams(&mut self, id: PathId) {
        let open: Vec<StreamId> = self.streams.ids().collect();
        let grants = open
            .into_iter()
            .filter(|stream| self.note_grant(id, *stream, Offset::ZERO, None))
            .collect::<Vec<_>>();
        let grants =
            grants.into_iter().map(|stream| self.grant_order(stream, Offset::ZERO, None)).collect();
        self.order(id, grants);
    }

    pub(super) fn handle_relay(&mut self, piece: Relay) -> Result<(), ErrorCode> {
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

    pub(super) fn handle_relay_credit(&mut self, credit: RelayCredit) {
        if let Some(path) = self.paths.get_mut(&credit.path) {
            path.outbox.handle_credit(credit.max_bytes);
            self.send_relay(credit.path);
        }
    }

    pub(super) fn send_relay(&mut self, id: PathId) {
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

    pub(super) fn grant_everywhere(&mut self, stream: StreamId) {
        let all = |(id, path): (&PathId, &Path)| path.spec.grant_all.then_some(*id);
        let paths: Vec<PathId> = self.paths.iter().filter_map(all).collect();
        for id in paths {
            self.grant(id, stream, Offset::ZERO, None);
        }
    }

    pub(super) fn decide(
        &mut self,
        decision: Decision,
        orders: &mut BTreeMap<PathId, Vec<Order>>,
        now: Instant,
    ) {
        match decision {
            Decision::Delegate { path, delegation } => {
                if let Some(delegation) = self.provers.want(path, delegation, now) {
                    orders.entry(path).or_default().push(Order::Delegation(delegation));
                }
            }
            Decision::SupplyLocally { stream, range, id } => {
                self.outputs.push_back(Output::Supply { stream, range, delegation: id });
            }
            Decision::CancelLocal { id } => self.outputs.push_back(Output::CancelSupply(id)),
            // What was never ordered needs no revocation.
            Decision::Revoke { stream, delegation, .. }
                if self.provers.withdraw(stream, delegation) => {}
            Decision::Revoke { path, stream, delegation } => {
                let revoke = Revoke { stream, delegation: Some(delegation) };
                orders.entry(path).or_default().push(Order::Revoke(revoke));
            }
            Decision::Unserved { stream, range, reason } => self.tell_gap(stream, range, reason),
            Decision::GiveUp { stream, range, reason } => {
                self.tell_gap(stream, range, reason);
                self.outputs.push_back(Output::Event(Event::Unavailable(stream, range, reason)));
            }
        }
    }

    /// The client, which alone knows what its reader waits for, need not wait for what was never asked of anybody.
    fn tell_gap(&mut self, stream: StreamId, range: ByteRange, reason: GapReason) {
        let gap = Gap { stream, range, reason, path: None, delegation: None };
        self.send(ControlFrame::Gap(gap));
    }

    pub(super) fn order(&mut self, id: PathId, orders: Vec<Order>) {
        if self.closed {
            return;
        }
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
