//! What seeds are thrown with.

use std::ops::Range;
use std::time::Duration;

use kwik_sim::link::{Chance, LinkConfig, Rate};

/// A generator of its own (SplitMix64): what a seed means must not depend on anybody's version.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    pub fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn link(&mut self) -> LinkConfig {
        let rate = Rate::mbit(self.within(5..100));
        let rough = self.happens(40);
        LinkConfig {
            rate: Some(rate),
            delay: Duration::from_micros(self.within(500..40_000)),
            jitter: Duration::from_micros(if rough { self.below(5_000) } else { 0 }),
            loss: Chance::percent(if rough { self.below(4) as u32 } else { 0 }),
            corruption: Chance::percent(if rough { self.below(3) as u32 } else { 0 }),
            queue: self.within(32 << 10..512 << 10) as usize,
            ..LinkConfig::default()
        }
    }
}

/// Bytes per second that one of QUIC's senders gets out of a link at the least: half of its rate, or of what losses leave
/// (Mathis et al., CCR 1997: 1.22 segments per round trip over the root of the chance of loss), for a queue shorter than
/// the product of rate and delay, and for what others send at the same time.
pub fn least_rate(link: &LinkConfig) -> f64 {
    let rate = link.rate.map_or(f64::INFINITY, |rate| rate.bytes_in(Duration::from_secs(1)) as f64);
    let lost = (link.loss.times_in_million() + link.corruption.times_in_million()) as f64 / 1e6;
    let trip = 2.0 * (link.delay + link.jitter).as_secs_f64();
    rate.min(1.22 * 1_200.0 / (trip * lost.sqrt())) / 2.0
}
