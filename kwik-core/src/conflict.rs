//! What happens when two sources send different bytes for one offset.

mod referee;

#[cfg(test)]
mod tests;

use kwik_proto::{ByteRange, Offset, PathId};

pub(crate) use referee::Referee;

/// Which bytes count where two sources sent the same range. Set per session; the client's choice.
///
/// Bytes that a read returned, or could have returned had it asked for more, never change. So the result never depends
/// on how much the reader asks for at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConflictPolicy {
    /// The bytes that arrived first stay; later copies are dropped unseen. Costs nothing.
    #[default]
    FirstWins,
    /// The primary's bytes replace a secondary's that were not read yet; among secondaries the first win. Costs one
    /// comparison of each byte that both the primary and a secondary sent.
    PrimaryWins,
    /// Copies are compared, and a difference accuses both sources until the primary's copy decides. Costs one
    /// comparison of each byte that arrives twice, and keeps a copy of up to 64 KiB of the bytes read last for it.
    Reject,
}

/// What is known about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// Two secondaries disagree: the primary's copy of the range is needed, and until it comes nobody else's counts.
    Undecided,
    /// The path disagrees with the primary, or with itself.
    Wrong(PathId),
    /// The path sent all of a range that does not have the hash that the primary named.
    Forged(PathId),
}

/// Two sources sent different bytes for one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conflict {
    /// From the first to the last byte that differs within one overlap.
    pub range: ByteRange,
    /// Whose bytes were there first.
    pub holder: PathId,
    /// Whose bytes came later.
    pub rival: PathId,
    /// Who was wrong.
    pub verdict: Verdict,
}

/// Bytes remembered of each side of a difference: one that differs is enough.
const CLAIM_BYTES: usize = 256;

/// A stretch of a frame that differs from what one path sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// From the first to the last byte that differs.
    pub(crate) range: ByteRange,
    /// Whose bytes are held.
    pub(crate) holder: PathId,
    /// The first of the held bytes in the range, at most [`CLAIM_BYTES`].
    pub(crate) held: Vec<u8>,
}

/// Compares a frame with held pieces, which come in order; at most one difference for each stretch without a hole that
/// came from one path, so that neither the pieces' sizes nor an alternating lie make a difference.
pub(crate) fn differences<'a>(
    held: impl Iterator<Item = (Offset, PathId, &'a [u8])>,
    offset: Offset,
    payload: &[u8],
) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    let mut stretch: Option<(PathId, Offset)> = None;
    let mut is_open = false;
    for (start, holder, bytes) in held {
        let Some((start, bytes, copy)) = overlap((start, bytes), (offset, payload)) else {
            continue;
        };
        is_open &= stretch == Some((holder, start));
        stretch = Some((holder, start.saturating_add(bytes.len() as u64)));
        match found.last_mut() {
            Some(last) if is_open => last.extend(start, bytes, copy),
            _ => {
                let Some(range) = differing(start, bytes, copy) else { continue };
                let mut first = Difference { range, holder, held: Vec::new() };
                first.remember(start, bytes);
                found.push(first);
                is_open = true;
            }
        }
    }
    for difference in &mut found {
        difference.held.truncate(usize::try_from(difference.range.len()).unwrap_or(CLAIM_BYTES));
    }
    found
}

impl Difference {
    /// The next piece of the same stretch.
    fn extend(&mut self, start: Offset, bytes: &[u8], copy: &[u8]) {
        if let Some(more) = differing(start, bytes, copy)
            && let Some(both) = ByteRange::new(self.range.start(), more.end())
        {
            self.range = both;
        }
        self.remember(start, bytes);
    }

    fn remember(&mut self, start: Offset, bytes: &[u8]) {
        let skip = usize::try_from(self.range.start().since(start)).unwrap_or(usize::MAX);
        let room = CLAIM_BYTES.saturating_sub(self.held.len());
        self.held.extend(bytes.iter().skip(skip).take(room));
    }
}

/// What two placed slices have in common: where it starts, and both slices there.
fn overlap<'a, 'b>(
    (a_start, a): (Offset, &'a [u8]),
    (b_start, b): (Offset, &'b [u8]),
) -> Option<(Offset, &'a [u8], &'b [u8])> {
    let start = a_start.max(b_start);
    let a = a.get(usize::try_from(start.since(a_start)).ok()?..)?;
    let b = b.get(usize::try_from(start.since(b_start)).ok()?..)?;
    let len = a.len().min(b.len());
    (len > 0).then(|| (start, &a[..len], &b[..len]))
}

/// From the first to the last byte that differs in two slices of one length.
fn differing(start: Offset, a: &[u8], b: &[u8]) -> Option<ByteRange> {
    if a == b {
        return None;
    }
    let first = a.iter().zip(b).position(|(a, b)| a != b)?;
    let last = a.iter().zip(b).rposition(|(a, b)| a != b)?;
    ByteRange::new(start.saturating_add(first as u64), start.saturating_add(last as u64 + 1))
}
