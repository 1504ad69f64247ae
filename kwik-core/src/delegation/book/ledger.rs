//! Who was asked for what: the live delegations of all streams.

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;

use kwik_proto::{ByteRange, DelegationId, Offset, PathId, StreamId};

use crate::delegation::constants::FEW_PACKETS;
use crate::interval::RangeSet;
use crate::time::Instant;

/// Why a delegation exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delegation) enum Role {
    /// Its bytes were in the pool.
    Original,
    /// It races another one, which still owes the same bytes.
    Copy,
}

/// Where a delegation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delegation) enum Standing {
    /// Ordered or accepted: the path owes the bytes.
    Owed,
    /// The path will say later whether it can; others may be asked meanwhile.
    Pending,
}

/// One live delegation.
#[derive(Clone, Debug)]
pub(in crate::delegation) struct Entry {
    pub(in crate::delegation) id: DelegationId,
    pub(in crate::delegation) stream: StreamId,
    pub(in crate::delegation) path: PathId,
    pub(in crate::delegation) range: ByteRange,
    /// Bytes of the range that the client does not hold.
    pub(in crate::delegation) missing: u64,
    /// Bytes of the range that this path delivered, as far as is known.
    pub(in crate::delegation) delivered: u64,
    pub(in crate::delegation) role: Role,
    pub(in crate::delegation) standing: Standing,
    /// It has been copied at least once since its last byte.
    pub(in crate::delegation) copied: bool,
    /// When the client called it late, and how much of it had been delivered by then.
    pub(in crate::delegation) late: Option<(Instant, u64)>,
    /// Its path had enough to do when it was asked.
    pub(in crate::delegation) extra: bool,
}

impl Entry {
    /// The client calls it late. Single bytes since it last did are no sign that it goes on.
    pub(super) fn called_late(&mut self, now: Instant) {
        let goes_on = |(_, before): (Instant, u64)| self.delivered >= before + FEW_PACKETS;
        if self.late.is_none_or(goes_on) {
            self.late = Some((now, self.delivered));
        }
    }

    /// Whether the client called it late, and next to nothing of it came since.
    pub(in crate::delegation) fn stands_still(&self) -> bool {
        self.late.is_some_and(|(_, before)| self.delivered < before + FEW_PACKETS)
    }

    /// Bytes per second since it was called late; `None`: that is less than `patience` ago.
    pub(in crate::delegation) fn pace(&self, patience: Duration, now: Instant) -> Option<f64> {
        let (since, before) = self.late?;
        let time = now.since(since);
        let came = self.delivered.saturating_sub(before);
        (time >= patience).then(|| came as f64 / time.as_secs_f64())
    }
}

/// All live delegations, found by number and by place.
#[derive(Clone, Debug, Default)]
pub(in crate::delegation) struct Ledger {
    entries: BTreeMap<DelegationId, Entry>,
    /// Every live delegation of a stream by its first byte.
    by_start: BTreeMap<StreamId, BTreeSet<(Offset, DelegationId)>>,
    by_path: BTreeMap<PathId, BTreeSet<DelegationId>>,
    /// Those that the client calls late, and nobody was asked for a copy of yet.
    want_copies: BTreeSet<DelegationId>,
    /// How many each path was asked for that had enough to do.
    extras: BTreeMap<PathId, usize>,
    /// Longest range ever entered: how far before a byte its delegation may begin.
    longest: u64,
    next: u64,
}

impl Ledger {
    /// A number that was never used in this session.
    pub(super) fn next_id(&mut self) -> DelegationId {
        let id = DelegationId(self.next);
        self.next += 1;
        id
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        self.longest = self.longest.max(entry.range.len());
        self.by_start.entry(entry.stream).or_default().insert((entry.range.start(), entry.id));
        self.by_path.entry(entry.path).or_default().insert(entry.id);
        self.entries.insert(entry.id, entry);
    }

