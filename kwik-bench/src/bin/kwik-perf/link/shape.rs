//! What one direction of a link is like, as a process is told it.

use std::time::Duration;

use kwik_sim::link::{Chance, LinkConfig, Rate};
use serde::{Deserialize, Serialize};

/// One direction of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// Bits per second; `None`: no limit.
    pub(crate) rate: Option<u64>,
    /// Propagation delay, microseconds.
    pub(crate) delay_us: u64,
    /// The most that chance adds to it, microseconds.
    pub(crate) jitter_us: u64,
    /// The most that chance adds to the delay of every datagram without keeping their order, microseconds.
    #[serde(default)]
    pub(crate) reordering_us: u64,
    /// Datagrams of a million that are lost.
    pub(crate) lost_per_million: u32,
    /// Room of the queue, bytes.
    pub(crate) queue: usize,
}

/// The shallowest queue: on a short link one bandwidth-delay product has no room for a burst of QUIC's.
const SHALLOWEST: u64 = 64 << 10;

impl Shape {
    /// So many Mbit/s, half of a round trip of so many milliseconds, and a queue of one bandwidth-delay product, at
    /// least 64 KiB.
    pub(crate) fn new(mbit: u64, rtt_ms: u64) -> Self {
        let (rate, rtt) = (Rate::mbit(mbit), Duration::from_millis(rtt_ms));
        Self {
            rate: Some(rate.bits_per_second()),
            delay_us: (rtt / 2).as_micros() as u64,
            queue: rate.bytes_in(rtt).max(SHALLOWEST) as usize,
            ..Self::default()
        }
    }

    /// As the model takes it.
    pub(crate) fn config(self) -> LinkConfig {
        LinkConfig {
            rate: self.rate.map(Rate::bits),
            delay: Duration::from_micros(self.delay_us),
            jitter: Duration::from_micros(self.jitter_us),
            reordered: Chance::ALWAYS,
            reordering: Duration::from_micros(self.reordering_us),
            loss: Chance::per_million(self.lost_per_million),
            queue: self.queue,
            ..LinkConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_has_room_for_one_bandwidth_delay_product() {
        let config = Shape::new(100, 20).config();
        assert_eq!(config.rate, Some(Rate::mbit(100)));
        assert_eq!((config.delay, config.queue), (Duration::from_millis(10), 250_000));
        assert_eq!(Shape::new(100, 5).queue, 64 << 10);
    }
}
