//! The carriers that feed one half.

use kwik_proto::{ByteRange, Offset, PathId};
use slab::Slab;

use crate::interval::RangeSet;
use crate::reassembly::Hint;
use crate::time::Instant;

/// One carrier that feeds a half. Good for the half that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    slot: u32,
    generation: u32,
    path: PathId,
}

impl SourceKey {
    /// The path that the carrier is on.
    pub const fn path(self) -> PathId {
        self.path
    }
}

/// What one carrier delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceStats {
    /// The path that it is on.
    pub path: PathId,
    /// New bytes.
    pub bytes: u64,
    /// Bytes that were there before, or that nobody wanted any more.
    pub duplicate_bytes: u64,
    /// End of what it last delivered.
    pub next: Offset,
    /// When it last delivered.
    pub last_arrival: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Source {
    generation: u32,
    /// Which entry of [`Sources::paths`] counts its bytes.
    account: usize,
    reach: Reach,
    pub(super) hint: Hint,
    pub(super) stats: SourceStats,
}

/// Where a carrier may send.
#[derive(Clone, Copy, Debug)]
enum Reach {
    Whole,
    Within(ByteRange),
    /// Whatever its path's account says.
    Granted,
}

impl Reach {
    fn start(self) -> Offset {
        match self {
            Self::Within(range) => range.start(),
            Self::Whole | Self::Granted => Offset::ZERO,
        }
    }
}

/// What came from one path and was kept.
#[derive(Clone, Debug)]
struct Account {
    path: PathId,
    bytes: u64,
    isolated: bool,
    /// Where its carriers may send that have more than one range to send in. Kept here, not with each carrier: a path
    /// may have thousands of grants and of carriers.
    granted: RangeSet,
}

/// Every carrier of a half, and what each path delivered. As many as the connections' stream limits allow; the paths are
/// those that the session ever had.
#[derive(Debug, Default)]
pub(super) struct Sources {
    sources: Slab<Source>,
    generation: u32,
    paths: Vec<Account>,
}

impl Sources {
    pub(super) fn add(
        &mut self,
        path: PathId,
        allowed: Option<RangeSet>,
        read_offset: Offset,
    ) -> SourceKey {
        let account = self.account(path);
        let reach = match allowed {
            None => Reach::Whole,
            Some(allowed) if allowed.count() < 2 => {
                Reach::Within(allowed.first().unwrap_or_default())
            }
            Some(allowed) => {
                let granted = &mut self.paths[account].granted;
                granted.extend(allowed.iter());
                granted.remove(ByteRange::new(Offset::ZERO, read_offset).unwrap_or_default());
                Reach::Granted
            }
        };
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let stats = SourceStats {
            path,
            bytes: 0,
            duplicate_bytes: 0,
            next: reach.start(),
            last_arrival: None,
        };
        let source = Source { generation, account, reach, hint: Hint::default(), stats };
        let slot = u32::try_from(self.sources.insert(source));
        SourceKey { slot: slot.expect("fewer than 2^32 carriers are open"), generation, path }
    }

    fn account(&mut self, path: PathId) -> usize {
        if let Some(known) = self.paths.iter().position(|account| account.path == path) {
            return known;
        }
        let granted = RangeSet::new();
        self.paths.push(Account { path, bytes: 0, isolated: false, granted });
        self.paths.len() - 1
    }

    pub(super) fn remove(&mut self, key: SourceKey) -> Option<Source> {
        self.find(key)?;
        Some(self.sources.remove(key.slot as usize))
    }

    pub(super) fn find(&self, key: SourceKey) -> Option<&Source> {
        self.sources.get(key.slot as usize).filter(|source| source.generation == key.generation)
    }

    pub(super) fn find_mut(&mut self, key: SourceKey) -> Option<&mut Source> {
        self.sources.get_mut(key.slot as usize).filter(|source| source.generation == key.generation)
    }

    /// Whether the carrier may send `range`. What was read is granted to all who have more than one range: it does no harm.
    pub(super) fn allows(&self, key: SourceKey, range: ByteRange, read_offset: Offset) -> bool {
        let Some(source) = self.find(key) else { return false };
        match source.reach {
            Reach::Whole => true,
            Reach::Within(allowed) => allowed.covers(range),
            Reach::Granted => {
                let unread = ByteRange::new(range.start().max(read_offset), range.end());
                unread.is_none_or(|unread| self.paths[source.account].granted.covers(unread))
            }
        }
    }

    /// Writes down what a frame brought.
    pub(super) fn arrived(
        &mut self,
        key: SourceKey,
        new: u64,
        duplicate: u64,
        end: Offset,
        now: Instant,
    ) {
        if let Some(source) = self.find_mut(key) {
            source.stats.bytes += new;
            source.stats.duplicate_bytes += duplicate;
            source.stats.next = end;
            source.stats.last_arrival = Some(now);
            let account = source.account;
            self.paths[account].bytes += new;
        }
    }

    /// Bytes of a path were thrown away.
    pub(super) fn discarded(&mut self, path: PathId, bytes: u64) {
        let account = self.account(path);
        self.paths[account].bytes = self.paths[account].bytes.saturating_sub(bytes);
    }

    pub(super) fn isolate(&mut self, path: PathId) {
        let account = self.account(path);
        self.paths[account].isolated = true;
    }

    pub(super) fn is_isolated(&self, key: SourceKey) -> bool {
        self.find(key).is_some_and(|source| self.paths[source.account].isolated)
    }

    pub(super) fn count(&self) -> usize {
        self.sources.len()
    }

    /// What came from each path and was kept.
    pub(super) fn path_bytes(&self) -> impl Iterator<Item = (PathId, u64)> + '_ {
        self.paths.iter().map(|account| (account.path, account.bytes))
    }
}
