//! When bytes arrive from a path: the one estimate behind every comparison of paths, at the primary and at the client.
//!
//! `bytes ahead / rate + latency`: what the path has to send before, at the rate that was measured, and the time that an
//! order takes. Each question differs in the bytes ahead and in the latency alone:
//!
//! | question | whose bytes | ahead | latency |
//! | --- | --- | --- | --- |
//! | admission, end game, takeover: a new order | anybody's | all that the path owes | the order's way |
//! | end game: the tail that a path owes | the owner's | what it owes before that | none: it knows |
//! | takeover of a slow or late range | the owner's | none: the reader waits for its first byte | none |
//! | comparison at the client: a copy | anybody's | none: what is urgent overtakes the queue | the order's way |
//! | the client's clocks: a range's first byte | the owner's | what it owed when it was asked | a round trip |
//!
//! A path whose silence is longer than [`longest_silence`] is not expected to go on at its rate at all.

use std::time::Duration;

use super::constants::{FRAME, SHORTEST_STALL, SILENCE, SOONER, THRICE, WORTH_AN_ORDER};

/// The longest time that is forecast: beyond it nobody waits.
const NEVER: f64 = 3600.0;

/// The slowest rate that is reckoned with, in bytes per second.
const STANDSTILL: f64 = 1e-3;

/// What is known of a path at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Forecast {
    /// Bytes per second.
    rate: f64,
    /// Bytes that it has to send before anything new.
    queue: u64,
    /// Seconds from an order to its first byte, where nothing else is to be sent.
    latency: f64,
    /// Its bytes flow, so that an order travels while the queue drains.
    flowing: bool,
}

impl Forecast {
    /// A path that delivers `rate` bytes per second. `flowing`: it was seen to.
    pub(crate) fn new(rate: f64, queue: u64, latency: Duration, flowing: bool) -> Self {
        Self { rate: rate.max(STANDSTILL), queue, latency: latency.as_secs_f64(), flowing }
    }

    /// The same path, if the range in question comes at `rate` bytes per second at most.
    pub(crate) fn at_most(self, rate: f64) -> Self {
        Self { rate: self.rate.min(rate).max(STANDSTILL), ..self }
    }

    /// Bytes per second.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// Seconds until the last of `len` bytes arrives that come behind `ahead` others, their order being `latency` away.
    fn arrival(&self, ahead: u64, len: u64, latency: f64) -> f64 {
        let queue = ahead as f64 / self.rate;
        let begins = if self.flowing { queue.max(latency) } else { queue + latency };
        begins + len as f64 / self.rate
    }

    /// Seconds until the first byte of an order that is given now.
    pub(crate) fn begins(&self) -> f64 {
        self.ordered(0)
    }

    /// Seconds until `len` bytes have arrived that are ordered now, behind all that the path owes.
    pub(crate) fn ordered(&self, len: u64) -> f64 {
        self.arrival(self.queue, len, self.latency)
    }

    /// Seconds until `len` bytes have arrived that the path owes, behind `ahead` others.
    pub(crate) fn owed(&self, ahead: u64, len: u64) -> f64 {
        self.arrival(ahead, len, 0.0)
    }
}

/// How long a path that owes bytes may deliver none, where an order takes `control_loop` to show its effect: after that its
/// rate says nothing about it any more. Bytes are seen in whole frames, so a slow path is not silent between two.
pub(crate) fn longest_silence(rate: Option<u64>, control_loop: Duration) -> Duration {
    let frames = 2 * FRAME;
    let frames = rate.map(|rate| frames as f64 / rate.max(frames / 4) as f64).unwrap_or_default();
    SILENCE.max(control_loop * THRICE).max(Duration::from_secs_f64(frames))
}

/// Whether it pays to have others bring in `other` seconds what its owner brings in `own`: that costs redundant bytes, or
/// those that the owner has under way. The one rule of all takeovers, at both ends.
pub(crate) fn pays(own: f64, other: f64) -> bool {
    own >= other * SOONER && own - other >= SHORTEST_STALL.as_secs_f64()
}

/// Whether it is worth an order that costs nothing else.
pub(crate) fn saves(own: f64, other: f64) -> bool {
    own - other >= WORTH_AN_ORDER
}

/// A number of seconds as a time, an hour at most.
pub(crate) fn time(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, NEVER))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_order_travels_while_the_queue_of_a_path_that_delivers_drains() {
        let table = [
            // (queue, flows, seconds until 1,000 new bytes are there)
            (0, true, 0.05 + 1.0),
            (20, true, 0.05 + 1.0),
            (500, true, 0.5 + 1.0),
            (500, false, 0.5 + 0.05 + 1.0),
        ];
        for (queue, flowing, expected) in table {
            let forecast = Forecast::new(1000.0, queue, MS * 50, flowing);
            assert!((forecast.ordered(1000) - expected).abs() < 1e-9, "{queue} {flowing}");
            assert!((forecast.begins() - expected + 1.0).abs() < 1e-9, "{queue} {flowing}");
        }
    }

    #[test]
    fn what_is_owed_needs_no_order_and_waits_only_for_what_is_before_it() {
        let forecast = Forecast::new(1000.0, 9_000, MS * 50, true);
        assert!((forecast.owed(500, 1000) - 1.5).abs() < 1e-9);
        assert!((forecast.at_most(100.0).owed(500, 1000) - 15.0).abs() < 1e-9);
        assert!((forecast.at_most(5000.0).owed(500, 1000) - 1.5).abs() < 1e-9);
    }

    #[test]
    fn a_path_that_stands_still_takes_for_ever_and_no_longer() {
        let still = Forecast::new(0.0, 1, MS, true);
        assert!(still.ordered(1).is_finite());
        assert_eq!(time(still.ordered(u64::MAX)), Duration::from_secs(3600));
    }

    #[test]
    fn a_takeover_pays_where_it_is_much_sooner_and_the_reader_notices() {
        let table = [
            // (owner, other, pays, saves)
            (0.200, 0.100, true, true),
            (0.199, 0.100, false, true),
            (0.050, 0.000, true, true),
            (0.049, 0.000, false, true),
            (0.110, 0.101, false, false),
            (0.100, 0.200, false, false),
        ];
        for (own, other, takeover, order) in table {
            assert_eq!((pays(own, other), saves(own, other)), (takeover, order), "{own} {other}");
        }
    }

    #[test]
    fn silence_is_measured_in_loops_and_frames() {
        let table = [
            (None, 10, 250),
            (None, 100, 300),
            (Some(10_000_000), 10, 250),
            (Some(131_072), 10, 1_000),
            // A path that hardly delivers is not waited for as long as its rate would have it.
            (Some(1), 10, 4_000),
        ];
        for (rate, control_loop, expected) in table {
            assert_eq!(longest_silence(rate, MS * control_loop), MS * expected, "{rate:?}");
        }
    }
}
