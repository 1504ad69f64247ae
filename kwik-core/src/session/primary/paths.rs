//! The primary's view of its secondaries: attached, told about by the client, redialled, removed.

use std::net::SocketAddr;
use std::time::Duration;

use kwik_proto::frame::{
    AddPathResult, ControlFrame, ErrorCode, PathState, PathStatus, RemovePath, ServerIdentity,
    TokenRequest,
};
use kwik_proto::{Epoch, PathId};

use super::{Event, Output, PrimarySession};
use crate::delegation::PathView;
use crate::relay::{Inbox, Outbox};
use crate::time::Instant;

/// Secondaries that one session may have. The application is told `Full` beyond it.
pub const MAX_PATHS: usize = 16;
/// How long a removed path may take to finish what it accepted.
const DRAIN: Duration = Duration::from_secs(5);
/// When the primary forgets a removed path that the client never reported as gone.
const FORGET: Duration = Duration::from_secs(10);
/// Removed paths that still drain, at most. The one that was removed first is forgotten: what it owes goes to others.
const MAX_DRAINING: usize = 16;

/// What the scheduler is told of a removed path.
const DRAINING: PathView =
    PathView { state: PathState::Draining, srtt: None, rttvar: Duration::ZERO };

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
    /// The session had as many as there are path numbers.
    #[error("the session has used all {} path numbers", u16::MAX)]
    NumbersUsedUp,
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
pub(in crate::session) struct Path {
    pub(super) spec: PathSpec,
    pub(super) epoch: Epoch,
    pub(super) state: PathState,
    pub(super) smoothed_rtt: Option<Duration>,
    pub(super) received_bytes: u64,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
    /// When it was taken out.
    pub(super) removed: Option<Instant>,
}

