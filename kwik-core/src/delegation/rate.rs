//! How fast a path is, and how much to keep outstanding on it.

use std::collections::VecDeque;
use std::time::Duration;

use super::constants::{GROWTH, MORE, THRICE};
use crate::time::Instant;

/// Reports remembered per path; the oldest goes. At one report in 5 ms they cover 320 ms: over a longer path the average is
/// shorter than it might be.
const SAMPLES: usize = 64;

/// Rates are not believed beyond this, in bytes per second: 8 Tbit/s. A client that claims more must not bend the sums.
const MOST: u64 = 1_000_000_000_000;

/// What the client said: so many bytes in so much time with work outstanding.
#[derive(Clone, Copy, Debug)]
struct Sample {
    busy: Duration,
    received: u64,
}

/// The rate of one path, from the client's counters.
///
/// Time without work does not count, so a path that is asked for little is not taken to be slow.
#[derive(Clone, Debug)]
pub(crate) struct PathRate {
    samples: VecDeque<Sample>,
    estimate: Option<u64>,
    /// Bytes that the average is to cover.
    least: u64,
    /// Nothing was received since the measurement began.
    fresh: bool,
}

impl PathRate {
    /// Nothing measured; both counters start from zero. The average covers `least` bytes, if they come within three horizons.
    pub(crate) fn new(least: u64) -> Self {
        let start = Sample { busy: Duration::ZERO, received: 0 };
        Self { samples: VecDeque::from([start]), estimate: None, least, fresh: true }
    }

    /// Takes a report. The estimate covers the last `horizon` of busy time, or two reports if they are further apart, and
    /// up to three times as much where too few bytes came.
    pub(crate) fn update(&mut self, received: u64, busy: Duration, horizon: Duration) {
        let Some(&last) = self.samples.back() else { return };
        if busy <= last.busy || received < last.received {
            return;
        }
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        if self.fresh && received == last.received {
            // The handshake and the first request count as busy, which says nothing about the rate.
            self.samples.clear();
        }
        self.fresh &= received == last.received;
        self.samples.push_back(Sample { busy, received });
        while self.samples.len() > 2 && self.is_ample_without_oldest(horizon) {
            self.samples.pop_front();
        }
        self.measure();
    }

    /// Bytes came without a time that counts: the queue of what was taken back. They would make the path look fast as soon as
    /// it has work again.
    pub(crate) fn forget_unasked(&mut self, received: u64, busy: Duration) {
        let Some(&last) = self.samples.back() else { return };
        if busy == last.busy && received > last.received {
            let unasked = received - last.received;
            self.samples.iter_mut().for_each(|sample| sample.received += unasked);
        }
    }

    fn is_ample_without_oldest(&self, horizon: Duration) -> bool {
        let (Some(first), Some(last)) = (self.samples.get(1), self.samples.back()) else {
            return false;
        };
        let (time, bytes) = (last.busy - first.busy, last.received - first.received);
        time >= horizon && (bytes >= self.least || time >= horizon * THRICE)
    }

    fn measure(&mut self) {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else { return };
        let bytes = last.received - first.received;
        if last.busy == first.busy {
            return;
        }
        let seconds = (last.busy - first.busy).as_secs_f64();
        self.estimate = Some(((bytes as f64 / seconds) as u64).min(MOST));
    }

    /// Starts to measure anew, from the last report on.
    pub(crate) fn forget(&mut self) {
        let last = self.samples.back().copied();
        self.samples = last.into_iter().collect();
        self.estimate = None;
        self.fresh = true;
    }

    /// Busy time of the last report.
    pub(crate) fn reported(&self) -> Duration {
        self.samples.back().map_or(Duration::ZERO, |sample| sample.busy)
    }

    /// Bytes per second; `None`: nothing was received yet.
    pub(crate) fn estimate(&self) -> Option<u64> {
        self.estimate
    }
}

/// How many bytes a path may have outstanding.
///
/// A path must first be given enough to show its rate: the allowance doubles once per turn of the control loop while the
/// measured rate still grows by a quarter. After that `gain * rate * L` keeps it busy. A late range halves what the path
/// gets until it delivers again.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    growing: bool,
    first: u64,
    bytes: u64,
    rate_before: u64,
    flat_turns: u32,
    judged: Option<Instant>,
    /// Bound after a late range, doubling with each delivered one.
    ceiling: Option<u64>,
}

impl Allowance {
    /// Two first ranges.
    pub(super) fn new(first_range: u64) -> Self {
        let first = first_range.saturating_mul(2);
        Self {
            growing: true,
            first,
            bytes: first,
            rate_before: 0,
            flat_turns: 0,
            judged: None,
            ceiling: None,
        }
    }

    /// A range was delivered in full while the path had work all the time.
    pub(super) fn range_done(&mut self, rate: Option<u64>, turn: Duration, now: Instant) {
        self.ceiling = self.ceiling.map(|ceiling| ceiling.saturating_mul(2));
        let early = self.judged.is_some_and(|judged| now.since(judged) < turn);
        let Some(rate) = rate.filter(|_| self.growing && !early) else { return };
        self.judged = Some(now);
        if rate as f64 >= self.rate_before as f64 * MORE {
            self.bytes = self.bytes.saturating_mul(2);
            self.rate_before = rate;
            self.flat_turns = 0;
        } else {
            self.flat_turns += 1;
            self.growing = self.flat_turns < THRICE;
        }
    }

    /// A range was late: halves `current`, and growth is over.
    pub(super) fn range_late(&mut self, current: u64) {
        self.growing = false;
        self.ceiling = Some(current / 2);
    }

    /// Bytes to keep outstanding, at least `least`: `gain` times the `turnover`, which is what the path delivers in a turn
    /// of the loop at the rate that was measured. `early`: too little came to believe that, and while it grows two first
    /// ranges are allowed in any case.
    pub(super) fn target(&self, turnover: Option<f64>, gain: f64, least: u64, early: bool) -> u64 {
        let wanted = match turnover {
            Some(turnover) if self.growing => {
                let most = (turnover * GROWTH) as u64;
                let most = if early { most.max(self.first) } else { most };
                self.bytes.min(most).max((turnover * gain) as u64)
            }
            Some(turnover) => (turnover * gain) as u64,
            None => self.bytes,
        };
        wanted.min(self.ceiling.unwrap_or(u64::MAX)).max(least)
    }
}
