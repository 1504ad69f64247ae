//! What must be remembered to tell who was wrong.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use kwik_proto::{ByteRange, Offset, PathId};

use super::{CLAIM_BYTES, Conflict, Verdict, differences};
use crate::interval::RangeSet;

/// Undecided differences whose bytes are remembered. When there are more, the oldest is forgotten: its range still waits
/// for the primary's copy, but nobody is convicted by it.
const MAX_CLAIMS: usize = 16;
/// Verdicts that wait for the session. When there are more, two questions to the primary become one, which costs it a
/// longer copy: a question that is lost would leave its range without an owner. Where there are no two, the oldest
/// verdict is dropped: that source stays until it differs again.
const MAX_VERDICTS: usize = 64;
/// Most bytes that were read and can still be compared.
const HISTORY_BYTES: u64 = 64 << 10;

/// Two secondaries' bytes for one range.
#[derive(Debug)]
struct Claim {
    range: ByteRange,
    /// Start of the remembered bytes.
    start: Offset,
    sides: [(PathId, Bytes); 2],
}

/// The memory of [`ConflictPolicy::Reject`](super::ConflictPolicy::Reject): ranges that only the primary may fill, both
/// sides of each open difference, the bytes that were read last, and the verdicts that the session has yet to hear.
#[derive(Debug, Default)]
pub(crate) struct Referee {
    /// Ranges for which the primary's copy is awaited.
    disputed: RangeSet,
    /// Ranges for which the session was told to ask for it, those that were read among them. Who sends the same lie again
    /// and again must not fill the control stream to the primary.
    asked: RangeSet,
    claims: VecDeque<Claim>,
    history: VecDeque<(Offset, PathId, Bytes)>,
    /// Bytes in `history`.
    history_len: u64,
    verdicts: VecDeque<Conflict>,
}

impl Referee {
    /// The ranges that only the primary may fill.
    pub(crate) fn disputed(&self) -> &RangeSet {
        &self.disputed
    }

    /// How many of the settled bytes can be compared: 64 KiB, at most a quarter of the window.
    pub(crate) fn reach(window: u64) -> u64 {
        HISTORY_BYTES.min(window / 4)
    }

    /// Bytes of memory in use: at most a quarter of the window and 8 KiB.
    pub(crate) fn memory(&self) -> u64 {
        let claims = self.claims.iter().flat_map(|claim| &claim.sides);
        self.history_len + claims.map(|(_, bytes)| bytes.len() as u64).sum::<u64>()
    }

    /// The oldest verdict that the session has not heard.
    pub(crate) fn next_verdict(&mut self) -> Option<Conflict> {
        self.verdicts.pop_front()
    }

    pub(crate) fn announce(&mut self, conflict: Conflict) {
        if self.verdicts.len() == MAX_VERDICTS {
            self.make_room();
        }
        self.verdicts.push_back(conflict);
    }

    fn make_room(&mut self) {
        let is_question = |conflict: &Conflict| conflict.verdict == Verdict::Undecided;
        let mut questions = (0..self.verdicts.len()).filter(|&at| is_question(&self.verdicts[at]));
        if let (Some(first), Some(second)) = (questions.next(), questions.next())
            && let Some(second) = self.verdicts.remove(second)
        {
            let first = &mut self.verdicts[first].range;
            let (start, end) = (first.start(), first.end());
            let (start, end) = (start.min(second.range.start()), end.max(second.range.end()));
            *first = ByteRange::new(start, end).unwrap_or(*first);
        } else {
            self.verdicts.pop_front();
        }
    }

    /// Remembers bytes that were read, and forgets what lies before `since`.
    pub(crate) fn remember(&mut self, offset: Offset, path: PathId, bytes: &[u8], since: Offset) {
        let skip = usize::try_from(since.since(offset)).unwrap_or(usize::MAX).min(bytes.len());
        let kept = Bytes::copy_from_slice(&bytes[skip..]);
        self.history_len += kept.len() as u64;
        self.history.push_back((offset.saturating_add(skip as u64), path, kept));
        while let Some((start, _, oldest)) = self.history.front_mut() {
            let old = usize::try_from(since.since(*start)).unwrap_or(usize::MAX).min(oldest.len());
            if old == 0 && !oldest.is_empty() {
                break;
            }
            self.history_len -= old as u64;
            oldest.advance(old);
            *start = start.saturating_add(old as u64);
            if oldest.is_empty() {
                self.history.pop_front();
            }
        }
    }

    /// The bytes that were read last, in order.
    pub(crate) fn history(&self) -> impl Iterator<Item = (Offset, PathId, &[u8])> + '_ {
        self.history.iter().map(|(start, path, bytes)| (*start, *path, &bytes[..]))
    }

    /// Remembers both sides of a difference between secondaries; `held` is the holder's bytes and `copy` the rival's, both
    /// of `conflict.range`.
    pub(crate) fn open(&mut self, conflict: Conflict, held: &[u8], copy: &[u8]) {
        let len = CLAIM_BYTES.min(held.len()).min(copy.len());
        if self.claims.len() == MAX_CLAIMS {
            self.claims.pop_front();
        }
        self.claims.push_back(Claim {
            range: conflict.range,
            start: conflict.range.start(),
            sides: [
                (conflict.holder, Bytes::copy_from_slice(&held[..len])),
                (conflict.rival, Bytes::copy_from_slice(&copy[..len])),
            ],
        });
        if !self.asked.covers(conflict.range) {
            self.asked.insert(conflict.range);
            self.announce(conflict);
        }
    }

    /// Reserves a range for the primary.
    pub(crate) fn reserve(&mut self, range: ByteRange) {
        self.disputed.insert(range);
    }

    /// The primary's copy is here, and nobody is to be judged by it.
    pub(crate) fn settle(&mut self, range: ByteRange) {
        if self.claims.is_empty() {
            self.disputed.remove(range);
        }
    }

    /// The primary's copy is here: whoever differs from it is wrong.
    pub(crate) fn decide(&mut self, offset: Offset, payload: &[u8]) -> Vec<Conflict> {
        let mut verdicts = Vec::new();
        let Some(copy) = ByteRange::with_length(offset, payload.len() as u64) else {
            return verdicts;
        };
        self.disputed.remove(copy);
        self.asked.remove(copy);
        self.claims.retain(|claim| {
            if !copy.contains(claim.start) {
                return true;
            }
            for (path, bytes) in &claim.sides {
                let held = std::iter::once((claim.start, *path, &bytes[..]));
                for difference in differences(held, offset, payload) {
                    verdicts.push(Conflict {
                        range: difference.range,
                        holder: *path,
                        rival: PathId::PRIMARY,
                        verdict: Verdict::Wrong(*path),
                    });
                }
            }
            false
        });
        verdicts
    }

    /// A path is out: what it claimed is no longer disputed.
    pub(crate) fn withdraw(&mut self, path: PathId) {
        let (mut gone, mut kept) = (RangeSet::new(), RangeSet::new());
        self.claims.retain(|claim| {
            let withdrawn = claim.sides.iter().any(|(side, _)| *side == path);
            if withdrawn {
                gone.insert(claim.range)
            } else {
                kept.insert(claim.range)
            };
            !withdrawn
        });
        for range in gone.iter() {
            for part in kept.missing_in(range) {
                self.disputed.remove(part);
                self.asked.remove(part);
            }
        }
    }

    /// Forgets everything but the verdicts.
    pub(crate) fn clear(&mut self) {
        let verdicts = std::mem::take(&mut self.verdicts);
        *self = Self { verdicts, ..Self::default() };
    }
}
