//! A path as the scheduler sees it: somebody who may be asked for bytes.

use std::time::Duration;

use kwik_proto::PathId;
use kwik_proto::frame::{ErrorCode, PathState, PathStatus};

use super::config::DelegationConfig;
use super::constants::{
    DIAL_GRACE, DIAL_TURNS, FRAME, LONG, RATE_HORIZON, SHORTEST_STALL, STOPPED,
};
use super::forecast::{self, Forecast};
use super::outcome::{PathShare, PathView};
use super::pick::Standing;
use super::rate::{Allowance, PathRate};
use crate::time::Instant;

/// A source of bytes: a secondary path, or the primary itself.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: PathId,
    pub(super) state: PathState,
    /// It drains because its server goes away: it is dialled again.
    pub(super) leaving: bool,
    srtt: Option<Duration>,
    rate: PathRate,
    allowance: Allowance,
    /// Missing bytes of its live delegations.
    pub(super) outstanding: u64,
    /// Part of `outstanding` that it was not asked for yet: the orders wait for a proof.
    pub(super) unproven: u64,
    pub(super) assigned: u64,
    /// Bytes that progress reports ascribe to it.
    pub(super) delivered: u64,
    /// The client's counter of bytes received from it, duplicates included.
    pub(super) received: u64,
    /// Part of `received` that is known to be duplicates.
    duplicates: u64,
    paused_until: Option<Instant>,
    pause: Duration,
    /// When a range of it was late, and what it had delivered in all by then: the beginning of a silence.
    late: Option<(Instant, u64)>,
    /// When it failed, if it has not kept a promise since.
    on_trial: Option<Instant>,
    /// What was measured of it may be wrong by now.
    outdated: bool,
    /// When it was first asked for something, while it is dialled.
    asked_first: Option<Instant>,
    /// It should have answered long ago.
    unreached: bool,
    /// Since when it has had nothing to do.
    idle_since: Instant,
}

impl Source {
    pub(super) fn new(path: PathId, view: PathView, config: &DelegationConfig) -> Self {
        Self {
            path,
            state: view.state,
            leaving: false,
            srtt: view.srtt,
            rate: PathRate::new(FRAME),
            allowance: Allowance::new(config.first_range),
            outstanding: 0,
            unproven: 0,
            assigned: 0,
            delivered: 0,
            received: 0,
            duplicates: 0,
            paused_until: None,
            pause: Duration::ZERO,
            late: None,
            on_trial: None,
            outdated: false,
            asked_first: None,
            unreached: false,
            idle_since: Instant::ZERO,
        }
    }

    pub(super) fn set_view(&mut self, view: PathView) {
        self.set_state(view.state);
        self.leaving = false;
        self.srtt = view.srtt.or(self.srtt);
    }

    fn set_state(&mut self, state: PathState) {
        self.state = state;
        if !self.is_dialing() {
            self.asked_first = None;
            self.unreached = false;
        }
    }

    fn is_dialing(&self) -> bool {
        matches!(self.state, PathState::Dialing | PathState::Proving)
    }

    /// It is asked for a range.
    pub(super) fn asked(&mut self, now: Instant) {
        if self.is_dialing() && self.asked_first.is_none() {
            self.asked_first = Some(now);
        }
    }

    /// While it is dialled with something owed: when its first byte is to be expected, and when it is long overdue.
    fn dial_dues(&self, primary_rtt: Duration) -> Option<(Instant, Instant)> {
        let (since, latency) = (self.asked_first?, self.latency(primary_rtt));
        Some((since + latency, since + latency * 2 + DIAL_GRACE))
    }

    /// When to look at a dial again.
    pub(super) fn dial_due(&self, primary_rtt: Duration, now: Instant) -> Option<Instant> {
        let (expected, overdue) = self.dial_dues(primary_rtt).filter(|_| !self.unreached)?;
        Some(if expected > now { expected } else { overdue })
    }

    pub(super) fn judge_dial(&mut self, primary_rtt: Duration, now: Instant) {
        self.unreached |= self.dial_dues(primary_rtt).is_some_and(|(_, overdue)| overdue <= now);
    }

    /// Whether it owes something, and should have answered by now.
    pub(super) fn is_slow_to_answer(&self, primary_rtt: Duration, now: Instant) -> bool {
        let due = self.dial_dues(primary_rtt);
        self.outstanding > 0 && due.is_some_and(|(expected, _)| expected <= now)
    }

    /// Whether it is being dialled for far longer than that should take.
    pub(super) fn is_unreached(&self) -> bool {
        self.unreached
    }

