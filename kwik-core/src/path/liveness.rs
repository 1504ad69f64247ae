//! Two of a path's three clocks: when its silence makes it Suspect, and when a Suspect path is given up.
//!
//! The third, the clock of a range, belongs to the gaps: a path that answers but delivers nothing of a range is slow,
//! not dead.

use std::time::Duration;

use super::deadline::{Deadline, Fired};
use crate::time::Instant;

/// What the clocks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to do.
    Nothing,
    /// Send a Ping: an answer in time proves the path.
    Ping,
    /// Silent for too long while it owes bytes.
    Suspect,
    /// Suspect for too long. The clocks have stopped.
    Gone,
}

/// What a sign of life changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing: the path was not Suspect.
    Usual,
    /// The path was Suspect and is well again.
    Healed,
}

/// The clocks of one path that is Live or Suspect.
///
/// A path is silent while neither a datagram nor a Pong arrives. Silence counts from the last sign of life or from
/// the moment the path began to owe bytes, whichever is later: a path that owes nothing may be silent for ever. After
/// half of the limit a Ping is due, so that a server whose application sleeps still proves itself.
///
/// Costs a few additions per sign of life; call [`Liveness::handle_activity`] once per batch of datagrams.
///
/// ```
/// use std::time::Duration;
/// use kwik_core::path::liveness::{Heard, Liveness, Verdict};
/// use kwik_core::time::Instant;
///
/// let at = |ms| Instant::from_start(Duration::from_millis(ms));
/// let mut liveness = Liveness::new(at(0));
/// liveness.handle_rtt(Duration::from_millis(10), Duration::from_millis(1));
/// liveness.handle_owes(true, at(0));
/// assert_eq!(liveness.poll_timeout(), Some(at(125)));
/// assert_eq!(liveness.handle_timeout(at(125)), Verdict::Ping);
/// assert_eq!(liveness.handle_timeout(at(250)), Verdict::Suspect);
/// assert_eq!(liveness.handle_activity(at(300)), Heard::Healed);
/// ```
#[derive(Clone, Debug)]
pub struct Liveness {
    smoothed_rtt: Duration,
    rtt_variation: Duration,
    /// Start of the silence that counts: the last sign of life, or when the path began to owe.
    quiet_since: Instant,
    owes: bool,
    mode: Mode,
    /// End of the silence that is allowed; in [`Mode::Suspect`] end of the time to heal.
    limit: Deadline,
    /// When the next Ping is due.
    ping: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Well,
    Suspect,
    Gone,
}

impl Liveness {
    /// RTT before the first sample: 333 ms (RFC 9002, 6.2.2). Too low and a path across the world is suspected before
    /// it was measured.
    pub const INITIAL_RTT: Duration = Duration::from_millis(333);
    /// Least silence that makes a path Suspect: 250 ms. Lower, and a delayed acknowledgement or a busy worker looks
    /// like death; higher, and the reader waits that much longer for every dead path.
    pub const LEAST_SILENCE: Duration = Duration::from_millis(250);
    /// Least time that a Suspect path has to heal: 3 s, a Wi-Fi roaming or a route flap.
    pub const LEAST_TEARDOWN: Duration = Duration::from_secs(3);

    /// Clocks of a path that was just admitted and owes nothing.
    pub fn new(now: Instant) -> Self {
        Self {
            smoothed_rtt: Self::INITIAL_RTT,
            rtt_variation: Self::INITIAL_RTT / 2,
            quiet_since: now,
            owes: false,
            mode: Mode::Well,
            limit: Deadline::unset(),
            ping: None,
        }
    }

    /// A datagram, a Pong or bytes of a contribution arrived.
    ///
    /// `now` is when it arrived. What arrived before the path fell silent heals nothing.
    pub fn handle_activity(&mut self, now: Instant) -> Heard {
        if self.mode == Mode::Suspect && now <= self.quiet_since {
            return Heard::Usual;
        }
        self.quiet_since = self.quiet_since.max(now);
        let heard = match self.mode {
            Mode::Well => Heard::Usual,
            Mode::Suspect => Heard::Healed,
            Mode::Gone => return Heard::Usual,
        };
        self.mode = Mode::Well;
        self.watch_silence();
        heard
    }

