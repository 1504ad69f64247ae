//! What the primary orders: read to keep account, and passed on.

use std::collections::BTreeSet;

use kwik_proto::frame::{
    ControlFrame, Delegation, ErrorCode, Gap, GapReason, Grant, Order, Orders, PathState,
    SignedOrders, StreamClosed, StreamWindow,
};
use kwik_proto::{ByteRange, PathId, StreamId};

use super::conflict::isolated;
use super::{ClientSession, Output};
use crate::grant::Recorded;
use crate::mapping::takes_contributions;
use crate::path::secondary::Path;
use crate::time::Instant;

/// Orders that wait for a path's connection, at most. Beyond it the ranges go back to the primary as Busy.
const MAX_WAITING_ORDERS: usize = 64;

impl ClientSession {
    /// Reads orders to keep account, and passes them on as they are.
    pub(super) fn handle_orders(
        &mut self,
        signed: SignedOrders,
        now: Instant,
    ) -> Result<(), ErrorCode> {
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
            self.pass_orders(path, signed, &orders);
            for order in &orders.orders {
                if let Order::Grant(grant) = order {
                    self.send_window(path, grant.stream);
                }
            }
            if self.paths.path(path).is_some_and(Path::is_leaving) {
                // Ordered before the primary knew. The server refuses it too, if it still hears of it.
                self.hand_back_orders(path, &orders, now);
            }
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

    /// To the path's server, as they came.
    pub(super) fn pass_orders(&mut self, path: PathId, signed: SignedOrders, orders: &Orders) {
        self.send(path, ControlFrame::Orders(signed));
        for order in &orders.orders {
            if let Order::Relay(relay) = order {
                self.credits.entry(path).or_default().handle_sent(relay.piece.len());
            }
        }
        self.end_late_orders(path, orders);
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
    fn end_late_orders(&mut self, path: PathId, orders: &Orders) {
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
        self.note_debt(path, now);
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
                let ids = match revoke.delegation {
                    Some(id) => vec![id],
                    None => {
                        let all = self.promises.of(revoke.stream, path);
                        all.into_iter().map(|(id, _)| id).collect()
                    }
                };
                for id in ids {
                    self.promises.revoke(path, id, now);
                }
                self.note_debt(path, now);
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
        if let Some(hash) = delegation.blake3.filter(|_| refused.is_none()) {
            // Told to the half before the order goes on: `Service` comes first.
            self.hashes.entry(stream).or_default().push((range, hash));
        }
        self.watch(stream);
        if let Some(watch) = self.watches.get_mut(&stream) {
            watch.asked_anew(range);
        }
        self.promises.record(path, delegation.id, stream, range, now);
        if let Some(reason) = refused {
            self.hand_back_order(path, delegation, reason, now);
        }
        self.note_debt(path, now);
        self.outputs.push_back(Output::Service(stream));
    }

    /// Nobody can be asked for bytes of a stream, by the primary's word: the reader waits for them no longer than for any
    /// that nobody promised.
    pub(super) fn handle_unserved(&mut self, gap: &Gap) -> Result<(), ErrorCode> {
        self.announce_target(gap.stream)?;
        self.watch(gap.stream);
        if let Some(watch) = self.watches.get_mut(&gap.stream) {
            watch.note_unserved(gap.range);
            self.outputs.push_back(Output::Service(gap.stream));
        }
        Ok(())
    }

    /// A grant or delegation announces its stream: it exists, but accept waits for the primary's header.
    fn announce_target(&mut self, stream: StreamId) -> Result<(), ErrorCode> {
        if !takes_contributions(stream) {
            return Err(ErrorCode::StreamState);
        }
        self.streams.announce(stream, false).map(|_| ())
    }
}
