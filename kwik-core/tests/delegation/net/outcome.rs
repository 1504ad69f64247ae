//! What came of a run, for bounds and for eyes.

use std::time::Duration;

use kwik_core::delegation::Event as Told;

use super::MBIT;

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) complete: bool,
    pub(crate) gave_up: bool,
    pub(crate) missing: Option<(u64, u64)>,
    pub(crate) seconds: f64,
    pub(crate) stall: Duration,
    /// What was read by the end of each second.
    pub(crate) by_second: Vec<u64>,
    /// When the reader got its first byte.
    pub(crate) first_byte: Duration,
    pub(crate) redundant: u64,
    pub(crate) last_percent: f64,
    pub(crate) size: u64,
    /// Sum of the servers' rates at the beginning.
    pub(crate) rate: u64,
    pub(crate) orders: u64,
    pub(crate) received: Vec<u64>,
    pub(crate) repairs: u64,
    pub(crate) hedges: u64,
    pub(crate) end_game_copies: u64,
    pub(crate) told: Vec<Told>,
}

impl Outcome {
    pub(crate) fn redundancy(&self) -> f64 {
        self.redundant as f64 / self.size as f64
    }

    /// Time for the last hundredth of the bytes, in units of its fair share at the sum of the rates.
    pub(crate) fn last_percent_share(&self) -> f64 {
        self.last_percent * 100.0 * self.rate as f64 / self.size as f64
    }

    /// Bytes per second, against a sum of rates.
    pub(crate) fn efficiency(&self, rate: u64) -> f64 {
        self.size as f64 / rate as f64 / self.seconds
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mbit = self.size as f64 / self.seconds / MBIT as f64;
        write!(
            f,
            "{:.3} s, {mbit:.0} Mbit/s ({:.1}%), first byte {} ms, stall {} ms, redundant {:.2}%, last 1% {:.2} x, {} orders, {} repairs, {} hedges, {} tails, by path {:?} kB{}",
            self.seconds,
            self.efficiency(self.rate) * 100.0,
            self.first_byte.as_millis(),
            self.stall.as_millis(),
            self.redundancy() * 100.0,
            self.last_percent_share(),
            self.orders,
            self.repairs,
            self.hedges,
            self.end_game_copies,
            self.received.iter().map(|bytes| bytes / 1000).collect::<Vec<_>>(),
            if self.complete { "" } else { ", NOT COMPLETE" },
        )
    }
}
