//! The secondary paths of one client session.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kwik_proto::frame::{AddPath, ErrorCode, PathState};
use kwik_proto::{Epoch, PathId};

use super::attach::AttachRate;
use super::lifecycle::PathEvent;
use super::liveness::Liveness;
use super::policy::PathPolicy;
pub use super::secondary::{Cause, Path, PathWork, Target, Transition};
use crate::time::Instant;

/// Bounds of a [`PathTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathLimits {
    /// Secondary paths at a time. Default 16. The primary's paths beyond it are refused.
    pub max_paths: usize,
    /// Time that handshake and admission may take together. Default 10 s. Too low and far servers never attach; too
    /// high and a primary hears late that a server is dead.
    pub dial_time: Duration,
}

impl Default for PathLimits {
    fn default() -> Self {
        Self { max_paths: PathPolicy::MAX_PATHS, dial_time: Duration::from_secs(10) }
    }
}

/// Why an AddPath was not taken into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddPathError {
    /// As many paths as the client allows are there already.
    #[error("{limit} secondary paths are the limit")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The primary asks for dials faster than the client makes them.
    #[error("too many paths in too short a time")]
    TooFast,
    /// The number is not above one that was a path's so long ago that the client forgot it.
    #[error("a path number that is not above one that was forgotten")]
    Forgotten,
    /// The epoch is not above the one that is known.
    #[error("epoch {offered} after epoch {known}")]
    StaleEpoch {
        /// The AddPath's.
        offered: u32,
        /// The table's.
        known: u32,
    },
    /// The number belongs to another server in this session.
    #[error("the path number belongs to another server")]
    OtherServer,
    /// Path 0 is the primary's.
    #[error("path 0 is the primary's")]
    PrimaryNumber,
    /// No address is left to dial.
    #[error("no address to dial")]
    NoAddress,
}

impl AddPathError {
    /// What the AddPathResult says.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Full { .. } | Self::TooFast | Self::Forgotten => ErrorCode::LimitExceeded,
            Self::StaleEpoch { .. } | Self::OtherServer | Self::PrimaryNumber => {
                ErrorCode::ProtocolViolation
            }
            Self::NoAddress => ErrorCode::PathPolicy,
        }
    }
}

/// The secondary paths of one client session, and every number that was a path's in it.
///
/// A path takes a slot from its AddPath until it is Gone and not wanted. After that its number, server and account are
/// remembered, so that no other server can take the number, until as many others as [`PathTable::MAX_REMEMBERED`] are over
/// as well; from then on no number that is not known is taken below it. Inputs change a path and return the [`Transition`], whose
/// effects the session carries out; after any input call [`PathTable::handle_timeout`] until it returns `None`.
///
/// ```
/// use kwik_core::path::table::{PathLimits, PathTable, PathWork};
/// use kwik_core::time::Instant;
/// use kwik_proto::frame::{AddPath, ServerIdentity};
/// use kwik_proto::{Epoch, PathId};
///
/// let mut paths = PathTable::new(PathLimits::default(), 42);
/// let add = AddPath {
///     path: PathId::new(1),
///     epoch: Epoch::FIRST,
///     addresses: vec!["203.0.113.9:443".parse().unwrap()],
///     identity: ServerIdentity::Pin([7; 32]),
///     token: "v4.public.x".into(),
/// };
/// paths.add(add, Instant::ZERO).unwrap();
/// let dial = PathWork::Dial { path: PathId::new(1), epoch: Epoch::FIRST };
/// assert_eq!(paths.handle_timeout(Instant::ZERO), Some(dial));
/// ```
#[derive(Clone, Debug)]
pub struct PathTable {
    limits: PathLimits,
    seed: u64,
    rate: AttachRate,
    primary_rtt: Duration,
    paths: BTreeMap<PathId, Path>,
    retired: BTreeMap<PathId, Path>,
    /// The numbers of `retired`, the one that was over first in front.
    order: VecDeque<PathId>,
    /// The highest number that was forgotten.
    forgotten: Option<PathId>,
    /// Those that nobody was told of yet.
    untold: Vec<PathId>,
}

impl PathTable {
    /// Paths that are over and remembered: 256, some 300 bytes each. A primary that counts its numbers up may attach
    /// servers as long as there are numbers; one that does not gets LimitExceeded.
    pub const MAX_REMEMBERED: usize = 256;

    /// No path. `seed` decides the jitter of redials.
    pub fn new(limits: PathLimits, seed: u64) -> Self {
        let burst = u32::try_from(limits.max_paths.saturating_mul(2)).unwrap_or(u32::MAX);
        Self {
            limits,
            seed,
            rate: AttachRate::new(burst),
            primary_rtt: Liveness::INITIAL_RTT,
            paths: BTreeMap::new(),
            retired: BTreeMap::new(),
            order: VecDeque::new(),
            forgotten: None,
            untold: Vec::new(),
        }
    }

    /// Smoothed RTT of the primary path: new paths start that far apart.
    pub fn handle_primary_rtt(&mut self, smoothed: Duration) {
        self.primary_rtt = smoothed;
    }