    pub(super) fn remove(&mut self, id: DelegationId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.want_copies.remove(&id);
        if entry.extra
            && let Some(count) = self.extras.get_mut(&entry.path)
        {
            *count -= 1;
            if *count == 0 {
                self.extras.remove(&entry.path);
            }
        }
        if let Some(ids) = self.by_path.get_mut(&entry.path) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_path.remove(&entry.path);
            }
        }
        if let Some(starts) = self.by_start.get_mut(&entry.stream) {
            starts.remove(&(entry.range.start(), id));
            if starts.is_empty() {
                self.by_start.remove(&entry.stream);
            }
        }
        Some(entry)
    }

    pub(in crate::delegation) fn entry(&self, id: DelegationId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(super) fn entry_mut(&mut self, id: DelegationId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    pub(in crate::delegation) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The delegations that share bytes with `range`, in the order of their first byte.
    pub(in crate::delegation) fn overlapping(
        &self,
        stream: StreamId,
        range: ByteRange,
    ) -> Vec<DelegationId> {
        let Some(starts) = self.by_start.get(&stream) else { return Vec::new() };
        let reach = range.start().value().saturating_sub(self.longest);
        let from = Offset::new(reach).unwrap_or_default();
        starts
            .range((from, DelegationId(0))..(range.end(), DelegationId(0)))
            .map(|&(_, id)| id)
            .filter(|id| {
                self.entries.get(id).is_some_and(|entry| entry.range.intersection(range).is_some())
            })
            .collect()
    }

    /// Bytes of `range` that are owed by somebody.
    pub(in crate::delegation) fn owed_in(&self, stream: StreamId, range: ByteRange) -> RangeSet {
        self.overlapping(stream, range)
            .into_iter()
            .filter_map(|id| self.entries.get(&id))
            .filter(|entry| entry.standing == Standing::Owed)
            .filter_map(|entry| entry.range.intersection(range))
            .collect()
    }

    /// Bytes of a delegation that somebody else owes as well.
    pub(in crate::delegation) fn owed_by_others(&self, entry: &Entry) -> RangeSet {
        self.owed_by(entry, |_| true)
    }

    /// Bytes of a delegation that others owe who count.
    pub(in crate::delegation) fn owed_by(
        &self,
        entry: &Entry,
        counts: impl Fn(&Entry) -> bool,
    ) -> RangeSet {
        self.overlapping(entry.stream, entry.range)
            .into_iter()
            .filter_map(|id| self.entries.get(&id))
            .filter(|other| other.id != entry.id && other.standing == Standing::Owed)
            .filter(|other| counts(other))
            .filter_map(|other| other.range.intersection(entry.range))
            .collect()
    }

    /// The delegations of a path, in the order of their numbers.
    pub(in crate::delegation) fn of_path(&self, path: PathId) -> Vec<DelegationId> {
        self.by_path.get(&path).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    /// The delegations of a stream, in the order of their first byte.
    pub(in crate::delegation) fn of_stream(&self, stream: StreamId) -> Vec<DelegationId> {
        self.by_start
            .get(&stream)
            .map(|starts| starts.iter().map(|&(_, id)| id).collect())
            .unwrap_or_default()
    }

    /// Whether anybody owes bytes of the stream.
    pub(in crate::delegation) fn owes(&self, stream: StreamId) -> bool {
        let mut all = self.by_start.get(&stream).into_iter().flatten();
        let owed = |entry: &Entry| entry.standing == Standing::Owed;
        all.any(|(_, id)| self.entries.get(id).is_some_and(owed))
    }

    /// A path was asked for that one though it had enough to do.
    pub(super) fn set_extra(&mut self, id: DelegationId) {
        if let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.extra) {
            entry.extra = true;
            *self.extras.entry(entry.path).or_default() += 1;
        }
    }

    /// How many of those a path owes.
    pub(in crate::delegation) fn extras(&self, path: PathId) -> usize {
        self.extras.get(&path).copied().unwrap_or_default()
    }

    /// Whether a second source is to be found for a live delegation as soon as there is one.
    pub(super) fn set_wants_copy(&mut self, id: DelegationId, wants: bool) {
        if wants && self.entries.contains_key(&id) {
            self.want_copies.insert(id);
        } else {
            self.want_copies.remove(&id);
        }
    }

    /// The delegations that wait for a second source.
    pub(in crate::delegation) fn want_copies(&self) -> Vec<DelegationId> {
        self.want_copies.iter().copied().collect()
    }
}
