//! Bits per second.

use std::num::NonZeroU64;
use std::time::Duration;

/// The rate of a transmitter. Never 0: a link that carries nothing is down.
///
/// ```
/// use std::time::Duration;
/// use kwik_sim::link::Rate;
///
/// assert_eq!(Rate::mbit(10).time_for(1_250), Duration::from_millis(1));
/// assert_eq!(Rate::mbit(10) / 10, Rate::mbit(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// So many bits per second; 0 counts as 1.
    pub const fn bits(per_second: u64) -> Self {
        match NonZeroU64::new(per_second) {
            Some(bits) => Self(bits),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// So many millions of bits per second; 0 counts as 1 bit per second.
    pub const fn mbit(per_second: u64) -> Self {
        Self::bits(per_second.saturating_mul(1_000_000))
    }

    /// Bits per second.
    pub const fn bits_per_second(self) -> u64 {
        self.0.get()
    }

    /// How long `bytes` take, rounded up to a nanosecond.
    pub fn time_for(self, bytes: usize) -> Duration {
        let nanos = (bytes as u128 * 8 * 1_000_000_000).div_ceil(u128::from(self.0.get()));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many whole bytes go through in `time`.
    pub fn bytes_in(self, time: Duration) -> u64 {
        let bits = time.as_nanos().saturating_mul(self.0.get().into()) / 1_000_000_000;
        u64::try_from(bits / 8).unwrap_or(u64::MAX)
    }
}

impl std::ops::Div<u64> for Rate {
    type Output = Self;

    /// A slower link. Division by 0 counts as by 1.
    fn div(self, by: u64) -> Self {
        Self::bits(self.0.get() / by.max(1))
    }
}