    /// Whether the path owes bytes: it has promised some, they have not arrived, and it does not wait for a window.
    pub fn handle_owes(&mut self, owes: bool, now: Instant) {
        if owes && !self.owes {
            self.quiet_since = self.quiet_since.max(now);
        }
        let changed = owes != self.owes;
        self.owes = owes;
        if changed && self.mode == Mode::Well {
            self.watch_silence();
        }
    }

    /// New smoothed RTT and RTT variation. A running silence is measured by the new RTT.
    pub fn handle_rtt(&mut self, smoothed: Duration, variation: Duration) {
        self.smoothed_rtt = smoothed;
        self.rtt_variation = variation;
        if self.mode == Mode::Well && self.limit.is_armed() && !self.limit.is_second_run() {
            self.limit.arm(self.quiet_since, self.silence_limit());
        }
    }

    /// Tells the clocks the time. Call it until [`Liveness::poll_timeout`] is later than `now`.
    pub fn handle_timeout(&mut self, now: Instant) -> Verdict {
        match self.limit.handle_timeout(now) {
            Fired::NotYet => self.ping_if_due(now),
            // We stood still ourselves: the answer to this Ping decides.
            Fired::Again => self.ping_now(now),
            Fired::Yes => self.escalate(now),
        }
    }

    /// When to call [`Liveness::handle_timeout`]; `None` while nothing runs.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.limit.poll_timeout(), self.ping) {
            (Some(limit), Some(ping)) => Some(limit.min(ping)),
            (limit, ping) => limit.or(ping),
        }
    }

    /// Silence that makes the path Suspect: max(3 * srtt, 250 ms).
    pub fn silence_limit(&self) -> Duration {
        self.smoothed_rtt.saturating_mul(3).max(Self::LEAST_SILENCE)
    }

    /// Time that a Suspect path has to heal: max(12 * srtt, 3 s).
    pub fn teardown_limit(&self) -> Duration {
        self.smoothed_rtt.saturating_mul(12).max(Self::LEAST_TEARDOWN)
    }

    /// Smoothed RTT; [`Liveness::INITIAL_RTT`] before the first sample.
    pub fn smoothed_rtt(&self) -> Duration {
        self.smoothed_rtt
    }

    /// RTT variation.
    pub fn rtt_variation(&self) -> Duration {
        self.rtt_variation
    }

    /// Whether the path is Suspect.
    pub fn is_suspect(&self) -> bool {
        self.mode == Mode::Suspect
    }

    fn watch_silence(&mut self) {
        if self.owes {
            let limit = self.silence_limit();
            self.limit.arm(self.quiet_since, limit);
            self.ping = Some(self.quiet_since + limit / 2);
        } else {
            self.limit.disarm();
            self.ping = None;
        }
    }

    fn ping_if_due(&mut self, now: Instant) -> Verdict {
        if self.ping.is_none_or(|due| now < due) {
            return Verdict::Nothing;
        }
        self.ping_now(now)
    }

    /// A Well path is asked once per silence; a Suspect one again and again, for nothing else may come from a path
    /// that was relieved of its ranges.
    fn ping_now(&mut self, now: Instant) -> Verdict {
        self.ping = (self.mode == Mode::Suspect).then(|| now + self.silence_limit());
        Verdict::Ping
    }

    fn escalate(&mut self, now: Instant) -> Verdict {
        if self.mode == Mode::Suspect {
            self.mode = Mode::Gone;
            self.ping = None;
            return Verdict::Gone;
        }
        self.mode = Mode::Suspect;
        self.limit.arm(now, self.teardown_limit());
        self.ping = Some(now + self.silence_limit());
        Verdict::Suspect
    }
}

#[cfg(test)]
mod tests;
