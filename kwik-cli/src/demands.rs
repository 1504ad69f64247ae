//! The least rate that a download may have, and the most that it may bring.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::size::ByteSize;

/// Time over which the rate is taken, as with curl's `--speed-time`. Shorter: a server that pauses, or a change of servers, ends
/// the download. Longer: who drips is put up with longer.
const WINDOW: Duration = Duration::from_secs(30);

/// What a user wants of a download, beyond its time limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demands {
    /// Largest content. `None`: any.
    pub(crate) max_size: Option<ByteSize>,
    /// Fewest bytes in a second, over 30 s. `None`: any.
    pub(crate) min_rate: Option<ByteSize>,
}

impl Demands {
    /// Fails if the content is larger than wanted.
    pub(crate) fn check_size(&self, size: u64) -> anyhow::Result<()> {
        if let Some(most) = self.max_size {
            let size = ByteSize(size);
            ensure!(size <= most, "the content has {size}, more than the {most} of --max-size");
        }
        Ok(())
    }

    /// Waits for `next`, and fails if it came to less than wanted in the time that was waited so far.
    pub(crate) async fn in_time<T>(
        &self,
        meter: &mut Meter,
        next: impl Future<Output = T>,
    ) -> anyhow::Result<T> {
        let Some(least) = self.min_rate else { return Ok(next.await) };
        let mut next = std::pin::pin!(next);
        loop {
            let start = Instant::now();
            let waited = tokio::time::timeout(meter.left(), next.as_mut()).await;
            meter.waited += start.elapsed();
            if meter.left().is_zero() {
                meter.check(least)?;
            }
            if let Ok(brought) = waited {
                return Ok(brought);
            }
        }
    }
}

/// Bytes that came while they were waited for. What the disk, or the reader of a pipe, takes is not the servers' time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meter {
    waited: Duration,
    bytes: u64,
}

impl Meter {
    /// So many bytes came.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    fn left(&self) -> Duration {
        WINDOW.saturating_sub(self.waited)
    }

    /// Begins the next window, unless this one brought too little.
    fn check(&mut self, least: ByteSize) -> anyhow::Result<()> {
        let wanted = u128::from(least.0) * self.waited.as_millis() / 1000;
        let (bytes, seconds) = (ByteSize(self.bytes), self.waited.as_secs());
        ensure!(
            u128::from(self.bytes) >= wanted,
            "the servers sent {bytes} in {seconds} s, less than the {least} a second of --min-rate"
        );
        *self = Self::default();
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn meter(seconds: u64, bytes: u64) -> Meter {
        Meter { waited: Duration::from_secs(seconds), bytes }
    }

    #[test]
    fn who_drips_is_not_put_up_with() {
        let error = meter(30, 30).check(ByteSize(1 << 10)).unwrap_err().to_string();
        assert!(error.contains("30 B in 30 s") && error.contains("--min-rate"), "{error}");
        let mut enough = meter(30, 30 << 10);
        enough.check(ByteSize(1 << 10)).unwrap();
        assert_eq!(enough, Meter::default(), "a new window");
    }

    #[test]
    fn a_rate_beyond_all_numbers_is_no_error_of_arithmetic() {
        assert!(meter(u64::from(u32::MAX), u64::MAX).check(ByteSize(u64::MAX)).is_err());
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let demands = Demands { max_size: Some(ByteSize(1000)), min_rate: None };
        demands.check_size(1000).unwrap();
        let error = demands.check_size(1001).unwrap_err().to_string();
        assert!(error.contains("--max-size"), "{error}");
        Demands::default().check_size(u64::MAX).unwrap();
    }

    #[tokio::test]
    async fn who_wants_no_rate_waits_for_what_comes() {
        let mut meter = Meter::default();
        let demands = Demands::default();
        assert_eq!(demands.in_time(&mut meter, async { 7 }).await.unwrap(), 7);
        let demands = Demands { min_rate: Some(ByteSize(1)), max_size: None };
        assert_eq!(demands.in_time(&mut meter, async { 7 }).await.unwrap(), 7);
        let mut spent = Meter { waited: WINDOW, bytes: 0 };
        assert!(demands.in_time(&mut spent, std::future::pending::<()>()).await.is_err());
    }
}
