//! What a session keeps for its metrics, each up to a bound.

use std::collections::{BTreeMap, VecDeque};

use kwik_proto::PathId;
use kwik_proto::frame::ErrorCode;

use crate::metrics::StreamMetrics;

/// Kinds of faults that are counted apart: by path and code. A primary that makes up more servers than that is not
/// counted further.
const MAX_FAULTS: usize = 1024;

/// Streams that are over and whose byte counts are kept.
const MAX_ENDED: usize = 256;

/// How often each path failed, by code.
#[derive(Debug, Default)]
pub(super) struct Faults(BTreeMap<(PathId, ErrorCode), u64>);

impl Faults {
    /// Counts a fault, unless it is of a new kind and there are as many as are kept.
    pub(super) fn count(&mut self, path: PathId, code: ErrorCode) {
        if self.0.len() < MAX_FAULTS || self.0.contains_key(&(path, code)) {
            *self.0.entry((path, code)).or_default() += 1;
        }
    }

    /// Each kind with its count.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PathId, ErrorCode, u64)> {
        self.0.iter().map(|((path, code), count)| (*path, *code, *count))
    }
}

/// The streams that ended last, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Ended(VecDeque<StreamMetrics>);

impl Ended {
    /// Keeps a stream; the one that ended first makes room for it.
    pub(super) fn keep(&mut self, stream: StreamMetrics) {
        if self.0.len() == MAX_ENDED {
            self.0.pop_front();
        }
        self.0.push_back(stream);
    }

    /// What is kept.
    pub(super) fn iter(&self) -> impl Iterator<Item = &StreamMetrics> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use kwik_core::delay::DelaySummary;

    use super::*;

    #[test]
    fn kinds_of_faults_beyond_the_bound_are_not_counted_and_known_ones_are() {
        let mut faults = Faults::default();
        for path in 0..5_000 {
            faults.count(PathId::new(path), ErrorCode::Unreachable);
        }
        assert_eq!(faults.iter().count(), MAX_FAULTS);
        faults.count(PathId::new(0), ErrorCode::Unreachable);
        assert_eq!(faults.iter().next(), Some((PathId::new(0), ErrorCode::Unreachable, 2)));
    }

    #[test]
    fn the_streams_that_ended_last_are_kept() {
        let mut ended = Ended::default();
        for id in 0..1_000 {
            let (bytes, sources) = (Vec::new(), Vec::new());
            let in_order_delay = DelaySummary::default();
            ended.keep(StreamMetrics { id, is_open: false, bytes, sources, in_order_delay });
        }
        let kept: Vec<u64> = ended.iter().map(|stream| stream.id).collect();
        assert_eq!(kept, (1_000 - MAX_ENDED as u64..1_000).collect::<Vec<_>>());
    }
}
