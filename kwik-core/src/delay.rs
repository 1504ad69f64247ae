//! How long bytes waited between their arrival and their turn.

#[cfg(test)]
mod tests;

use std::time::Duration;

/// Delays below this are counted as none, and buckets begin here.
const LEAST: Duration = Duration::from_micros(64);

/// Buckets of an octave. What a quantile says is too high by one eighth at most.
const STEPS: u32 = 8;

/// Octaves: up to 64 us * 2^21, two minutes. Longer delays are in the last bucket; the maximum is exact.
const OCTAVES: u32 = 21;

/// Buckets in all; 1.3 KiB for a stream whose bytes waited that long, nothing for one whose bytes came in order.
const BUCKETS: u32 = OCTAVES * STEPS;

/// Delays of bytes, in buckets of equal ratio: how many bytes waited for how long.
///
/// You meet one as the *in-order delay* of a stream or a session: the time from a byte's arrival, when its frame was taken, to
/// when it could be delivered to the reader because nothing before it was missing. Where all sources send in the reader's order it
/// is zero for almost all bytes; head-of-line blocking shows in it, however large the buffer is.
///
/// ```
/// use std::time::Duration;
/// use kwik_core::delay::DelayHistogram;
///
/// let mut delays = DelayHistogram::default();
/// delays.record(Duration::ZERO, 970);
/// delays.record(Duration::from_millis(40), 30);
/// let summary = delays.summary();
/// assert_eq!((summary.p50, summary.max), (Duration::ZERO, Duration::from_millis(40)));
/// assert!(summary.p99 >= Duration::from_millis(40) * 8 / 9);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DelayHistogram {
    /// Bytes whose delay was below the first bucket.
    none: u64,
    /// Bytes by bucket, no longer than the last one that has any.
    buckets: Vec<u64>,
    max: Duration,
}

/// What a [`DelayHistogram`] comes to, by bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DelaySummary {
    /// Half of the bytes waited no longer.
    pub p50: Duration,
    /// 99 of 100 bytes waited no longer.
    pub p99: Duration,
    /// The longest that a byte waited.
    pub max: Duration,
}

impl DelayHistogram {
    /// So many bytes waited that long.
    pub fn record(&mut self, delay: Duration, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.max = self.max.max(delay);
        let Some(bucket) = bucket_of(delay) else {
            self.none = self.none.saturating_add(bytes);
            return;
        };
        self.reach(bucket + 1);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count = count.saturating_add(bytes);
        }
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        self.none = self.none.saturating_add(other.none);
        self.max = self.max.max(other.max);
        self.reach(other.buckets.len());
        for (count, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *count = count.saturating_add(*more);
        }
    }

    /// Bytes that were counted.
    pub fn bytes(&self) -> u64 {
        self.buckets.iter().fold(self.none, |sum, count| sum.saturating_add(*count))
    }

    /// What so many per mille of the bytes waited at most; never more than the maximum. Zero where nothing was counted.
    pub fn quantile(&self, per_mille: u16) -> Duration {
        let rank = (u128::from(self.bytes()) * u128::from(per_mille.min(1000))).div_ceil(1000);
        let mut seen = u128::from(self.none);
        if seen >= rank {
            return Duration::ZERO;
        }
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                return end_of(bucket).min(self.max);
            }
        }
        self.max
    }

    /// Its median, its 99th percentile, and its maximum.
    pub fn summary(&self) -> DelaySummary {
        DelaySummary { p50: self.quantile(500), p99: self.quantile(990), max: self.max }
    }

    fn reach(&mut self, buckets: usize) {
        if self.buckets.len() < buckets {
            self.buckets.resize(buckets, 0);
        }
    }
}

/// The bucket of a delay; `None`: it is below the first.
fn bucket_of(delay: Duration) -> Option<usize> {
    let ratio = u64::try_from(delay.as_nanos() / LEAST.as_nanos()).unwrap_or(u64::MAX);
    let octave = ratio.checked_ilog2()?;
    // How far it is into the octave, in its steps.
    let start = LEAST.as_nanos() << octave;
    let step = delay.as_nanos().saturating_sub(start) * u128::from(STEPS) / start;
    let step = u32::try_from(step).unwrap_or(STEPS).min(STEPS - 1);
    usize::try_from((octave * STEPS + step).min(BUCKETS - 1)).ok()
}

/// The first delay beyond a bucket.
fn end_of(bucket: usize) -> Duration {
    let bucket = u32::try_from(bucket).unwrap_or(BUCKETS - 1);
    let start = LEAST * 2u32.saturating_pow(bucket / STEPS);
    start + start / STEPS * (bucket % STEPS + 1)
}
