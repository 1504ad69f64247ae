//! Who sent how much of streams that are over.

use std::collections::VecDeque;

use kwik_proto::{PathId, StreamId};

/// Streams that are remembered: the driver asks at the next output.
const KEPT: usize = 64;

/// The shares of the streams that ended last.
#[derive(Debug, Default)]
pub(super) struct Ended(VecDeque<(StreamId, Vec<(PathId, u64)>)>);

impl Ended {
    pub(super) fn add(&mut self, stream: StreamId, shares: Vec<(PathId, u64)>) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((stream, shares));
    }

    pub(super) fn of(&self, stream: StreamId) -> Option<Vec<(PathId, u64)>> {
        let (_, shares) = self.0.iter().rev().find(|(ended, _)| *ended == stream)?;
        Some(shares.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_that_ended_last_are_remembered() {
        let stream = |n: u64| StreamId::from_wire(4 * n).expect("it is small");
        let mut ended = Ended::default();
        for n in 0..1000 {
            ended.add(stream(n), vec![(PathId::PRIMARY, n)]);
        }
        assert_eq!(ended.0.len(), KEPT);
        assert_eq!(ended.of(stream(999)), Some(vec![(PathId::PRIMARY, 999)]));
        assert_eq!(ended.of(stream(0)), None);
    }
}