impl PrimarySession {
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
        if self.paths.values().filter(|path| path.removed.is_none()).count() >= MAX_PATHS {
            return Err(AddPathError::Full);
        }
        let number = self.next_path.ok_or(AddPathError::NumbersUsedUp)?;
        let id = PathId::new(number);
        self.next_path = number.checked_add(1);
        let path = Path {
            spec,
            epoch: Epoch::FIRST,
            state: PathState::Dialing,
            smoothed_rtt: None,
            received_bytes: 0,
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            removed: None,
        };
        let grant_all = path.spec.grant_all;
        self.paths.insert(id, path);
        self.attach(id);
        self.scheduler.set_path(id, PathView::DIALING, now);
        if grant_all {
            self.grant_open_streams(id);
        }
        Ok(id)
    }

    /// Takes a secondary out: it finishes what it accepted within 5 s, the rest goes to others.
    pub fn remove_path(&mut self, id: PathId, now: Instant) -> bool {
        let Some(path) = self.paths.get_mut(&id) else { return false };
        if path.removed.is_some() {
            return false;
        }
        path.removed = Some(now);
        let gone = path.state == PathState::Gone;
        let drain_ms = u32::try_from(DRAIN.as_millis()).unwrap_or(u32::MAX);
        self.send(ControlFrame::RemovePath(RemovePath { path: id, drain_ms }));
        if gone {
            self.forget_path(id, now);
            return true;
        }
        self.scheduler.set_path(id, DRAINING, now);
        let draining = self.paths.iter().filter_map(|(id, path)| Some((path.removed?, *id)));
        if draining.clone().count() > MAX_DRAINING
            && let Some((_, oldest)) = draining.min()
        {
            self.forget_path(oldest, now);
        }
        true
    }

    /// A removed path is over: nothing is remembered of it, and nothing that is still said about it counts.
    fn forget_path(&mut self, id: PathId, now: Instant) {
        self.paths.remove(&id);
        self.scheduler.remove_path(id, now);
        self.granted.forget_path(id);
        self.issuer.forget(id);
    }

    /// When the next removed path is forgotten, if the client does not speak of it before.
    pub(super) fn next_forgotten(&self) -> Option<Instant> {
        self.paths.values().filter_map(|path| path.removed).min().map(|removed| removed + FORGET)
    }

    pub(super) fn forget_drained(&mut self, now: Instant) {
        let over = |removed: Instant| now >= removed + FORGET;
        let drained: Vec<PathId> = self
            .paths
            .iter()
            .filter(|(_, path)| path.removed.is_some_and(over))
            .map(|(id, _)| *id)
            .collect();
        drained.into_iter().for_each(|id| self.forget_path(id, now));
    }

    /// Every secondary that was added and not removed.
    pub fn paths(&self) -> impl Iterator<Item = PathReport> + '_ {
        self.paths.iter().filter(|(_, path)| path.removed.is_none()).map(|(id, path)| PathReport {
            path: *id,
            addresses: path.spec.addresses.clone(),
            state: path.state,
            smoothed_rtt: path.smoothed_rtt,
            received_bytes: path.received_bytes,
        })
    }

    pub(super) fn handle_path_status(&mut self, status: &PathStatus, now: Instant) {
        if status.path.is_primary() {
            self.scheduler.handle_path_status(status, now);
            return;
        }
        let Some(path) = self.paths.get_mut(&status.path) else { return };
        if status.epoch < path.epoch {
            return;
        }
        let removed = path.removed.is_some();
        let mut status = *status;
        if removed && status.state != PathState::Gone && status.state != PathState::Suspect {
            // It may have been up when the client said so, but it is not wanted any more.
            status.state = PathState::Draining;
            status.reason = Some(ErrorCode::PathRemoved);
        }
        let before = std::mem::replace(&mut path.state, status.state);
        path.received_bytes = status.received_bytes;
        if status.smoothed_rtt_us > 0 {
            path.smoothed_rtt = Some(Duration::from_micros(status.smoothed_rtt_us));
        }
        self.scheduler.handle_path_status(&as_scheduled(status), now);
        if removed && status.state == PathState::Suspect {
            // What it owed went to others; nobody waits for it to wake up.
            self.scheduler.set_path(status.path, DRAINING, now);
        }
        self.note_change(status.path, before, status.state, status.reason, String::new());
        if removed && status.state == PathState::Gone {
            self.forget_path(status.path, now);
        }
    }

    pub(super) fn note_change(
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

    pub(super) fn handle_add_path_result(&mut self, result: AddPathResult, now: Instant) {
        let Some(path) = self.paths.get_mut(&result.path) else { return };
        if result.epoch != path.epoch {
            return;
        }
        let up = result.code == ErrorCode::None;
        if path.removed.is_some() {
            if !up {
                self.forget_path(result.path, now);
            }
            return;
        }
        let before = path.state;
        path.state = if up { PathState::Live } else { PathState::Gone };
        let view = PathView { state: path.state, srtt: path.smoothed_rtt, rttvar: Duration::ZERO };
        let after = path.state;
        self.scheduler.set_path(result.path, view, now);
        self.note_change(result.path, before, after, Some(result.code), result.detail);
    }

    pub(super) fn handle_token_request(&mut self, request: TokenRequest) {
        let Some(path) = self.paths.get_mut(&request.path) else { return };
        if path.removed.is_some() || request.epoch != path.epoch {
            return;
        }
        path.epoch = path.epoch.next();
        path.state = PathState::Dialing;
        // Messages are numbered anew with each epoch, on both ends.
        (path.outbox, path.inbox) = (Outbox::default(), Inbox::default());
        self.attach(request.path);
        self.renew_grants(request.path);
    }

    pub(super) fn attach(&mut self, id: PathId) {
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
}

/// A path that is dialled again may be dead for good: nothing is delegated to it before it is Live. (The first dial is
/// different: orders travel with AddPath, so that a new path costs no round trip more.)
fn as_scheduled(mut status: PathStatus) -> PathStatus {
    let redialled = status.epoch > Epoch::FIRST;
    if redialled && matches!(status.state, PathState::Dialing | PathState::Proving) {
        status.state = PathState::Gone;
    }
    status
}