    /// The primary names a path. `add.addresses` are those that the [`PathPolicy`] allows.
    ///
    /// Returns what it changed if the path was known; dialling comes as [`PathWork::Dial`] when its turn comes.
    /// On an error nothing changes: answer with an AddPathResult.
    pub fn add(&mut self, add: AddPath, now: Instant) -> Result<Option<Transition>, AddPathError> {
        self.admit(&add)?;
        let start = self.rate.reserve(self.primary_rtt, now).ok_or(AddPathError::TooFast)?;
        let id = add.path;
        self.order.retain(|over| *over != id);
        let known = self.retired.remove(&id).or_else(|| self.paths.remove(&id));
        let (path, changed) = match known {
            Some(mut path) => {
                let changed = path.replace(add, start, now);
                (path, changed)
            }
            None => {
                let seed = self.seed ^ u64::from(id.value()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                (Path::new(add, start, self.limits.dial_time, seed), None)
            }
        };
        self.paths.insert(id, path);
        Ok(changed)
    }

    fn admit(&self, add: &AddPath) -> Result<(), AddPathError> {
        if add.path.is_primary() {
            return Err(AddPathError::PrimaryNumber);
        }
        if add.addresses.is_empty() {
            return Err(AddPathError::NoAddress);
        }
        if let Some(known) = self.path(add.path) {
            if known.target().identity != add.identity {
                return Err(AddPathError::OtherServer);
            }
            if add.epoch <= known.epoch() {
                let (offered, known) = (add.epoch.0, known.epoch().0);
                return Err(AddPathError::StaleEpoch { offered, known });
            }
        } else if self.forgotten.is_some_and(|forgotten| add.path <= forgotten) {
            return Err(AddPathError::Forgotten);
        }
        if !self.paths.contains_key(&add.path) && self.paths.len() >= self.limits.max_paths {
            return Err(AddPathError::Full { limit: self.limits.max_paths });
        }
        Ok(())
    }

    /// The primary removes a path, which may drain for at most [`Path::MAX_DRAIN`]. `None`: there was nothing to change.
    ///
    /// Follow it with [`PathEvent::Drained`] at once if the path owes nothing.
    pub fn remove(&mut self, id: PathId, drain: Duration, now: Instant) -> Option<Transition> {
        let changed = self.paths.get_mut(&id)?.remove(drain, now);
        self.retire(id);
        changed
    }

    /// The server on the connection of that epoch goes away and gives what it accepted that long. `None`: there was
    /// nothing to change.
    ///
    /// The server closes when it has finished and answered everything.
    pub fn leave(
        &mut self,
        id: PathId,
        epoch: Epoch,
        grace: Duration,
        now: Instant,
    ) -> Option<Transition> {
        self.paths.get_mut(&id).filter(|path| path.epoch() == epoch)?.leave(grace, now)
    }

    /// Something happened on the connection of that epoch. Ignored if the epoch is over, and for
    /// [`PathEvent::Leaving`], [`PathEvent::Remove`] and [`PathEvent::Replaced`]: see [`PathTable::leave`],
    /// [`PathTable::remove`] and [`PathTable::add`].
    pub fn handle(
        &mut self,
        id: PathId,
        epoch: Epoch,
        event: PathEvent,
        cause: Cause,
        now: Instant,
    ) -> Option<Transition> {
        if matches!(event, PathEvent::Leaving | PathEvent::Remove | PathEvent::Replaced) {
            return None;
        }
        let path = self.paths.get_mut(&id).filter(|path| path.epoch() == epoch)?;
        let changed = path.apply(event, cause, now);
        self.retire(id);
        changed
    }

    /// One thing that is due. Call it until it returns `None`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<PathWork> {
        while let Some(path) = self.paths.values_mut().find(|path| is_due(path, now)) {
            let id = path.id();
            let work = path.handle_timeout(now);
            self.retire(id);
            if work.is_some() {
                return work;
            }
        }
        None
    }

    /// When to call [`PathTable::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.paths.values().filter_map(Path::poll_timeout).min()
    }

    /// The path with that number, those that are over included.
    pub fn path(&self, id: PathId) -> Option<&Path> {
        self.paths.get(&id).or_else(|| self.retired.get(&id))
    }

    /// The path with that number, unless it is over for good.
    pub fn path_mut(&mut self, id: PathId) -> Option<&mut Path> {
        self.paths.get_mut(&id)
    }

    /// The paths that take a slot, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.paths.values()
    }

    /// The paths that are over for good, by number.
    pub fn retired(&self) -> impl Iterator<Item = &Path> {
        self.retired.values()
    }

    /// Paths that take a slot.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether no path takes a slot.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    fn retire(&mut self, id: PathId) {
        let over = |path: &Path| path.state() == PathState::Gone && !path.is_wanted();
        if self.paths.get(&id).is_some_and(over)
            && let Some(path) = self.paths.remove(&id)
        {
            self.retired.insert(id, path);
            self.order.push_back(id);
        }
        while self.order.len() > Self::MAX_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.retired.remove(&oldest);
            self.forgotten = self.forgotten.max(Some(oldest));
            self.untold.push(oldest);
        }
    }

    /// A path that was forgotten, which nothing has to be kept for any more. Drain it after anything else.
    pub fn poll_forgotten(&mut self) -> Option<PathId> {
        self.untold.pop()
    }
}

fn is_due(path: &Path, now: Instant) -> bool {
    path.poll_timeout().is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests;
