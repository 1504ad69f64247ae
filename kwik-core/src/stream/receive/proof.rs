//! Ranges whose hash the primary named: nobody reads a byte of them before the hash holds.

use std::collections::BTreeSet;

use kwik_proto::{ByteRange, Offset, PathId};

use super::claims::{Claim, ClaimKey, Claims};
use super::{ReceiveHalf, State};
use crate::conflict::{Conflict, Verdict};
use crate::interval::RangeSet;
use crate::reassembly::Reassembler;

/// Hashes that are awaited at a time on one stream: as many as a primary has delegations. The primary pays for more with
/// its session.
const CLAIMS: usize = 16_384;

/// Bytes that may be hashed on one stream: so many times those that its windows were open for. A primary of KWIK's hashes a
/// range four times at most ([`proving`](crate::proving)), and what it repeats is not counted twice. Without it thousands of
/// ranges, each longer by a byte than the one before, have a window hashed once for each of them, at a hundred bytes an order.
/// The primary pays for more with its session.
const MOST_HASHED: u64 = 16;

/// BLAKE3 of a range.
pub type RangeHash = [u8; 32];

/// What is to be proven, and what is.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    claims: Claims,
    /// Bytes of all claims so far.
    claimed: u64,
    /// Bytes that wait for a proof.
    open: RangeSet,
    /// Unread bytes that were proven, or came from the primary.
    proven: RangeSet,
}

impl Proofs {
    fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// `read`: the reader's offset. `window`: the first byte that may not come yet.
    fn expect(&mut self, range: ByteRange, hash: RangeHash, read: Offset, window: Offset) -> bool {
        let unread = ByteRange::new(range.start().max(read), range.end()).unwrap_or_default();
        let unproven: RangeSet = self.proven.missing_in(unread).collect();
        if range.start() >= read {
            for part in unproven.iter() {
                self.open.insert(part);
            }
            return unproven.is_empty() || self.claim(range, Some(hash), window);
        }
        // What other hashes cover is proven by them.
        let parts: Vec<ByteRange> = unproven.iter().collect();
        let parts =
            parts.into_iter().flat_map(|part| self.open.missing_in(part).collect::<Vec<_>>());
        let alone: Vec<ByteRange> = parts.collect();
        alone.into_iter().all(|part| {
            self.open.insert(part);
            self.claim(part, None, window)
        })
    }

    fn claim(&mut self, range: ByteRange, hash: Option<RangeHash>, window: Offset) -> bool {
        if self.claims.has(range, hash) {
            return true;
        }
        let claimed = self.claimed.saturating_add(range.len());
        let most = window.value().saturating_mul(MOST_HASHED);
        if self.claims.len() >= CLAIMS || claimed > most {
            return false;
        }
        self.claimed = claimed;
        self.claims.insert(Claim { range, hash, read: None, read_end: range.start() });
        true
    }

    /// First byte that may not be read.
    pub(super) fn gate(&self) -> Option<Offset> {
        self.open.first().map(ByteRange::start)
    }

