//! Reading no faster than a rate.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time that reading may be behind the rate and catch up with: a pause of the network is not made up for beyond it.
const CREDIT: Duration = Duration::from_secs(1);

/// Bytes a second on the average, whatever pieces they come in.
#[derive(Debug)]
struct Pace {
    rate: u64,
    /// When the next bytes are due.
    due: Instant,
}

impl Pace {
    /// `rate` bytes a second, more than 0.
    fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), due: Instant::now() }
    }

    /// When more may be read after so many bytes that were read by `now`.
    fn next(&mut self, bytes: u64, now: Instant) -> Instant {
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        self.due =
            self.due.max(earliest) + Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        self.due
    }
}

/// A pace that several readers keep together.
#[derive(Clone, Debug)]
pub(crate) struct SharedPace(Arc<Mutex<Pace>>);

impl SharedPace {
    /// As [`Pace::new`].
    pub(crate) fn new(rate: u64) -> Self {
        Self(Arc::new(Mutex::new(Pace::new(rate))))
    }

    /// So many bytes were read: waits until more may be.
    pub(crate) async fn wait(&self, bytes: u64) {
        let now = Instant::now();
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).next(bytes, now);
        tokio::time::sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_at_the_rate_whatever_their_pieces() {
        let mut pace = Pace::new(1_000);
        let start = pace.due;
        let mut now = start;
        for bytes in [1, 999, 2_000, 500, 1_500, 4_000] {
            now = now.max(pace.next(bytes, now));
        }
        assert_eq!((now - start).as_millis(), 9_000);
    }

    #[test]
    fn a_pause_is_made_up_for_by_a_second_at_most() {
        let mut pace = Pace::new(1_000);
        let now = pace.due + Duration::from_secs(60);
        assert_eq!(pace.next(5_000, now) - now, Duration::from_secs(4));
    }
}
