//! What a path delivers, and how much of the time it had something to deliver.

use std::time::Duration;

use super::{PathTiming, PathWork};
use crate::delegation::constants::{LEAST_PATIENCE, MORE, NOTICED, RATE_HORIZON};
use crate::delegation::forecast::{self, Forecast};
use crate::delegation::rate::PathRate;
use crate::time::Instant;

/// Busy time between two samples of the rate.
const SAMPLE: Duration = Duration::from_millis(5);

/// One path, as the client's promises see it.
#[derive(Clone, Debug)]
pub(super) struct Work {
    timing: PathTiming,
    pub(super) suspect: bool,
    /// Promises that are neither kept nor ended.
    owing: usize,
    /// Bytes of them that have not arrived.
    pub(super) owed_bytes: u64,
    received: u64,
    busy: Duration,
    busy_since: Option<Instant>,
    rate: PathRate,
}

impl Work {
    pub(super) fn new() -> Self {
        Self {
            timing: PathTiming::default(),
            suspect: false,
            owing: 0,
            owed_bytes: 0,
            received: 0,
            busy: Duration::ZERO,
            busy_since: None,
            // A path that became slow is to be noticed at once.
            rate: PathRate::new(0),
        }
    }

    pub(super) fn set_timing(&mut self, timing: PathTiming, now: Instant) {
        let connected = self.timing.srtt.is_none() && timing.srtt.is_some();
        self.timing = PathTiming { srtt: timing.srtt.or(self.timing.srtt), ..timing };
        // The time of the handshake says nothing about the rate.
        if connected && self.owing > 0 && self.received == 0 {
            self.busy_since = Some(now);
            self.busy = Duration::ZERO;
        }
    }

    pub(super) fn promised(&mut self, bytes: u64, now: Instant) {
        if self.owing == 0 {
            self.busy_since = Some(now);
        }
        self.owing += 1;
        self.owed_bytes += bytes;
    }

    /// A promise ended with `rest` bytes of it not delivered.
    pub(super) fn ended(&mut self, rest: u64, now: Instant) {
        self.owed_bytes = self.owed_bytes.saturating_sub(rest);
        self.owing = self.owing.saturating_sub(1);
        if self.owing == 0
            && let Some(since) = self.busy_since.take()
        {
            self.busy += now.since(since);
        }
    }

    /// Bytes arrived, `owed` of them promised and not delivered before.
    pub(super) fn received(&mut self, bytes: u64, owed: u64, now: Instant) {
        self.owed_bytes = self.owed_bytes.saturating_sub(owed);
        self.received += bytes;
        let busy = self.busy(now);
        if busy.saturating_sub(self.rate.reported()) >= SAMPLE {
            self.rate.update(self.received, busy, RATE_HORIZON.max(self.srtt()));
        }
    }

    fn busy(&self, now: Instant) -> Duration {
        self.busy + self.busy_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    pub(super) fn counters(&self, now: Instant) -> PathWork {
        PathWork { received_bytes: self.received, busy: self.busy(now) }
    }

    pub(super) fn owes(&self) -> bool {
        self.owing > 0
    }

    pub(super) fn connected(&self) -> bool {
        self.timing.srtt.is_some()
    }

    /// Smoothed RTT; zero while it is not known.
    pub(super) fn srtt(&self) -> Duration {
        self.timing.srtt.unwrap_or_default()
    }

    /// How long a promise at the head may deliver nothing.
    pub(super) fn patience(&self) -> Duration {
        let Some(srtt) = self.timing.srtt else { return NOTICED };
        let round = srtt.saturating_add(self.timing.rttvar.saturating_mul(4));
        round.min(NOTICED).mul_f64(MORE).clamp(LEAST_PATIENCE, NOTICED)
    }

    /// Bytes per second; `None`: there is no measurement.
    pub(super) fn rate(&self) -> Option<u64> {
        self.rate.estimate()
    }

    /// When its bytes arrive, an order taking `order` to reach it. What the reader waits for overtakes what the path owes
    /// besides. Where nothing was measured only the round trip is known.
    pub(super) fn forecast(&self, order: Duration) -> Forecast {
        let rate = self.rate.estimate().map_or(f64::INFINITY, |rate| rate.max(1) as f64);
        Forecast::new(rate, 0, order.saturating_add(self.srtt()), false)
    }

    /// When the first byte of a range comes that it is asked for now, behind `ahead` bytes.
    pub(super) fn first_byte(&self, ahead: u64) -> Duration {
        let queue = forecast::time(self.forecast(Duration::ZERO).owed(ahead, 0));
        self.srtt().saturating_add(queue)
    }
}