    /// Parts of `range` whose bytes nothing vouches for.
    pub(super) fn unproven_in(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> {
        self.proven.missing_in(range)
    }

    /// Parts of `range` that were proven.
    pub(super) fn proven_in(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> {
        self.proven.iter_in(range)
    }

    fn prove(&mut self, range: ByteRange) {
        self.open.remove(range);
        self.proven.insert(range);
    }

    /// The claims of which `arrived` was the last part that is missing.
    fn completed(&self, arrived: ByteRange, reassembler: &Reassembler) -> Vec<ClaimKey> {
        let touched = self.claims.touching(arrived);
        let complete =
            touched.filter(|(_, claim)| reassembler.missing_in(claim.rest()).next().is_none());
        let mut complete: Vec<ClaimKey> = complete.map(|(key, _)| key).collect();
        complete.sort();
        complete
    }

    /// Bytes leave: whoever still waits for the rest of a range takes them into account.
    fn handle_read(&mut self, offset: Offset, bytes: &[u8]) {
        let end = offset.saturating_add(bytes.len() as u64);
        self.claims.handle_read(offset, bytes, end);
        if let Some(read) = ByteRange::new(Offset::ZERO, end) {
            self.proven.remove(read);
        }
    }
}

impl ReceiveHalf {
    /// The primary named the BLAKE3 of a range: from now on none of it is read before it holds, whoever sends it. Bytes of
    /// the primary itself need no proof. `false`: too many hashes are awaited, or too many bytes are to be hashed.
    ///
    /// Where the range begins with bytes that were read already its hash is of no use: what no other hash covers is then
    /// believed of the primary alone.
    #[must_use]
    pub fn expect_hash(&mut self, range: ByteRange, hash: RangeHash) -> bool {
        if self.state != State::Open || range.is_empty() {
            return true;
        }
        let (read, window) = (self.reassembler.read_offset(), self.window.max_offset());
        let taken = self.proofs.expect(range, hash, read, window);
        self.settled_end = self.settled_end.min(self.readable_end());
        let _ = self.prove(range);
        taken
    }

    /// End of the bytes that can be read: those without a hole, up to the first that waits for a proof.
    pub fn readable_end(&self) -> Offset {
        let end = self.reassembler.contiguous_end();
        self.proofs.gate().map_or(end, |gate| gate.min(end))
    }

    /// The primary's own copy of what nobody has proven takes the place of other copies.
    pub(super) fn make_way_for_primary(&mut self, range: ByteRange) {
        if self.proofs.is_idle() {
            return;
        }
        self.discard_open(range);
        let open: Vec<ByteRange> = self.proofs.open.iter_in(range).collect();
        open.into_iter().for_each(|part| self.proofs.prove(part));
        self.referee.settle(range);
    }

    /// Looks at the hashes of what just became whole; the first that does not hold.
    pub(super) fn prove(&mut self, arrived: ByteRange) -> Option<Conflict> {
        if self.proofs.is_idle() {
            return None;
        }
        let mut first = None;
        for key in self.proofs.completed(arrived, &self.reassembler) {
            let Some(claim) = self.proofs.claims.get(key) else { continue };
            let rest = claim.rest();
            if !self.proofs.open.overlaps(rest) {
                self.proofs.claims.remove(key);
            } else if self.reassembler.missing_in(rest).next().is_some() {
                // Another claim has just had some of it thrown away: nothing is hashed in vain.
            } else if claim.holds(&self.reassembler) {
                self.proofs.claims.remove(key);
                self.proofs.prove(rest);
            } else {
                let blame = claim.hash.is_some();
                let rejected = self.reject(rest, blame);
                first = first.or(rejected);
            }
        }
        first
    }

    /// Throws away what has not been proven of a range that is wrong. Where one path sent all of it, it lied (if that is
    /// known: `blame`); else only the primary's copy can tell, and until it comes nobody else's counts.
    fn reject(&mut self, range: ByteRange, blame: bool) -> Option<Conflict> {
        let discarded = self.discard_open(range);
        if discarded.is_empty() {
            // The primary's own bytes: it is not held to its word.
            self.proofs.prove(range);
        }
        let paths: BTreeSet<PathId> = discarded.iter().map(|(path, _)| *path).collect();
        let (_, first) = *discarded.first()?;
        let (_, last) = *discarded.last()?;
        let hull = ByteRange::new(first.start(), last.end())?;
        let holder = *paths.first()?;
        let verdict = match blame && paths.len() == 1 {
            true => Verdict::Forged(holder),
            false => Verdict::Undecided,
        };
        if verdict == Verdict::Undecided {
            discarded.iter().for_each(|(_, part)| self.referee.reserve(*part));
        }
        let rival = paths.last().copied().unwrap_or(holder);
        let conflict = Conflict { range: hull, holder, rival, verdict };
        self.announce(conflict);
        Some(conflict)
    }

    /// Throws secondaries' bytes away that wait for a proof; returns them in order, with who sent them.
    fn discard_open(&mut self, range: ByteRange) -> Vec<(PathId, ByteRange)> {
        let open: Vec<ByteRange> = self.proofs.open.iter_in(range).collect();
        let held = open.into_iter().flat_map(|part| self.reassembler.held_in(part));
        let pieces = held.filter_map(|(start, path, bytes)| {
            Some((path, ByteRange::with_length(start, bytes.len() as u64)?))
        });
        let pieces: Vec<_> = pieces.filter(|(path, _)| !path.is_primary()).collect();
        pieces.iter().for_each(|(path, piece)| self.discard(*path, *piece));
        pieces
    }

    /// Bytes are about to be given to the reader.
    pub(super) fn note_read(&mut self, offset: Offset, bytes: &[u8]) {
        if !self.proofs.claims.is_empty() {
            self.proofs.handle_read(offset, bytes);
        }
    }
}
