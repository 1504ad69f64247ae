//! A timer that does not blame others for our own standstill.

use std::time::Duration;

use crate::time::Instant;

/// What became of a [`Deadline`] at a certain time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// Nothing: it is unset, or not due yet.
    NotYet,
    /// It was due so long ago that we ourselves must have stood still: it runs once more, with its full length.
    Again,
    /// It is over. The deadline is unset now.
    Yes,
}

/// A point in time by which something must have happened, with a second chance when the *timer* came late.
///
/// A process that was stopped (SIGSTOP, a suspended laptop, a blocked worker) finds all its timers expired at once,
/// while everything that the peers sent meanwhile still waits in the socket. Whoever judged the peers then would
/// condemn everybody. So a timer that fires more than [`Deadline::TOLERANCE`] late runs once more from now, with its
/// full length, during which the driver polls the socket; only the second time counts, late or not.
///
/// The rule serves the clocks of a path ([`Liveness`](super::liveness::Liveness)) and the clock of a range alike.
///
/// ```
/// use std::time::Duration;
/// use kwik_core::path::deadline::{Deadline, Fired};
/// use kwik_core::time::Instant;
///
/// let second = Duration::from_secs(1);
/// let mut deadline = Deadline::unset();
/// deadline.arm(Instant::ZERO, second);
/// assert_eq!(deadline.handle_timeout(Instant::ZERO), Fired::NotYet);
/// assert_eq!(deadline.handle_timeout(Instant::ZERO + second), Fired::Yes);
/// assert_eq!(deadline.poll_timeout(), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline {
    armed: Option<Armed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Armed {
    at: Instant,
    length: Duration,
    chance: Chance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chance {
    First,
    Second,
}

impl Deadline {
    /// How late a timer may fire and still be believed: 50 ms. A loaded machine delays timers by a few milliseconds;
    /// with much less every load spike would double a deadline, with much more a stop of that length would count
    /// against the peers.
    pub const TOLERANCE: Duration = Duration::from_millis(50);

    /// A deadline that never fires.
    pub const fn unset() -> Self {
        Self { armed: None }
    }

    /// Sets it to `length` after `from`; whatever was set before is forgotten, a used second chance too.
    pub fn arm(&mut self, from: Instant, length: Duration) {
        self.armed = Some(Armed { at: from + length, length, chance: Chance::First });
    }

    /// Unsets it.
    pub fn disarm(&mut self) {
        self.armed = None;
    }

    /// Whether it is set.
    pub fn is_armed(&self) -> bool {
        self.armed.is_some()
    }

    /// Whether it is in its second run, because the first ended late.
    pub fn is_second_run(&self) -> bool {
        self.armed.is_some_and(|armed| armed.chance == Chance::Second)
    }

    /// When to call [`Deadline::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.armed.map(|armed| armed.at)
    }

    /// Tells it the time. After [`Fired::Again`] poll the socket before the next call.
    pub fn handle_timeout(&mut self, now: Instant) -> Fired {
        let Some(armed) = self.armed.filter(|armed| armed.at <= now) else { return Fired::NotYet };
        let late = now.since(armed.at) > Self::TOLERANCE;
        if late && armed.chance == Chance::First {
            self.armed = Some(Armed { at: now + armed.length, chance: Chance::Second, ..armed });
            return Fired::Again;
        }
        self.armed = None;
        Fired::Yes
    }
}

#[cfg(test)]
mod tests;
