//! What is left of a session whose primary is gone: delegations that were accepted run while they progress.

use std::collections::BTreeMap;
use std::time::Duration;

use kwik_proto::frame::{CarrierKind, ErrorCode, PathState};
use kwik_proto::{PathId, StreamId};

use super::{ClientSession, Output};
use crate::session::streams::StreamAction;
use crate::stream::{Failure, ReceiveHalf};
use crate::time::Instant;

/// The streams of an orphaned session that may still get bytes.
#[derive(Debug)]
pub(super) struct Orphans {
    /// Until when the next byte has to come.
    streams: BTreeMap<StreamId, Instant>,
    reason: String,
}

impl Orphans {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.streams.values().min().copied()
    }

    /// Bytes of a stream came: the next ones have their time.
    pub(super) fn handle_progress(&mut self, id: StreamId, until: Instant) {
        if let Some(due) = self.streams.get_mut(&id) {
            *due = until;
        }
    }

    fn overdue(&mut self, now: Instant) -> Option<StreamId> {
        let (&id, _) = self.streams.iter().find(|(_, due)| **due <= now)?;
        self.streams.remove(&id);
        Some(id)
    }
}

impl ClientSession {
    /// QUIC says that the primary connection is over.
    ///
    /// Nothing is forwarded any more. What secondaries were ordered to send may come while it makes progress
    /// ([`SessionConfig::gap_timeout`](crate::session::SessionConfig::gap_timeout) without a byte ends a stream's hope);
    /// every contiguous byte can be read. Tell the ends of the primary's carriers as usual. The session is over with
    /// [`Output::Close`], at once if nothing is under way.
    pub fn handle_primary_lost(&mut self, reason: &str, now: Instant) {
        if self.closed || self.orphans.is_some() {
            return;
        }
        let until = now + self.config.gap_timeout;
        let ids: Vec<StreamId> =
            self.streams.ids().filter(|id| self.streams.receives(*id)).collect();
        let streams = ids.iter().map(|id| (*id, until)).collect();
        self.orphans = Some(Orphans { streams, reason: reason.into() });
        self.tell_primary_state();
        self.outputs.push_back(Output::Orphaned);
        self.promises.path_gone(PathId::PRIMARY, now);
        let unconnected = |state| matches!(state, PathState::Dialing | PathState::Gone);
        let idle: Vec<PathId> = self
            .paths
            .iter()
            .filter(|path| unconnected(path.state()))
            .map(|path| path.id())
            .collect();
        for path in idle {
            self.give_path_up(path, now);
        }
        self.outputs.extend(ids.into_iter().map(Output::Service));
        self.end_orphaned();
    }

    /// Nobody can send the path an order, or a token for another try.
    pub(super) fn give_path_up(&mut self, path: PathId, now: Instant) {
        if let Some(transition) = self.paths.remove(path, Duration::ZERO, now) {
            self.carry_out(transition, now);
        }
    }

    /// Whether the stream has everything, can get more, or has to fail.
    pub(super) fn judge_orphan(&mut self, id: StreamId, half: &ReceiveHalf) {
        let settled = half.is_finished() || half.is_complete();
        if !settled && self.has_hope(id, half) {
            return;
        }
        let Some(orphans) = &mut self.orphans else { return };
        if orphans.streams.remove(&id).is_some() && !settled {
            self.act(StreamAction::Fail(id, Failure::SessionEnded));
        }
        self.end_orphaned();
    }

    /// Whether a secondary may still send the next byte.
    fn has_hope(&self, id: StreamId, half: &ReceiveHalf) -> bool {
        let feeds = |key: (PathId, u64)| {
            let contributes = |entry: &super::Carrier| entry.kind == CarrierKind::Contribution;
            !key.0.is_primary() && self.carriers.get(&key).is_some_and(contributes)
        };
        self.promises.is_owed(id, half.contiguous_end()) || self.mapping.carriers_of(id).any(feeds)
    }

    pub(super) fn fail_overdue_orphans(&mut self, now: Instant) {
        while let Some(id) = self.orphans.as_mut().and_then(|orphans| orphans.overdue(now)) {
            self.act(StreamAction::Fail(id, Failure::SessionEnded));
        }
        self.end_orphaned();
    }

    fn end_orphaned(&mut self) {
        let Some(orphans) = &mut self.orphans else { return };
        if orphans.streams.is_empty() {
            let reason = std::mem::take(&mut orphans.reason);
            self.end(ErrorCode::SessionClosed, None, reason);
        }
    }
}
