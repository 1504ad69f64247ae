//! How long bytes waited for those before them.

use kwik_proto::ByteRange;

use super::ReceiveHalf;
use crate::delay::DelayHistogram;
use crate::time::Instant;

impl ReceiveHalf {
    /// The in-order delay of every byte that the reader could have had by now: from when its frame was taken to when no byte
    /// before it was missing or [unproven](Self::readable_end) any more.
    ///
    /// What the reader itself takes to come for it is not in it: a slow reader says nothing about the order in which sources
    /// send.
    pub fn in_order_delay(&self) -> &DelayHistogram {
        &self.delays
    }

    /// Counts what has become readable. Each byte counts once: one that is thrown away later and comes again does not count
    /// again.
    pub(super) fn note_delivered(&mut self, now: Instant) {
        let end = self.readable_end();
        if end <= self.delivered_end {
            return;
        }
        let range = ByteRange::new(self.delivered_end, end).unwrap_or_default();
        for (bytes, arrived) in self.reassembler.arrivals_in(range) {
            self.delays.record(now.since(arrived), bytes);
        }
        self.delivered_end = end;
    }
}
