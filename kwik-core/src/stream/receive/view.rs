//! What a receiving half tells about itself.

use kwik_proto::frame::HeldRange;
use kwik_proto::{ByteRange, Offset, PathId};

use super::ReceiveHalf;
use crate::conflict::Conflict;
use crate::interval::RangeSet;
use crate::stream::{Counters, EndedWait, SourceKey, SourceStats};
use crate::time::Instant;

impl ReceiveHalf {
    /// First offset that was not read.
    pub fn read_offset(&self) -> Offset {
        self.reassembler.read_offset()
    }

    /// End of the bytes that arrived without a hole.
    pub fn contiguous_end(&self) -> Offset {
        self.reassembler.contiguous_end()
    }

    /// End of the last byte that arrived and was kept.
    pub fn received_end(&self) -> Offset {
        self.reassembler.held_end()
    }

    /// Since when the reader waits at [`read_offset`](Self::read_offset) with nothing to read.
    pub fn waiting_since(&self) -> Option<Instant> {
        self.waiting
    }

    /// The oldest wait that bytes ended and that was not asked for yet. The 16 longest are kept.
    pub fn next_ended_wait(&mut self) -> Option<EndedWait> {
        self.waits.pop_front()
    }

    /// The parts of `range` that did not arrive, in order.
    pub fn missing_in(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        self.reassembler.missing_in(range)
    }

    /// What arrived beyond [`contiguous_end`](Self::contiguous_end), nearest first, with the path that sent it; at most
    /// `limit` ranges.
    pub fn held(&self, limit: usize) -> Vec<HeldRange> {
        let mut held: Vec<HeldRange> = Vec::with_capacity(limit.min(32));
        for next in self.reassembler.held_beyond() {
            if let Some(last) = held.last_mut()
                && last.path == next.path
                && let Some(both) = joined(last.range, next.range)
            {
                last.range = both;
            } else if held.len() < limit {
                held.push(next);
            } else {
                break;
            }
        }
        held
    }

    /// The ranges that only the primary may fill, since two secondaries differ there.
    pub fn disputed(&self) -> &RangeSet {
        self.referee.disputed()
    }

    /// The oldest conflict that the session has not heard of: ask the primary for the range of an
    /// [`Undecided`](crate::conflict::Verdict::Undecided) one, isolate the path of a [`Wrong`](crate::conflict::Verdict::Wrong) one.
    pub fn next_conflict(&mut self) -> Option<Conflict> {
        self.referee.next_verdict()
    }

    /// What a carrier delivered so far; `None` once it was removed.
    pub fn source(&self, source: SourceKey) -> Option<SourceStats> {
        self.sources.find(source).map(|source| source.stats)
    }

    /// Number of carriers that feed the half.
    pub fn source_count(&self) -> usize {
        self.sources.count()
    }

    /// For each path that ever fed the half, the bytes it delivered first. They add up to the bytes held and read.
    pub fn path_bytes(&self) -> impl Iterator<Item = (PathId, u64)> + '_ {
        self.sources.path_bytes()
    }

    /// Bytes of memory that the half keeps alive.
    pub fn pinned(&self) -> u64 {
        self.reassembler.pinned() + self.referee.memory()
    }

    /// The most that the reassembler ever kept alive.
    pub fn peak_pinned(&self) -> u64 {
        self.reassembler.peak_pinned()
    }

    /// Sums over the life of the half.
    pub fn counters(&self) -> Counters {
        Counters { copied_bytes: self.reassembler.copied(), ..self.counters }
    }
}

/// Both ranges as one, if they touch.
fn joined(first: ByteRange, second: ByteRange) -> Option<ByteRange> {
    (first.end() == second.start()).then(|| ByteRange::new(first.start(), second.end()))?
}
