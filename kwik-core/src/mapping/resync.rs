//! Recovery of a carrier whose mapping is wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use kwik_proto::PathId;
use kwik_proto::frame::{Mapping as MappingEntry, MappingQuery, MappingSnapshot};

use crate::time::Instant;

/// What to do with a carrier in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResyncStep {
    /// Send the path's server this query. Until the answer the carrier is drained and what it brings is dropped.
    Query {
        /// The path.
        path: PathId,
        /// The question.
        query: MappingQuery,
    },
    /// The server explained the carrier: what follows goes there.
    Reroute {
        /// The path.
        path: PathId,
        /// The QUIC stream id.
        carrier: u64,
        /// What it carries.
        entry: MappingEntry,
    },
    /// Nothing explains the carrier: stop it, and take nothing from it any more. The path stays.
    Isolate {
        /// The path.
        path: PathId,
        /// The QUIC stream id.
        carrier: u64,
    },
    /// The carrier is in doubt already: go on draining.
    Waiting,
}

/// The carriers in doubt of all paths.
///
/// A carrier gets here when its header or a frame contradicts the mapping
/// ([`MappingError`](super::MappingError)); its range is a gap from that moment, whatever comes of it. The server of
/// its path is asked once what the carrier carries. An answer within 2 RTT that fits re-routes it; any other answer,
/// none, or a second contradiction isolates it. The path is never blamed for one such frame.
///
/// ```
/// use std::time::Duration;
/// use kwik_core::mapping::{Resync, ResyncStep};
/// use kwik_core::time::Instant;
/// use kwik_proto::PathId;
///
/// let (edge, rtt) = (PathId::new(1), Duration::from_millis(20));
/// let mut resync = Resync::default();
/// assert!(matches!(resync.handle_corrupt(edge, 7, rtt, Instant::ZERO), ResyncStep::Query { .. }));
/// let due = resync.poll_timeout().unwrap();
/// let isolate = ResyncStep::Isolate { path: edge, carrier: 7 };
/// assert_eq!(resync.handle_timeout(due), Some(isolate));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Resync {
    doubts: BTreeMap<(PathId, u64), Doubt>,
    next_query: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    Asked { query: u64, until: Instant },
    Rerouted,
    Isolated,
}

impl Resync {
    /// Carriers in doubt on one path at a time: 64. Beyond it the path pays: its carrier is isolated unasked.
    pub const MAX_PER_PATH: usize = 64;
    /// Least time for an answer: 250 ms, where the RTT is next to nothing and the server merely busy.
    pub const LEAST_WAIT: Duration = Duration::from_millis(250);

    /// A header or a frame on the carrier contradicts the mapping. `rtt` is the path's.
    pub fn handle_corrupt(
        &mut self,
        path: PathId,
        carrier: u64,
        rtt: Duration,
        now: Instant,
    ) -> ResyncStep {
        match self.doubts.get(&(path, carrier)) {
            Some(Doubt::Asked { .. } | Doubt::Isolated) => return ResyncStep::Waiting,
            Some(Doubt::Rerouted) => return self.isolate(path, carrier),
            None if self.count_on(path) >= Self::MAX_PER_PATH => {
                return ResyncStep::Isolate { path, carrier };
            }
            None => {}
        }
        let query = self.next_query;
        self.next_query += 1;
        let until = now + rtt.saturating_mul(2).max(Self::LEAST_WAIT);
        self.doubts.insert((path, carrier), Doubt::Asked { query, until });
        ResyncStep::Query { path, query: MappingQuery { query, carriers: vec![carrier] } }
    }

    /// A path's server answered. `fits` says whether a stream and range may be what a carrier of that path carries:
    /// the stream is announced and not closed, the range granted. An answer to a query that is over does nothing.
    pub fn handle_snapshot(
        &mut self,
        path: PathId,
        snapshot: &MappingSnapshot,
        fits: impl Fn(&MappingEntry) -> bool,
    ) -> Option<ResyncStep> {
        let asked = |doubt: &Doubt| match *doubt {
            Doubt::Asked { query, .. } => query == snapshot.query,
            Doubt::Rerouted | Doubt::Isolated => false,
        };
        let carrier = self.on_path(path).find(|(_, doubt)| asked(doubt)).map(|(id, _)| id)?;
        let entry = snapshot.mappings.iter().find(|entry| entry.carrier == carrier);
        match entry.filter(|entry| fits(entry)) {
            Some(&entry) => {
                self.doubts.insert((path, carrier), Doubt::Rerouted);
                Some(ResyncStep::Reroute { path, carrier, entry })
            }
            None => Some(self.isolate(path, carrier)),
        }
    }

    /// One carrier that nobody explained in time. Call it until it returns `None`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<ResyncStep> {
        let overdue = |doubt: &Doubt| matches!(*doubt, Doubt::Asked { until, .. } if until <= now);
        let (path, carrier) =
            self.doubts.iter().find(|(_, doubt)| overdue(doubt)).map(|(&key, _)| key)?;
        Some(self.isolate(path, carrier))
    }

    /// When to call [`Resync::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let until = |doubt: &Doubt| match *doubt {
            Doubt::Asked { until, .. } => Some(until),
            Doubt::Rerouted | Doubt::Isolated => None,
        };
        self.doubts.values().filter_map(until).min()
    }

    /// Whether what the carrier brings is dropped.
    pub fn is_dropping(&self, path: PathId, carrier: u64) -> bool {
        match self.doubts.get(&(path, carrier)) {
            Some(Doubt::Asked { .. } | Doubt::Isolated) => true,
            Some(Doubt::Rerouted) | None => false,
        }
    }

    /// The carrier ended.
    pub fn handle_closed(&mut self, path: PathId, carrier: u64) {
        self.doubts.remove(&(path, carrier));
    }

    /// The path ended.
    pub fn handle_path_closed(&mut self, path: PathId) {
        self.doubts.retain(|&(other, _), _| other != path);
    }

    /// Carriers in doubt, or once in doubt and still open, of all paths.
    pub fn len(&self) -> usize {
        self.doubts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.doubts.is_empty()
    }

    fn isolate(&mut self, path: PathId, carrier: u64) -> ResyncStep {
        self.doubts.insert((path, carrier), Doubt::Isolated);
        ResyncStep::Isolate { path, carrier }
    }

    fn on_path(&self, path: PathId) -> impl Iterator<Item = (u64, &Doubt)> {
        let keys = (path, u64::MIN)..=(path, u64::MAX);
        self.doubts.range(keys).map(|(&(_, carrier), doubt)| (carrier, doubt))
    }

    fn count_on(&self, path: PathId) -> usize {
        self.on_path(path).count()
    }
}

#[cfg(test)]
mod tests;
