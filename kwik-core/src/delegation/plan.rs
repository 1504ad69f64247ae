//! A range that the application delegated, while bytes of it are missing.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kwik_proto::frame::GapReason;
use kwik_proto::{ByteRange, Offset, PathId};

use super::constants::{END_GAME_OF_PLAN, FEW_PACKETS, THRICE};
use super::outcome::{Candidates, Local, PlanId};
use super::pick::{self, Standing};
use crate::interval::RangeSet;

/// One delegated range: who may be asked, who refused, and which bytes nobody was asked for yet.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) id: PlanId,
    pub(super) range: ByteRange,
    pub(super) resource: Bytes,
    candidates: Candidates,
    local: Local,
    /// Missing bytes that no live delegation covers.
    pub(super) pool: RangeSet,
    /// Bytes of the pool that somebody was asked for before.
    pub(super) lost: RangeSet,
    /// Who is not asked again, and why.
    refused: BTreeMap<PathId, GapReason>,
    /// Who said Pending and has not said Accepted yet.
    pending: BTreeSet<PathId>,
    /// Ranges in a row that a path broke off.
    failures: BTreeMap<PathId, u32>,
    /// Bytes of it that the end game had copied.
    pub(super) copied_at_end: u64,
    pub(super) last_reason: Option<GapReason>,
    pub(super) given_up: bool,
    /// The client was told that nobody can be asked.
    pub(super) unserved: bool,
    /// Its orders wait for a proof before they are given.
    pub(super) proven: bool,
    /// Only the primary itself is asked: what secondaries would send could not be proven.
    pub(super) held: bool,
}

impl Plan {
    pub(super) fn new(
        id: PlanId,
        range: ByteRange,
        resource: Bytes,
        candidates: Candidates,
        local: Local,
    ) -> Self {
        Self {
            id,
            range,
            resource,
            candidates,
            local,
            pool: RangeSet::from_iter([range]),
            lost: RangeSet::new(),
            refused: BTreeMap::new(),
            pending: BTreeSet::new(),
            failures: BTreeMap::new(),
            copied_at_end: 0,
            last_reason: None,
            given_up: false,
            unserved: false,
            proven: false,
            held: false,
        }
    }

    /// Bytes that the end game may still have copied. What the bucket opens with is a tenth of a small plan.
    pub(super) fn end_game_left(&self) -> u64 {
        (self.range.len() / END_GAME_OF_PLAN).max(FEW_PACKETS).saturating_sub(self.copied_at_end)
    }

    /// Whether the primary itself has the bytes.
    pub(super) fn local(&self) -> Local {
        self.local
    }

    /// Whether the path was named as a source. The primary is one where the local provider exists.
    fn names(&self, path: PathId) -> bool {
        if path.is_primary() {
            return self.local != Local::None;
        }
        match &self.candidates {
            Candidates::All => true,
            Candidates::List(paths) => paths.contains(&path),
        }
    }

    /// Whether the path may be asked, now or after a pause.
    pub(super) fn may_ask(&self, path: PathId) -> bool {
        self.names(path) && !self.refused.contains_key(&path)
    }

    /// Whether the path may be asked now: it is not one that will say later when it can, and its bytes can be proven
    /// where they must be.
    pub(super) fn may_ask_now(&self, path: PathId) -> bool {
        let provable = !self.held || path.is_primary();
        provable && self.may_ask(path) && !self.pending.contains(&path)
    }

    /// Whether a path that joins later may be asked.
    pub(super) fn is_open_to_all(&self) -> bool {
        matches!(self.candidates, Candidates::All)
    }

    /// Takes the local provider out of `all` if it is the last resort and somebody else can be trusted to deliver.
    pub(super) fn spare_local(&self, all: &mut Vec<Standing>) {
        let others = all.iter().any(|source| !source.path.is_primary() && !source.on_trial);
        if self.local == Local::Fallback && others {
            all.retain(|source| !source.path.is_primary());
        }
    }

    /// The path will not be asked again; `true` the first time.
    pub(super) fn refuse(&mut self, path: PathId, reason: GapReason) -> bool {
        self.last_reason = Some(reason);
        self.pending.remove(&path);
        self.refused.insert(path, reason).is_none()
    }

    pub(super) fn set_pending(&mut self, path: PathId) {
        self.pending.insert(path);
    }

    pub(super) fn clear_pending(&mut self, path: PathId) {
        self.pending.remove(&path);
    }

    /// A path broke a range off; `true`: once too often.
    pub(super) fn broke_off(&mut self, path: PathId) -> bool {
        let failures = self.failures.entry(path).or_insert(0);
        *failures += 1;
        *failures >= THRICE
    }

    /// A path kept a promise: what it broke off before is forgiven.
    pub(super) fn kept_word(&mut self, path: PathId) {
        self.failures.remove(&path);
    }

    /// Forgets what a path announced: its connection is over.
    pub(super) fn forget_pending(&mut self, path: PathId) {
        self.pending.remove(&path);
    }

    /// Forgets all about a path that was taken out: its number is not used again.
    pub(super) fn forget_path(&mut self, path: PathId) {
        self.pending.remove(&path);
        self.refused.remove(&path);
        self.failures.remove(&path);
    }

    /// Puts missing bytes back: somebody was asked for them and will not deliver.
    pub(super) fn give_back(&mut self, piece: ByteRange) {
        self.pool.insert(piece);
        self.lost.insert(piece);
    }

    /// Bytes arrived: nobody needs to be asked for them.
    pub(super) fn arrived(&mut self, piece: ByteRange) {
        self.pool.remove(piece);
        self.lost.remove(piece);
    }

    /// Takes a range out of the pool, for somebody who is asked now; returns how many of its bytes were lost before.
    pub(super) fn take(&mut self, range: ByteRange) -> u64 {
        self.pool.remove(range);
        self.lost.remove(range)
    }

    /// Bytes that may be handed out below `window`.
    pub(super) fn ready(&self, window: Offset) -> Option<ByteRange> {
        let first = self.pool.first()?;
        ByteRange::new(first.start(), window.min(self.range.end()))
            .filter(|range| !range.is_empty())
    }

    /// Where `len` bytes for a source lie that leaves `skip` bytes to others.
    pub(super) fn place(
        &self,
        window: Offset,
        skip: u64,
        len: u64,
        floor: u64,
    ) -> Option<ByteRange> {
        let ready = self.ready(window)?;
        pick::place(self.pool.iter_in(ready), skip, len, floor)
    }

    /// The last bytes below `window`, at most `len`: those that the reader needs last.
    pub(super) fn tail(&self, window: Offset, len: u64) -> Option<ByteRange> {
        let last = self.pool.iter_in(self.ready(window)?).last()?;
        let start = last.end().value().saturating_sub(len);
        ByteRange::new(Offset::new(start)?.max(last.start()), last.end())
    }

    /// Bytes of the pool below `window`.
    pub(super) fn ready_len(&self, window: Offset) -> u64 {
        match self.ready(window) {
            Some(ready) => self.pool.iter_in(ready).map(ByteRange::len).sum(),
            None => 0,
        }
    }
}
