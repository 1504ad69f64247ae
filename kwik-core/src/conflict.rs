//! What happens when two sources send different bytes for one offset.

#[cfg(test)]
mod tests;

use kwik_proto::{ByteRange, PathId};

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
    /// comparison of each byte that arrives twice, and keeps up to 64 KiB of read bytes for it.
    Reject,
}

/// What is known about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// Two secondaries disagree: the primary's copy of the range is needed, and until it comes nobody else's counts.
    Undecided,
    /// The path disagrees with the primary.
    Wrong(PathId),
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
