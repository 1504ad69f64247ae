//! The clock of the primary path: whether the primary still answers a client that expects bytes of it.

use std::time::Duration;

use super::deadline::{Deadline, Fired};
use super::liveness::{Heard, Liveness, Verdict};
use crate::time::Instant;

/// What the client knows of its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrimaryState {
    /// It answers, or nothing is expected of it.
    Live,
    /// It was silent for too long while a stream was open. The connection is kept: the primary may come back.
    Suspect,
    /// It said that it goes away ([`GoAway`](kwik_proto::frame::GoAway)). What is open goes on until it does.
    Leaving,
    /// The connection is over.
    Gone,
}

/// Tells a primary that is gone from one that has nothing to send.
///
/// Nobody knows what a primary owes: its application may think for an hour before it writes the next byte. But every
/// primary answers a Ping at once (SETUP-22). So while a stream is open, a silence of half the limit of [`Liveness`] is
/// followed by a Ping, and a Ping without any answer makes the primary Suspect. A stream in full flow that falls silent
/// is noticed as on any other path, after max(3 * srtt, 250 ms).
///
/// Where nothing but answers comes, the silence before the next Ping doubles, up to [`MAX_SILENCE`](Self::MAX_SILENCE):
/// a thousand streams that wait for the next event must not cost eight datagrams a second each.
///
/// ```
/// use std::time::Duration;
/// use kwik_core::path::liveness::{Heard, Verdict};
/// use kwik_core::path::primary::PrimaryLiveness;
/// use kwik_core::time::Instant;
///
/// let at = |ms| Instant::from_start(Duration::from_millis(ms));
/// let mut liveness = PrimaryLiveness::new(at(0));
/// liveness.handle_rtt(Duration::from_millis(10));
/// liveness.handle_expects(true, at(0));
/// assert_eq!(liveness.handle_timeout(at(125)), Verdict::Ping);
/// assert_eq!(liveness.handle_timeout(at(250)), Verdict::Suspect);
/// assert_eq!(liveness.handle_activity(at(300)), Heard::Healed);
/// ```
#[derive(Clone, Debug)]
pub struct PrimaryLiveness {
    smoothed_rtt: Duration,
    /// The last sign of life, or when the client began to expect one.
    quiet_since: Instant,
    expects: bool,
    /// How often the silence before a Ping was doubled.
    doublings: u32,
    /// When the last Ping was answered.
    answered: Option<Instant>,
    asked: Asked,
    /// When the next Ping is due.
    ping: Option<Instant>,
    /// Until when it has to be answered.
    limit: Deadline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    No,
    /// A Ping is out.
    Yes,
    /// It was not answered in time.
    Unanswered,
}

impl PrimaryLiveness {
    /// Longest silence before a Ping while a stream is open: 5 s. Longer, and a primary that dies while a stream waits is
    /// noticed that much later; shorter, and a thousand waiting sessions cost more.
    pub const MAX_SILENCE: Duration = Duration::from_secs(5);
    /// What comes so soon after the answer to a Ping may belong to it, as an acknowledgement does (at most 25 ms late by
    /// RFC 9000, 18.2, and a timer of the reporting driver): it does not mean that the stream flows again.
    const ECHO: Duration = Duration::from_millis(100);

    /// The clock of a primary that was just connected to, and of which nothing is expected yet.
    pub fn new(now: Instant) -> Self {
        Self {
            smoothed_rtt: Liveness::INITIAL_RTT,
            quiet_since: now,
            expects: false,
            doublings: 0,
            answered: None,
            asked: Asked::No,
            ping: None,
            limit: Deadline::unset(),
        }
    }

    /// New smoothed RTT. A running silence keeps its limit.
    pub fn handle_rtt(&mut self, smoothed: Duration) {
        self.smoothed_rtt = smoothed;
    }

    /// Whether a stream is open, so that the primary has to be there.
    pub fn handle_expects(&mut self, expects: bool, now: Instant) {
        if expects == self.expects {
            return;
        }
        self.expects = expects;
        self.doublings = 0;
        if expects {
            self.quiet_since = self.quiet_since.max(now);
        }
        if self.asked != Asked::Unanswered {
            self.watch();
        } else {
            // What is known of it stays; it is not asked where nothing is expected.
            self.ping = expects.then(|| now + self.limit());
        }
    }

    /// Something of the primary arrived at `at`. What arrived before it fell silent heals nothing.
    pub fn handle_activity(&mut self, at: Instant) -> Heard {
        if at <= self.quiet_since {
            return Heard::Usual;
        }
        self.quiet_since = at;
        let heard = match self.asked {
            Asked::No => {
                let echo = self.answered.is_some_and(|answered| at <= answered + Self::ECHO);
                if !echo {
                    self.doublings = 0;
                }
                Heard::Usual
            }
            Asked::Yes => {
                self.answered = Some(at);
                self.doublings = self.doublings.saturating_add(1);
                Heard::Usual
            }
            Asked::Unanswered => {
                self.doublings = 0;
                Heard::Healed
            }
        };
        self.watch();
        heard
    }

    /// Tells the clock the time. Call it until [`poll_timeout`](Self::poll_timeout) is later than `now`.
    /// [`Verdict::Gone`] never comes: the primary's connection ends when QUIC says so.
    pub fn handle_timeout(&mut self, now: Instant) -> Verdict {
        match self.limit.handle_timeout(now) {
            // We stood still ourselves: the answer to this Ping decides.
            Fired::Again => Verdict::Ping,
            Fired::Yes => {
                self.asked = Asked::Unanswered;
                self.ping = Some(now + self.limit());
                Verdict::Suspect
            }
            Fired::NotYet if self.ping.is_some_and(|due| due <= now) => self.ask(now),
            Fired::NotYet => Verdict::Nothing,
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` while nothing runs.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.ping, self.limit.poll_timeout()].into_iter().flatten().min()
    }

    /// Whether it is Suspect.
    pub fn is_suspect(&self) -> bool {
        self.asked == Asked::Unanswered
    }

    fn ask(&mut self, now: Instant) -> Verdict {
        if self.asked == Asked::Unanswered {
            self.ping = Some(now + self.limit());
            return Verdict::Ping;
        }
        self.asked = Asked::Yes;
        self.ping = None;
        // In full flow half of the limit is over already. After a longer silence an answer has the whole.
        let patience = if self.doublings == 0 { self.limit() / 2 } else { self.limit() };
        self.limit.arm(now, patience);
        Verdict::Ping
    }

    /// max(3 * srtt, 250 ms), as of any path.
    fn limit(&self) -> Duration {
        self.smoothed_rtt.saturating_mul(3).max(Liveness::LEAST_SILENCE)
    }

    fn watch(&mut self) {
        self.asked = Asked::No;
        self.limit.disarm();
        let silence = (self.limit() / 2).saturating_mul(1 << self.doublings.min(16));
        let longest = Self::MAX_SILENCE.max(self.limit() / 2);
        self.ping = self.expects.then(|| self.quiet_since + silence.min(longest));
    }
}

#[cfg(test)]
mod tests;