    /// Takes the client's report; `complete`: every progress report so far named all that the client holds.
    pub(super) fn handle_status(&mut self, status: &PathStatus, complete: bool) {
        self.set_state(status.state);
        self.leaving =
            (status.state, status.reason) == (PathState::Draining, Some(ErrorCode::GoingAway));
        if status.smoothed_rtt_us > 0 {
            self.srtt = Some(Duration::from_micros(status.smoothed_rtt_us));
        }
        self.received = self.received.max(status.received_bytes);
        if complete {
            self.duplicates = self.received.saturating_sub(self.delivered);
        }
        let horizon = RATE_HORIZON.max(self.round_trip());
        let busy = Duration::from_micros(status.busy_us);
        if self.outstanding == 0 {
            self.rate.forget_unasked(status.received_bytes, busy);
        }
        self.rate.update(status.received_bytes, busy, horizon);
    }

    pub(super) fn set_rtt(&mut self, rtt: Duration) {
        self.srtt = Some(rtt);
    }

    /// Whether new ranges may go to it at all.
    pub(super) fn able(&self, now: Instant) -> bool {
        let open = matches!(self.state, PathState::Dialing | PathState::Proving | PathState::Live);
        open && self.paused_until.is_none_or(|until| until <= now)
    }

    /// When a pause ends, if one is running.
    pub(super) fn pause_end(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|&until| until > now)
    }

    /// Asks it for nothing for a while, longer each time until it delivers again.
    pub(super) fn pause(&mut self, config: &DelegationConfig, now: Instant) {
        // What else it was asked for before fails for the same cause.
        if self.pause_end(now).is_none() {
            self.pause = (self.pause * 2).clamp(config.pause_first, config.pause_longest);
            self.paused_until = Some(now + self.pause);
        }
        self.on_trial = Some(now);
    }

    /// Asks it for nothing for a while. Not longer each time: a silence may be the network's, and then all are silent.
    pub(super) fn pause_once(&mut self, config: &DelegationConfig, now: Instant) {
        self.pause = config.pause_first;
        self.paused_until = Some(now + self.pause);
        self.on_trial = Some(now);
    }

    fn rtt(&self, unknown: Duration) -> Duration {
        self.srtt.unwrap_or(unknown)
    }

    /// Its round trip, as far as it is known.
    pub(super) fn round_trip(&self) -> Duration {
        self.srtt.unwrap_or_default()
    }

    /// L: what is decided now shows its effect that much later.
    pub(super) fn turn(&self, primary_rtt: Duration, config: &DelegationConfig) -> Duration {
        let report = config.report_interval.max(primary_rtt / 8);
        let own = if self.path.is_primary() { Duration::ZERO } else { self.rtt(primary_rtt) };
        primary_rtt + own + report
    }

    /// Time until the first byte of an order given now reaches the client, where the path has nothing else to send.
    fn latency(&self, primary_rtt: Duration) -> Duration {
        if self.path.is_primary() {
            return primary_rtt / 2;
        }
        let unknown = if primary_rtt.is_zero() { SHORTEST_STALL } else { primary_rtt };
        let turns = if self.state == PathState::Live { 1 } else { DIAL_TURNS };
        primary_rtt / 2 + self.rtt(unknown) * turns
    }

    /// Bytes per second, measured or assumed. A measurement that nothing renews is believed less and less: it doubles
    /// with each idle second, up to what is assumed of a stranger. Else a path that was slow once would never be asked
    /// again.
    fn rate_or(&self, assumed: u64, now: Instant) -> f64 {
        let Some(rate) = self.rate.estimate() else { return assumed.max(1) as f64 };
        if self.outstanding > 0 || rate >= assumed {
            // Nothing at all where it owes bytes and none come: then anybody is sooner, also one that is taken for as slow.
            return rate as f64;
        }
        let idle = now.since(self.idle_since).as_secs_f64();
        ((rate.max(1) as f64 * idle.exp2()) as u64).min(assumed).max(1) as f64
    }

    /// It owes `bytes` more.
    pub(super) fn owes_more(&mut self, bytes: u64) {
        self.outstanding += bytes;
    }

    /// It owes `bytes` less.
    pub(super) fn owes_less(&mut self, bytes: u64, now: Instant) {
        if self.outstanding > 0 && self.outstanding <= bytes {
            self.idle_since = now;
        }
        self.outstanding = self.outstanding.saturating_sub(bytes);
    }

    /// What was measured before it fell silent says nothing about it afterwards.
    pub(super) fn fell_silent(&mut self, config: &DelegationConfig, now: Instant) {
        self.on_trial = Some(now);
        self.rate.forget();
        self.allowance = Allowance::new(config.first_range);
        self.late = None;
    }

    /// Bytes that are on the way, less such as arrived beyond the end of the last report.
    pub(super) fn owed(&self) -> u64 {
        self.claimed().saturating_sub(self.unproven)
    }

    /// The same with those that it was not asked for yet.
    pub(super) fn claimed(&self) -> u64 {
        let unseen = self.received.saturating_sub(self.delivered.saturating_add(self.duplicates));
        self.outstanding.saturating_sub(unseen)
    }

    /// Bytes to keep outstanding.
    pub(super) fn target(&self, primary_rtt: Duration, config: &DelegationConfig) -> u64 {
        let turn = self.turn(primary_rtt, config).as_secs_f64();
        let turnover = self.rate.estimate().map(|rate| rate as f64 * turn);
        let early = self.received < config.first_range;
        self.allowance.target(turnover, config.outstanding_gain, config.floor * 2, early)
    }

    /// Whether it owes less than it should.
    pub(super) fn has_room(&self, primary_rtt: Duration, config: &DelegationConfig) -> bool {
        self.owed() < self.target(primary_rtt, config)
    }

    /// Whether it failed, and could show now that it works again.
    pub(super) fn is_up_for_trial(&self, now: Instant) -> bool {
        self.is_doubtful() && self.able(now) && !self.is_dialing() && self.outstanding == 0
    }

    /// A rate that was measured across a silence (its own, or the client's, which was stopped) is near zero: who is judged by
    /// it is never asked again. So one that is far below `assumed` is doubted after a while, and its source tried.
    pub(super) fn doubt_old_rate(&mut self, assumed: u64, now: Instant) {
        let slow =
            self.rate.estimate().is_some_and(|rate| (rate as f64) < assumed as f64 / STOPPED);
        let idle = self.outstanding == 0 && now.since(self.idle_since) >= LONG;
        self.outdated |= slow && idle && !self.path.is_primary();
    }

    /// Whether nobody should count on what it owes.
    pub(super) fn is_doubtful(&self) -> bool {
        self.on_trial.is_some() || self.unreached || self.outdated
    }

    /// Whether its last failure is as long ago as the longest pause after one.
    pub(super) fn was_left_alone(&self, now: Instant, config: &DelegationConfig) -> bool {
        self.on_trial.is_some_and(|since| now.since(since) >= config.pause_longest)
    }

    /// When its bytes arrive. Before anything was measured it is taken to move `assumed_rate` bytes per second, and nothing
    /// drains while its first order travels.
    pub(super) fn forecast(
        &self,
        assumed_rate: u64,
        primary_rtt: Duration,
        now: Instant,
    ) -> Forecast {
        let rate = self.rate_or(assumed_rate, now);
        Forecast::new(rate, self.owed(), self.latency(primary_rtt), self.is_measured())
    }

    /// Whether its rate was measured.
    pub(super) fn is_measured(&self) -> bool {
        self.rate.estimate().is_some()
    }

    /// How it compares with others for the next range.
    pub(super) fn standing(
        &self,
        assumed_rate: u64,
        primary_rtt: Duration,
        config: &DelegationConfig,
        now: Instant,
    ) -> Standing {
        let target = self.target(primary_rtt, config);
        Standing {
            path: self.path,
            forecast: self.forecast(assumed_rate, primary_rtt, now),
            size: (target / 2).clamp(config.floor, config.ceiling),
            has_room: self.owed() < target,
            on_trial: self.on_trial.is_some() || self.unreached,
            dialing: self.is_dialing(),
        }
    }

    /// It is not counted on until it keeps a promise.
    pub(super) fn doubted(&mut self, now: Instant) {
        self.on_trial = Some(now);
    }

    /// It works again: the next failure is its first.
    pub(super) fn delivered_again(&mut self) {
        self.pause = Duration::ZERO;
        self.on_trial = None;
        self.outdated = false;
    }

    /// A delegation of this path was delivered in full.
    pub(super) fn range_done(&mut self, turn: Duration, now: Instant) {
        self.delivered_again();
        self.allowance.range_done(self.rate.estimate(), turn, now);
    }

    /// A delegation of this path was late.
    pub(super) fn range_late(
        &mut self,
        primary_rtt: Duration,
        config: &DelegationConfig,
        now: Instant,
    ) {
        self.allowance.range_late(self.target(primary_rtt, config));
        if self.late.is_none_or(|(_, received)| received != self.received) {
            self.late = Some((now, self.received));
        }
    }

    /// Whether a range of it was late not long ago.
    pub(super) fn was_late_within(&self, time: Duration, now: Instant) -> bool {
        self.late.is_some_and(|(since, _)| now.since(since) < time)
    }

    /// It is silent, and nobody could take its place: looked at again after as long a silence.
    pub(super) fn silent_still(&mut self, now: Instant) {
        self.late = Some((now, self.received));
    }

    /// When its lateness becomes silence, unless a byte arrives before.
    pub(super) fn silence_due(
        &self,
        primary_rtt: Duration,
        config: &DelegationConfig,
    ) -> Option<Instant> {
        let (since, received) = self.late?;
        (received == self.received).then(|| since + self.longest_silence(primary_rtt, config))
    }

    /// How long it may deliver nothing that it owes.
    pub(super) fn longest_silence(
        &self,
        primary_rtt: Duration,
        config: &DelegationConfig,
    ) -> Duration {
        forecast::longest_silence(self.rate.estimate(), self.turn(primary_rtt, config))
    }

    pub(super) fn share(&self) -> PathShare {
        PathShare {
            assigned_bytes: self.assigned,
            delivered_bytes: self.delivered,
            outstanding_bytes: self.outstanding,
            rate: self.rate.estimate(),
        }
    }
}
