//! Chance with a seed.

use std::time::Duration;

/// How often something happens, in millionths. A whole number, so that no rounding differs between machines.
///
/// ```
/// use kwik_sim::link::Chance;
///
/// assert_eq!(Chance::percent(2), Chance::per_million(20_000));
/// assert_eq!(Chance::percent(101), Chance::ALWAYS);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance(u32);

const MILLION: u32 = 1_000_000;

impl Chance {
    /// It never happens.
    pub const NEVER: Self = Self(0);
    /// It always happens.
    pub const ALWAYS: Self = Self(MILLION);

    /// So many times in a million; more counts as always.
    pub const fn per_million(times: u32) -> Self {
        Self(if times < MILLION { times } else { MILLION })
    }

    /// So many times in a hundred; more counts as always.
    pub const fn percent(times: u32) -> Self {
        Self::per_million(times.saturating_mul(MILLION / 100))
    }

    /// How often in a million times.
    pub const fn times_in_million(self) -> u64 {
        self.0 as u64
    }
}

/// Numbers from a seed: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), small
/// and the same for ever. Not for keys.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Whether it happens this time. Draws one number, whatever the chance.
    pub(crate) fn roll(&mut self, chance: Chance) -> bool {
        self.next() % u64::from(MILLION) < u64::from(chance.0)
    }

    /// Uniform between zero and `most`, both included. Draws one number, whatever `most` is.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        let drawn = self.next();
        Duration::from_nanos(most.checked_add(1).map_or(drawn, |outcomes| drawn % outcomes))
    }
}
