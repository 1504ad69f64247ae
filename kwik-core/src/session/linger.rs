//! Streams that the application has left, while what it wrote is on its way.

use std::collections::BTreeMap;
use std::time::Duration;

use kwik_proto::StreamId;

use crate::time::Instant;

/// When each stream that its application left last made progress.
#[derive(Debug)]
pub(super) struct Linger {
    /// Without progress for so long, a stream is given up.
    patience: Duration,
    left: BTreeMap<StreamId, Left>,
}

#[derive(Clone, Copy, Debug)]
struct Left {
    /// The last progress.
    since: Instant,
    /// The peer has everything, and its application has not read it.
    delivered: bool,
}

/// A stream that is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Bytes are missing at the peer: it is to hear of it.
    Undelivered(StreamId),
    /// It wants no more than to be read.
    Delivered(StreamId),
}

impl Linger {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, left: BTreeMap::new() }
    }

    /// The application left the stream, of which the peer has everything or not. Said again, the time goes on.
    pub(super) fn add(&mut self, id: StreamId, delivered: bool, now: Instant) {
        self.left.entry(id).or_insert(Left { since: now, delivered }).delivered = delivered;
    }

    /// The receiver took something.
    pub(super) fn handle_progress(&mut self, id: StreamId, now: Instant) {
        if let Some(left) = self.left.get_mut(&id) {
            left.since = now;
        }
    }

    /// The stream's sending half is over.
    pub(super) fn remove(&mut self, id: StreamId) {
        self.left.remove(&id);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.left.values().map(|left| left.since + self.patience).min()
    }

    pub(super) fn take_overdue(&mut self, now: Instant) -> Option<Overdue> {
        let overdue = |left: &Left| now >= left.since + self.patience;
        let (&id, &left) = self.left.iter().find(|(_, left)| overdue(left))?;
        self.left.remove(&id);
        Some(if left.delivered { Overdue::Delivered(id) } else { Overdue::Undelivered(id) })
    }
}
