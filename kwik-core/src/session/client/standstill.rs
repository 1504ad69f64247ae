//! Times in which this end itself stood still, and what they must not tell of others.

use std::time::Duration;

use super::ClientSession;
use crate::time::Instant;

/// How late a timer is found when this end must have stood still: 500 ms. A loaded machine delays timers by less; a
/// shorter stop adds less than that to a round trip.
const LATE: Duration = Duration::from_millis(500);
/// How long a round trip that has grown is not believed after that: 10 s. QUIC's smoothed RTT takes some thirty samples to
/// forget one that is a thousand times too large: a second or two of a path that delivers. Longer, and a path whose round
/// trip has really grown, as after roaming, is suspected again and again; shorter, and a dead one is waited for.
const MEMORY: Duration = Duration::from_secs(10);

impl ClientSession {
    /// A process that was stopped, or a computer that slept, finds its timers long due.
    pub(super) fn note_standstill(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|due| now.since(due) > LATE) {
            self.stood_still = Some(now);
        }
    }

    /// Whether a round trip that seems more than doubled was measured across our own standstill: the acknowledgements of
    /// what was sent before wait in the socket meanwhile. Believed, 60 s of SIGSTOP would make every path 40 s long, and its
    /// silence allowed for two minutes.
    pub(super) fn is_our_own_time(&self, now_seems: Duration, was: Duration, now: Instant) -> bool {
        let recent = self.stood_still.is_some_and(|at| now.since(at) < MEMORY);
        recent && now_seems > was.saturating_mul(2)
    }
}
