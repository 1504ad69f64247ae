//! How long to wait before a path is dialled again.

use std::time::Duration;

use crate::time::Instant;

/// The pauses between the tries at one path: exponential, capped, with jitter from a seed.
///
/// The `n`-th pause in a row is drawn evenly from the upper half of [`Backoff::FIRST`] * 2^n, at most
/// [`Backoff::LONGEST`]. Jitter keeps the clients of a server that died from coming back all at once (a thundering
/// herd); the lower half is never drawn, so that a pause is never nothing. A path that stayed Live for
/// [`Backoff::PROVEN`] starts over; a path that dies right after each admission does not.
///
/// ```
/// use std::time::Duration;
/// use kwik_core::path::backoff::Backoff;
///
/// let mut backoff = Backoff::new(7);
/// let first = backoff.next_pause();
/// assert!(first >= Backoff::FIRST / 2 && first <= Backoff::FIRST);
/// assert!(backoff.next_pause() >= Backoff::FIRST);
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    tries: u32,
    live_since: Option<Instant>,
    random: u64,
}

impl Backoff {
    /// Longest first pause: 500 ms. Shorter, and a server that restarts is asked before it listens; longer, and a
    /// lost connection costs a visible part of a short transfer.
    pub const FIRST: Duration = Duration::from_millis(500);
    /// Longest pause of all: 30 s, what a user still takes for "it came back by itself".
    pub const LONGEST: Duration = Duration::from_secs(30);
    /// Time as Live after which the tries are forgotten: 10 s.
    pub const PROVEN: Duration = Duration::from_secs(10);

    /// No try so far. Paths with different seeds pause differently.
    pub const fn new(seed: u64) -> Self {
        Self { tries: 0, live_since: None, random: seed }
    }

    /// The path became Live.
    pub fn handle_live(&mut self, now: Instant) {
        self.live_since = self.live_since.or(Some(now));
    }

    /// The path is no longer Live or Suspect. Forgets the tries if it was so for long enough.
    pub fn handle_lost(&mut self, now: Instant) {
        if self.live_since.take().is_some_and(|since| now.since(since) >= Self::PROVEN) {
            self.tries = 0;
        }
    }

    /// The pause before the next try, which is counted.
    pub fn next_pause(&mut self) -> Duration {
        let ceiling = Self::FIRST.saturating_mul(1 << self.tries.min(16)).min(Self::LONGEST);
        self.tries = self.tries.saturating_add(1);
        let half = ceiling / 2;
        half + half.mul_f64(self.next_fraction())
    }

    /// Tries since the path was last proven.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Evenly in [0, 1): the generator is SplitMix64 (Steele, Lea, Flood 2014), enough to spread clients.
    fn next_fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests;
