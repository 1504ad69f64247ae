//! How fast a primary may make a client dial.

use std::time::Duration;

use crate::time::Instant;

/// When the next path may be dialled.
///
/// Two limits, both kept as one point in time (a virtual schedule, as in ATM's GCRA): dials start at least one RTT of
/// the primary apart, so that a burst of handshakes does not swamp the client's own link; and over time there is one
/// dial per [`AttachRate::INTERVAL`], after a burst, so that a hostile primary cannot make its clients flood a third
/// party by adding and removing paths.
///
/// ```
/// use std::time::Duration;
/// use kwik_core::path::attach::AttachRate;
/// use kwik_core::time::Instant;
///
/// let rtt = Duration::from_millis(20);
/// let mut rate = AttachRate::new(16);
/// assert_eq!(rate.reserve(rtt, Instant::ZERO), Some(Instant::ZERO));
/// assert_eq!(rate.reserve(rtt, Instant::ZERO), Some(Instant::ZERO + rtt));
/// ```
#[derive(Clone, Debug)]
pub struct AttachRate {
    /// Earliest start of the next dial.
    next_start: Instant,
    /// When the dials so far would have been spent at one per interval.
    spent_until: Instant,
    burst: u32,
}

impl AttachRate {
    /// Time per dial in the long run: 250 ms.
    pub const INTERVAL: Duration = Duration::from_millis(250);
    /// Least time between two dials, where the RTT is next to nothing: 1 ms.
    pub const LEAST_SPACING: Duration = Duration::from_millis(1);
    /// Most time between two dials: 1 s, for an RTT that was measured during a stall.
    pub const MOST_SPACING: Duration = Duration::from_secs(1);

    /// No dial so far; `burst` of them may follow each other at RTT spacing.
    pub const fn new(burst: u32) -> Self {
        Self { next_start: Instant::ZERO, spent_until: Instant::ZERO, burst }
    }

    /// Takes the next start; `None` when the primary asks for too many.
    pub fn reserve(&mut self, primary_rtt: Duration, now: Instant) -> Option<Instant> {
        let spent_until = self.spent_until.max(now) + Self::INTERVAL;
        if spent_until.since(now) > Self::INTERVAL.saturating_mul(self.burst) {
            return None;
        }
        self.spent_until = spent_until;
        let start = self.next_start.max(now);
        self.next_start = start + primary_rtt.clamp(Self::LEAST_SPACING, Self::MOST_SPACING);
        Some(start)
    }
}

#[cfg(test)]
mod tests;
