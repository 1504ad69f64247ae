//! What arrived beyond a hole.

use std::collections::BTreeMap;

use kwik_proto::PathId;
use slab::Slab;

use super::chunk::{Chunk, Chunks};

/// Bytes without a hole from one path. The next run may touch it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Start of the next run, so that an append needs no look at the order; `u64::MAX` if there is none.
    pub(super) limit: u64,
    /// Tells it from earlier users of the same slot.
    id: u64,
    pub(super) path: PathId,
    pub(super) chunks: Chunks,
}

/// Where a run is, as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunKey {
    slot: u32,
    id: u64,
}

impl Default for RunKey {
    /// A key that no run has.
    fn default() -> Self {
        Self { slot: u32::MAX, id: 0 }
    }
}

/// Runs in order of their offsets. They do not overlap.
#[derive(Debug)]
pub(super) struct Runs {
    runs: Slab<Run>,
    /// Slot by start.
    order: BTreeMap<u64, u32>,
    /// Start of the first run; `u64::MAX` if there is none.
    first: u64,
    last_id: u64,
}

impl Default for Runs {
    fn default() -> Self {
        Self { runs: Slab::new(), order: BTreeMap::new(), first: u64::MAX, last_id: 0 }
    }
}

impl Runs {
    pub(super) fn first_start(&self) -> u64 {
        self.first
    }

    pub(super) fn count(&self) -> usize {
        self.runs.len()
    }

    /// End of the last run.
    pub(super) fn last_end(&self) -> Option<u64> {
        let (_, &slot) = self.order.last_key_value()?;
        Some(self.runs[slot as usize].end)
    }

    /// The run, if `start..end` continues it and ends before the next.
    #[inline]
    pub(super) fn continued_by(&mut self, key: RunKey, start: u64, end: u64) -> Option<&mut Run> {
        let run = self.runs.get_mut(key.slot as usize)?;
        (run.id == key.id && run.end == start && end <= run.limit).then_some(run)
    }

    /// The last run that starts at or before `offset`.
    pub(super) fn at_or_before(&self, offset: u64) -> Option<u32> {
        self.order.range(..=offset).next_back().map(|(_, &slot)| slot)
    }

    /// The run that starts at `offset`.
    pub(super) fn starting_at(&self, offset: u64) -> Option<u32> {
        self.order.get(&offset).copied()
    }

    pub(super) fn run(&self, slot: u32) -> &Run {
        &self.runs[slot as usize]
    }

    /// Adds `chunk` behind the run in `slot`, or as a run of its own where that is not of the same path or ends earlier.
    /// `None` stands for what lies before the first run. The chunk overlaps no run.
    pub(super) fn add_after(&mut self, before: Option<u32>, chunk: Chunk) -> RunKey {
        if let Some(slot) = before
            && let Some(run) = self.runs.get_mut(slot as usize)
            && run.end == chunk.start
            && run.path == chunk.path
        {
            run.end = chunk.end();
            run.chunks.push_back(chunk);
            return RunKey { slot, id: run.id };
        }
        let (start, end, path) = (chunk.start, chunk.end(), chunk.path);
        // Many runs never grow, and the default first step is four chunks.
        let mut chunks = Chunks::with_capacity(1);
        chunks.push_back(chunk);
        self.link_after(before, start, end, path, chunks)
    }

    /// Adds a run of its own. It overlaps no other.
    pub(super) fn link(&mut self, chunks: Chunks) {
        if let (Some(first), Some(last)) = (chunks.front(), chunks.back()) {
            let (start, end, path) = (first.start, last.end(), first.path);
            self.link_after(self.at_or_before(start), start, end, path, chunks);
        }
    }

    fn link_after(
        &mut self,
        before: Option<u32>,
        start: u64,
        end: u64,
        path: PathId,
        chunks: Chunks,
    ) -> RunKey {
        let limit = match before.and_then(|slot| self.runs.get_mut(slot as usize)) {
            Some(run) => std::mem::replace(&mut run.limit, start),
            None => std::mem::replace(&mut self.first, start),
        };
        self.last_id += 1;
        let id = self.last_id;
        let slot = self.runs.insert(Run { start, end, limit, id, path, chunks });
        let slot = u32::try_from(slot).expect("fewer than 2^32 runs fit in memory");
        self.order.insert(start, slot);
        RunKey { slot, id }
    }

    /// Takes the first run out.
    pub(super) fn pop_first(&mut self) -> Option<Run> {
        let (_, slot) = self.order.pop_first()?;
        let run = self.runs.remove(slot as usize);
        self.first = run.limit;
        Some(run)
    }

    /// Takes the run that starts at `start` out.
    pub(super) fn unlink(&mut self, start: u64) -> Option<Run> {
        let slot = self.order.remove(&start)?;
        let run = self.runs.remove(slot as usize);
        match self.at_or_before(start) {
            Some(before) => self.runs[before as usize].limit = run.limit,
            None => self.first = run.limit,
        }
        Some(run)
    }

    /// The runs in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Run> + '_ {
        self.order.values().map(|&slot| &self.runs[slot as usize])
    }

    /// The runs that have bytes in `start..end`, in order.
    pub(super) fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = &Run> + '_ {
        let from = self.at_or_before(start).map_or(start, |slot| self.run(slot).start);
        self.order
            .range(from..end.max(from))
            .map(|(_, &slot)| self.run(slot))
            .filter(move |run| run.end > start)
    }

    /// All chunks of each run, in no order.
    pub(super) fn chunks_mut(&mut self) -> impl Iterator<Item = &mut Chunks> + '_ {
        self.runs.iter_mut().map(|(_, run)| &mut run.chunks)
    }
}
