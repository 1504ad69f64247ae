//! The book: who was asked for what, and what of it arrived.
//!
//! What a path owes is counted here and nowhere else: each change to a delegation changes the account of its path with it.
//! Everybody may read it; the only way to change it are the methods below.

mod ledger;

use std::collections::BTreeMap;

use kwik_proto::{DelegationId, PathId};

use super::source::Source;
use crate::time::Instant;

pub(super) use ledger::{Entry, Ledger, Role, Standing};

/// The live delegations of all streams, and the paths that owe them.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Boxed: a map's node holds room for eleven, and most sessions have one.
    pub(super) sources: BTreeMap<PathId, Box<Source>>,
    pub(super) ledger: Ledger,
}

/// What the arrival of bytes of a delegation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// More of it is missing, or its path does not owe it yet.
    Part,
    /// The client holds all of it.
    All,
}

impl Book {
    /// A number that was never used in this session.
    pub(super) fn next_id(&mut self) -> DelegationId {
        self.ledger.next_id()
    }

    /// The path is asked for the range.
    pub(super) fn open(&mut self, entry: Entry, now: Instant) {
        if let Some(source) = self.sources.get_mut(&entry.path) {
            source.asked(now);
            source.assigned += entry.range.len();
        }
        self.owe(entry.path, 0, owed(&entry), now);
        self.ledger.insert(entry);
    }

    /// The path owes nothing of that delegation any more.
    pub(super) fn close(&mut self, id: DelegationId, now: Instant) -> Option<Entry> {
        let entry = self.ledger.remove(id)?;
        self.owe(entry.path, owed(&entry), 0, now);
        Some(entry)
    }

    /// `len` bytes of a delegation arrived; `own`: from the path that owes them.
    pub(super) fn deliver(
        &mut self,
        id: DelegationId,
        len: u64,
        own: bool,
        now: Instant,
    ) -> Option<Arrived> {
        let entry = self.ledger.entry_mut(id)?;
        let missing = entry.missing.saturating_sub(len);
        let (path, standing) = (entry.path, entry.standing);
        if own {
            entry.delivered += len;
            entry.copied = false;
            self.ledger.set_wants_copy(id, false);
            if let Some(source) = self.sources.get_mut(&path) {
                source.delivered += len;
            }
        }
        self.set_missing(id, missing, now);
        let all = missing == 0 && standing == Standing::Owed;
        Some(if all { Arrived::All } else { Arrived::Part })
    }

    /// So many bytes of a delegation are missing.
    pub(super) fn set_missing(&mut self, id: DelegationId, missing: u64, now: Instant) {
        self.change(id, now, |entry| entry.missing = missing);
    }

    /// The path said whether it owes the bytes.
    pub(super) fn set_standing(&mut self, id: DelegationId, standing: Standing, now: Instant) {
        self.change(id, now, |entry| entry.standing = standing);
        if standing == Standing::Pending {
            // Nothing of it can be late, and a copy that may never come helps no late head.
            self.change(id, now, |entry| {
                entry.role = Role::Original;
                (entry.late, entry.copied) = (None, false);
            });
            self.ledger.set_wants_copy(id, false);
        }
    }

    /// The client calls a delegation late.
    pub(super) fn call_late(&mut self, id: DelegationId, now: Instant) -> Option<&Entry> {
        let entry = self.ledger.entry_mut(id)?;
        entry.called_late(now);
        Some(entry)
    }

    /// Somebody else was asked for a copy of it, or that copy failed.
    pub(super) fn set_copied(&mut self, id: DelegationId, copied: bool) {
        if let Some(entry) = self.ledger.entry_mut(id) {
            entry.copied = copied;
        }
    }

    /// Whether a second source is to be found for it as soon as there is one.
    pub(super) fn set_wants_copy(&mut self, id: DelegationId, wants: bool) {
        self.ledger.set_wants_copy(id, wants);
    }

    /// A path was asked for that one though it had enough to do.
    pub(super) fn set_extra(&mut self, id: DelegationId) {
        self.ledger.set_extra(id);
    }

    fn change(&mut self, id: DelegationId, now: Instant, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.ledger.entry_mut(id) else { return };
        let before = owed(entry);
        change(entry);
        let (path, after) = (entry.path, owed(entry));
        self.owe(path, before, after, now);
    }

    /// The one place where what a path owes changes.
    fn owe(&mut self, path: PathId, before: u64, after: u64, now: Instant) {
        if let Some(source) = self.sources.get_mut(&path) {
            source.owes_more(after.saturating_sub(before));
            source.owes_less(before.saturating_sub(after), now);
        }
    }
}

/// Bytes of a delegation that its path owes.
fn owed(entry: &Entry) -> u64 {
    match entry.standing {
        Standing::Owed => entry.missing,
        Standing::Pending => 0,
    }
}
