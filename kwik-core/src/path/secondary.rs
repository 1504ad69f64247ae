//! One secondary path of a client session, over all its epochs.

use std::net::SocketAddr;
use std::time::Duration;

use kwik_proto::frame::{AddPath, ErrorCode, PathState, PathStatus, ServerIdentity, Token};
use kwik_proto::{Epoch, PathId};

use super::account::Account;
use super::backoff::Backoff;
use super::deadline::{Deadline, Fired};
use super::lifecycle::{PathEffect, PathEvent, transition};
use super::liveness::{Heard, Liveness, Verdict};
use crate::time::Instant;

/// Whom to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Addresses that the policy allows, the best first.
    pub addresses: Vec<SocketAddr>,
    /// Whom to expect there.
    pub identity: ServerIdentity,
}

/// Why a path is where it is, and for how long a server wants to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What PathStatus and AddPathResult say.
    pub code: ErrorCode,
    /// Least pause before a redial, from a Refuse.
    pub retry_after: Duration,
}

impl From<ErrorCode> for Cause {
    fn from(code: ErrorCode) -> Self {
        Self { code, retry_after: Duration::ZERO }
    }
}

/// What an event did to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The path.
    pub path: PathId,
    /// Its epoch; after [`PathEvent::Replaced`] the new one.
    pub epoch: Epoch,
    /// The epoch that the effects [`PathEffect::Answer`], [`PathEffect::HandBack`] and [`PathEffect::Close`] are
    /// about; differs from `epoch` after [`PathEvent::Replaced`] alone.
    pub ended: Epoch,
    /// The state before.
    pub from: PathState,
    /// The state now.
    pub to: PathState,
    /// Why, where there is a reason.
    pub reason: Option<ErrorCode>,
    /// What to do, in order.
    pub effects: &'static [PathEffect],
}

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathWork {
    /// Dial the path's target now.
    Dial {
        /// The path.
        path: PathId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Send a Ping on the path.
    Ping {
        /// The path.
        path: PathId,
    },
    /// Send the primary a TokenRequest.
    RequestToken {
        /// The path.
        path: PathId,
        /// The epoch that ended.
        epoch: Epoch,
    },
    /// A clock changed a path's state.
    Changed(Transition),
}

/// One secondary path, over all its epochs. Made and owned by the [`PathTable`](super::table::PathTable).
///
/// The session tells it what happens on the connection; what that changes comes back as a [`Transition`], or later
/// from the table as [`PathWork`].
#[derive(Clone, Debug)]
pub struct Path {
    id: PathId,
    epoch: Epoch,
    target: Target,
    token: Token,
    state: PathState,
    reason: Option<ErrorCode>,
    wanted: bool,
    owes: bool,
    outstanding: bool,
    smoothed_rtt: Option<Duration>,
    rtt_variation: Duration,
    account: Account,
    backoff: Backoff,
    /// Runs from Live to the end of the epoch.
    liveness: Option<Liveness>,
    /// When to dial, or, in Gone, to ask for a token.
    start: Option<Instant>,
    /// End of the time for dialling, or for draining.
    limit: Deadline,
    dial_time: Duration,
    drain_time: Duration,
}

impl Path {
    /// Longest time for draining that a server which goes away may ask for: an hour. It keeps the path's slot meanwhile.
    pub const MAX_GRACE: Duration = Duration::from_secs(3600);
    /// Longest time for draining after a removal: 5 s.
    pub const MAX_DRAIN: Duration = Duration::from_secs(5);

    pub(super) fn new(add: AddPath, start: Instant, dial_time: Duration, seed: u64) -> Self {
        Self {
            id: add.path,
            epoch: add.epoch,
            target: Target { addresses: add.addresses, identity: add.identity },
            token: add.token,
            state: PathState::Dialing,
            reason: None,
            wanted: true,
            owes: false,
            outstanding: false,
            smoothed_rtt: None,
            rtt_variation: Duration::ZERO,
            account: Account::default(),
            backoff: Backoff::new(seed),
            liveness: None,
            start: Some(start),
            limit: Deadline::unset(),
            dial_time,
            drain_time: Self::MAX_DRAIN,
        }
    }

    /// The path's number.
    pub fn id(&self) -> PathId {
        self.id
    }

    /// Which try this is.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whom it connects to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The token for the Hello. Empty while the path is Gone: a token serves one epoch.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Where it stands.
    pub fn state(&self) -> PathState {
        self.state
    }

    /// Why it is Suspect, Draining or Gone.
    pub fn reason(&self) -> Option<ErrorCode> {
        self.reason
    }

    /// Whether the primary still wants it: it is dialled again when it is lost.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Smoothed RTT; `None` before the first sample.
    pub fn smoothed_rtt(&self) -> Option<Duration> {
        self.smoothed_rtt
    }

    /// RTT variation.
    pub fn rtt_variation(&self) -> Duration {
        self.rtt_variation
    }

    /// What it has brought.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Tries in a row that did not last.
    pub fn tries(&self) -> u32 {
        self.backoff.tries()
    }

    /// What the primary is told.
    pub fn status(&self, now: Instant) -> PathStatus {
        PathStatus {
            path: self.id,
            epoch: self.epoch,
            state: self.state,
            reason: self.reason,
            smoothed_rtt_us: self.smoothed_rtt.map_or(0, micros),
            rtt_variation_us: micros(self.rtt_variation),
            received_bytes: self.account.received_bytes(),
            busy_us: micros(self.account.busy(now)),
        }
    }

    /// A datagram, a Pong or bytes arrived on the connection of the path's epoch. Heals a Suspect path.
    pub fn handle_activity(&mut self, now: Instant) -> Option<Transition> {
        match self.liveness.as_mut()?.handle_activity(now) {
            Heard::Usual => None,
            Heard::Healed => self.apply(PathEvent::Heard, ErrorCode::None.into(), now),
        }
    }

    /// Whether the path owes bytes: promised, not arrived, and no window in the way.
    pub fn handle_owes(&mut self, owes: bool, now: Instant) {
        self.owes = owes;
        if let Some(liveness) = &mut self.liveness {
            liveness.handle_owes(owes, now);
        }
    }

    /// Whether the path has work outstanding. Time counts only while it is Live or Draining.
    pub fn handle_outstanding(&mut self, outstanding: bool, now: Instant) {
        self.outstanding = outstanding;
        self.keep_account(now);
    }

    /// Bytes of contributions arrived, duplicates included.
    pub fn handle_received(&mut self, bytes: u64) {
        self.account.handle_received(bytes);
    }

    /// QUIC measured the path.
    pub fn handle_rtt(&mut self, smoothed: Duration, variation: Duration) {
        self.smoothed_rtt = Some(smoothed);
        self.rtt_variation = variation;
        if let Some(liveness) = &mut self.liveness {
            liveness.handle_rtt(smoothed, variation);
        }
    }

    /// When [`Path::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let clocks = self.liveness.as_ref().and_then(Liveness::poll_timeout);
        [self.start, self.limit.poll_timeout(), clocks].into_iter().flatten().min()
    }

    /// One thing that is due, or `None` when a timer only moved.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<PathWork> {
        if self.start.is_some_and(|start| start <= now) {
            return Some(self.begin(now));
        }
        if self.limit.handle_timeout(now) == Fired::Yes {
            let (event, code) = match self.state {
                PathState::Dialing => (PathEvent::DialTimeout, ErrorCode::Unreachable),
                PathState::Proving => (PathEvent::DialTimeout, ErrorCode::HandshakeTimeout),
                PathState::Live | PathState::Suspect | PathState::Draining | PathState::Gone => {
                    (PathEvent::DrainTimeout, self.drained_code())
                }
            };
            return self.apply(event, code.into(), now).map(PathWork::Changed);
        }
        let event = match self.liveness.as_mut()?.handle_timeout(now) {
            Verdict::Nothing => return None,
            Verdict::Ping => return Some(PathWork::Ping { path: self.id }),
            Verdict::Suspect => PathEvent::Silent,
            Verdict::Gone => PathEvent::TeardownTimeout,
        };
        self.apply(event, ErrorCode::PathTimeout.into(), now).map(PathWork::Changed)
    }

    fn begin(&mut self, now: Instant) -> PathWork {
        self.start = None;
        let (path, epoch) = (self.id, self.epoch);
        if self.state == PathState::Gone {
            return PathWork::RequestToken { path, epoch };
        }
        self.limit.arm(now, self.dial_time);
        PathWork::Dial { path, epoch }
    }

    /// The primary does not want the path any more; it may drain for that long.
    pub(super) fn remove(&mut self, drain: Duration, now: Instant) -> Option<Transition> {
        let leaves = self.wanted && self.state == PathState::Draining;
        self.wanted = false;
        self.start = None;
        self.drain_time = drain.min(Self::MAX_DRAIN);
        if leaves {
            // It goes away by itself already: now it has no longer than this.
            self.limit.arm(now, self.drain_time);
        }
        self.apply(PathEvent::Remove, ErrorCode::PathRemoved.into(), now)
    }

    /// The server goes away within that time. The path is still wanted: it is dialled again after its end.
    pub(super) fn leave(&mut self, grace: Duration, now: Instant) -> Option<Transition> {
        self.drain_time = grace.min(Self::MAX_GRACE);
        self.apply(PathEvent::Leaving, ErrorCode::GoingAway.into(), now)
    }

    /// Whether its server goes away: it takes no further orders.
    pub(crate) fn is_leaving(&self) -> bool {
        self.state == PathState::Draining && self.wanted
    }

    /// What the end of draining is told as.
    pub(crate) fn drained_code(&self) -> ErrorCode {
        if self.wanted { ErrorCode::GoingAway } else { ErrorCode::PathRemoved }
    }

    /// The primary names the path anew; it may dial at `start`.
    pub(super) fn replace(
        &mut self,
        add: AddPath,
        start: Instant,
        now: Instant,
    ) -> Option<Transition> {
        let ended = self.epoch;
        self.epoch = add.epoch;
        self.target.addresses = add.addresses;
        self.token = add.token;
        self.wanted = true;
        let changed = self.apply(PathEvent::Replaced, ErrorCode::PathRemoved.into(), now);
        self.start = Some(start);
        changed.map(|changed| Transition { ended, ..changed })
    }

    /// Puts an event through the transition function and keeps the clocks in step with the state.
    pub(super) fn apply(
        &mut self,
        event: PathEvent,
        cause: Cause,
        now: Instant,
    ) -> Option<Transition> {
        let from = self.state;
        let (to, effects) = transition(from, event);
        if to == from && effects.is_empty() {
            return None;
        }
        self.state = to;
        let told =
            Some(cause.code).filter(|&code| code != ErrorCode::None && to != PathState::Live);
        self.reason = told.or(self.reason).filter(|_| is_ending(to));
        if is_attached(from) && !is_attached(to) {
            self.detach(now);
        }
        for effect in effects {
            self.prepare(*effect, cause, now);
        }
        if to == PathState::Gone {
            self.token = Token::default();
            self.wanted = self.start.is_some();
        }
        self.keep_account(now);
        let (path, epoch) = (self.id, self.epoch);
        Some(Transition { path, epoch, ended: epoch, from, to, reason: told, effects })
    }

    fn detach(&mut self, now: Instant) {
        self.backoff.handle_lost(now);
        self.liveness = None;
        self.limit.disarm();
    }

    fn prepare(&mut self, effect: PathEffect, cause: Cause, now: Instant) {
        match effect {
            PathEffect::Watch => self.watch(now),
            PathEffect::Drain => self.limit.arm(now, self.drain_time),
            PathEffect::Redial if self.wanted => {
                self.start = Some(now + self.backoff.next_pause().max(cause.retry_after));
            }
            PathEffect::Close => {
                self.limit.disarm();
                self.start = None;
            }
            PathEffect::Redial
            | PathEffect::Greet
            | PathEffect::Answer
            | PathEffect::Report
            | PathEffect::HandBack
            | PathEffect::Dial => {}
        }
    }

    fn watch(&mut self, now: Instant) {
        let mut liveness = Liveness::new(now);
        if let Some(smoothed) = self.smoothed_rtt {
            liveness.handle_rtt(smoothed, self.rtt_variation);
        }
        liveness.handle_owes(self.owes, now);
        self.liveness = Some(liveness);
        self.backoff.handle_live(now);
        self.limit.disarm();
    }

    fn keep_account(&mut self, now: Instant) {
        let working = matches!(self.state, PathState::Live | PathState::Draining);
        self.account.handle_outstanding(self.outstanding && working, now);
    }
}

/// Whether a path in that state is admitted at its server.
fn is_attached(state: PathState) -> bool {
    matches!(state, PathState::Live | PathState::Suspect | PathState::Draining)
}

fn is_ending(state: PathState) -> bool {
    matches!(state, PathState::Suspect | PathState::Draining | PathState::Gone)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
