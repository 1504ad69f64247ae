//! How well a forwarder kept its times.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How late the slowest hundredth of the deliveries may be in a run that counts: a twentieth of the shortest round
/// trip at which latency is measured (20 ms). Both rivals see the same lateness; beyond this it would be the machine
/// that is measured, not the link.
pub(crate) const LATE: Duration = Duration::from_millis(1);

/// Width of a bucket.
const BUCKET: Duration = Duration::from_micros(10);
/// Buckets: up to 20 ms; what is later is in the last.
const BUCKETS: usize = 2_000;

/// How late deliveries were, in steps of 10 us.
#[derive(Clone, Debug)]
pub(crate) struct Lateness {
    buckets: Vec<u64>,
    count: u64,
    worst: Duration,
}

impl Default for Lateness {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, worst: Duration::ZERO }
    }
}

impl Lateness {
    /// One delivery.
    pub(crate) fn record(&mut self, late: Duration) {
        let bucket = (late.as_nanos() / BUCKET.as_nanos()).min(BUCKETS as u128 - 1);
        self.buckets[bucket as usize] += 1;
        self.count += 1;
        self.worst = self.worst.max(late);
    }

    /// An upper bound of what that share of the deliveries, in per mille, was late.
    pub(crate) fn quantile(&self, per_mille: u64) -> Duration {
        let rank = (self.count * per_mille).div_ceil(1_000);
        let mut seen = 0;
        for (bucket, count) in (1..).zip(&self.buckets) {
            seen += count;
            if seen >= rank && rank > 0 {
                return (BUCKET * bucket).min(self.worst);
            }
        }
        self.worst
    }
}

/// What a forwarder says about itself. Counts are of datagrams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Passed on towards the server.
    pub(crate) up: u64,
    /// Passed on towards the client.
    pub(crate) down: u64,
    /// Bytes passed on towards the client.
    pub(crate) down_bytes: u64,
    /// Dropped by the model: queue full, either direction. A link does that.
    pub(crate) queue_full: u64,
    /// Dropped by the model: above the link's MTU, as probes are. A link does that.
    pub(crate) too_large: u64,
    /// Dropped by the model: lost on the wire.
    pub(crate) lost: u64,
    /// Dropped because the link was silent.
    pub(crate) silenced: u64,
    /// Dropped by the forwarder's own sockets before it saw them: it was too slow.
    pub(crate) socket_drops: u64,
    /// Dropped because more was under way than the forwarder holds, or the kernel took no more: it was too slow.
    pub(crate) overflow: u64,
    /// Clients beyond the table's size, which took another's place.
    pub(crate) evicted: u64,
    /// Bytes that were sent into the link towards the client.
    pub(crate) down_sent_bytes: u64,
    /// Bytes in the queue towards the client as a datagram finds it, on average.
    pub(crate) queue_mean_bytes: u64,
    /// The most of them.
    pub(crate) queue_peak_bytes: u64,
    /// Lateness of deliveries, microseconds.
    pub(crate) late_p50_us: u64,
    /// The same of the slowest hundredth.
    pub(crate) late_p99_us: u64,
    /// The same of the slowest.
    pub(crate) late_max_us: u64,
    /// Processor time of the forwarder, milliseconds.
    pub(crate) cpu_ms: u64,
    /// Time since its start, milliseconds.
    pub(crate) wall_ms: u64,
}

impl Report {
    /// Why what was measured over this link does not count; `None` if it does.
    pub(crate) fn invalid(&self) -> Option<String> {
        if self.late_p99_us > LATE.as_micros() as u64 {
            return Some(format!("a link was {} us late (p99)", self.late_p99_us));
        }
        let dropped = self.socket_drops + self.overflow;
        (dropped > 0)
            .then(|| format!("a link dropped {dropped} datagrams that it should have carried"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(late: u64) -> Duration {
        Duration::from_micros(late)
    }

    #[test]
    fn quantiles_are_upper_bounds_of_a_bucket() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.quantile(990), Duration::ZERO);
        for late in 0..1_000 {
            lateness.record(micros(late));
        }
        assert_eq!(lateness.quantile(500), micros(500));
        assert_eq!(lateness.quantile(990), micros(990));
        assert_eq!(lateness.quantile(1_000), micros(999));
    }

    #[test]
    fn what_is_very_late_is_counted_and_remembered() {
        let mut lateness = Lateness::default();
        lateness.record(Duration::from_secs(3));
        assert_eq!(lateness.quantile(500), Duration::from_secs(3).min(BUCKET * BUCKETS as u32));
        assert_eq!(lateness.worst, Duration::from_secs(3));
    }

    #[test]
    fn a_late_or_leaking_forwarder_voids_a_run() {
        let good =
            Report { late_p99_us: 1_000, queue_full: 9, lost: 9, silenced: 9, ..Report::default() };
        assert_eq!(good.invalid(), None);
        for bad in [
            Report { late_p99_us: 1_001, ..good.clone() },
            Report { socket_drops: 1, ..good.clone() },
            Report { overflow: 1, ..good.clone() },
        ] {
            assert!(bad.invalid().is_some(), "{bad:?}");
        }
    }
}
