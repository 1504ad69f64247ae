//! What the conflict policies do with a frame that overlaps held bytes.

use bytes::Bytes;
use kwik_proto::{ByteRange, Offset, PathId};

use super::{Failure, ReceiveError, ReceiveHalf, rest_of_stream};
use crate::conflict::{Conflict, ConflictPolicy, Difference, Verdict, differences};

impl ReceiveHalf {
    /// Makes room for the bytes that count before the frame is inserted; returns the first difference.
    pub(super) fn judge(
        &mut self,
        path: PathId,
        range: ByteRange,
        payload: &Bytes,
    ) -> Result<Option<Conflict>, ReceiveError> {
        match self.policy {
            ConflictPolicy::FirstWins => Ok(None),
            ConflictPolicy::PrimaryWins if path.is_primary() => {
                Ok(self.prefer_primary(range, payload))
            }
            ConflictPolicy::PrimaryWins => Ok(None),
            ConflictPolicy::Reject => self.compare_all(path, range, payload),
        }
    }

    /// Throws secondaries' bytes that differ from the primary's away, unless they are settled.
    fn prefer_primary(&mut self, range: ByteRange, payload: &Bytes) -> Option<Conflict> {
        let open = range.intersection(rest_of_stream(self.settled_end))?;
        if !self.reassembler.overlaps(open) {
            return None;
        }
        let mut first = None;
        for difference in self.differences_in(open, range.start(), payload) {
            if !difference.holder.is_primary() {
                let conflict =
                    conflict(&difference, PathId::PRIMARY, Verdict::Wrong(difference.holder));
                first.get_or_insert(conflict);
                self.counters.conflicts += 1;
                self.discard(difference.holder, difference.range);
            }
        }
        first
    }

    fn differences_in(&self, part: ByteRange, offset: Offset, payload: &Bytes) -> Vec<Difference> {
        differences(self.reassembler.held_in(part), offset, payload)
    }

    /// Where a frame differs from settled bytes, read or not, as far back as they are remembered.
    fn differences_from_settled(&self, range: ByteRange, payload: &Bytes) -> Vec<Difference> {
        let Some(part) = ByteRange::new(self.memory_start, self.settled_end)
            .and_then(|settled| settled.intersection(range))
        else {
            return Vec::new();
        };
        let held = self.referee.history().chain(self.reassembler.held_in(part));
        differences(within(held, part), range.start(), payload)
    }

    /// Where a secondary's frame differs from bytes whose hash holds. There is nothing to ask the primary then.
    fn difference_from_proven(
        &self,
        path: PathId,
        range: ByteRange,
        payload: &Bytes,
    ) -> Option<Difference> {
        if path.is_primary() {
            return None;
        }
        let mut proven = self.proofs.proven_in(range);
        proven.find_map(|part| self.differences_in(part, range.start(), payload).into_iter().next())
    }

    /// Compares with everything that is held or remembered.
    fn compare_all(
        &mut self,
        path: PathId,
        range: ByteRange,
        payload: &Bytes,
    ) -> Result<Option<Conflict>, ReceiveError> {
        let mut first = None;
        if path.is_primary() {
            for verdict in self.referee.decide(range.start(), payload) {
                first.get_or_insert(verdict);
                self.announce(verdict);
            }
        }
        if let Some(difference) = self.difference_from_proven(path, range, payload) {
            let conflict = conflict(&difference, path, Verdict::Wrong(path));
            self.announce(conflict);
            return Err(ReceiveError::Conflict { conflict });
        }
        let mut found = self.differences_from_settled(range, payload);
        if let Some(open) = range.intersection(rest_of_stream(self.settled_end))
            && self.reassembler.overlaps(open)
        {
            found.extend(self.differences_in(open, range.start(), payload));
        }
        if let Some(difference) = found.iter().find(|difference| convicts(difference, path)) {
            let conflict = conflict(difference, path, Verdict::Wrong(path));
            self.announce(conflict);
            return Err(ReceiveError::Conflict { conflict });
        }
        for difference in found.iter().filter(|difference| difference.holder != path) {
            let conflict = if path.is_primary() {
                self.overrule(difference)
            } else {
                self.dispute(difference, path, range.start(), payload)
            };
            first.get_or_insert(conflict);
        }
        Ok(first)
    }

    /// The primary differs from a secondary: its bytes count. What was settled cannot be mended.
    fn overrule(&mut self, difference: &Difference) -> Conflict {
        let conflict = conflict(difference, PathId::PRIMARY, Verdict::Wrong(difference.holder));
        self.announce(conflict);
        if difference.range.start() < self.settled_end {
            let (offset, len) = (difference.range.start(), difference.range.len());
            self.fail(Failure::DataConflict { offset, len });
        } else {
            self.discard(difference.holder, difference.range);
        }
        conflict
    }

    /// Two secondaries differ: both copies go, and the primary's is awaited.
    fn dispute(
        &mut self,
        difference: &Difference,
        rival: PathId,
        offset: Offset,
        payload: &Bytes,
    ) -> Conflict {
        let conflict = conflict(difference, rival, Verdict::Undecided);
        let from = usize::try_from(difference.range.start().since(offset)).unwrap_or(payload.len());
        let copy = payload.get(from..).unwrap_or_default();
        self.counters.conflicts += 1;
        self.referee.open(conflict, &difference.held, copy);
        if let Some(open) = difference.range.intersection(rest_of_stream(self.settled_end)) {
            // What lies between two differing bytes may be proven.
            let unproven: Vec<ByteRange> = self.proofs.unproven_in(open).collect();
            for part in unproven {
                self.referee.reserve(part);
                self.discard(difference.holder, part);
            }
        }
        conflict
    }
}

/// The parts of placed slices within `part`.
fn within<'a>(
    held: impl Iterator<Item = (Offset, PathId, &'a [u8])>,
    part: ByteRange,
) -> impl Iterator<Item = (Offset, PathId, &'a [u8])> {
    held.filter_map(move |(start, path, bytes)| {
        let range = ByteRange::with_length(start, bytes.len() as u64)?.intersection(part)?;
        let from = usize::try_from(range.start().since(start)).ok()?;
        let to = usize::try_from(range.end().since(start)).ok()?;
        Some((range.start(), path, bytes.get(from..to)?))
    })
}

/// Whether the frame's source is wrong for sure: it differs from the primary, or from itself.
fn convicts(difference: &Difference, path: PathId) -> bool {
    !path.is_primary() && (difference.holder.is_primary() || difference.holder == path)
}

fn conflict(difference: &Difference, rival: PathId, verdict: Verdict) -> Conflict {
    Conflict { range: difference.range, holder: difference.holder, rival, verdict }
}
