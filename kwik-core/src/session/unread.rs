//! Streams whose receiver takes nothing of what waits for it.

use std::collections::BTreeMap;
use std::time::Duration;

use kwik_proto::StreamId;

use crate::time::Instant;

/// How often within the patience a stream is looked at: what is late is found a quarter later at most.
const LOOKS: u32 = 4;

/// Since when each stream with bytes for its receiver stands still.
///
/// As many entries as streams with such bytes.
#[derive(Debug)]
pub(super) struct Unread {
    patience: Duration,
    waiting: BTreeMap<StreamId, Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Bytes that the receiver had taken when it was heard of last.
    released: u64,
    since: Instant,
    /// When to look again; `None`: the driver was asked.
    look: Option<Instant>,
}

/// Whether what waits is still wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It may be.
    Yet,
    /// Its receiver took nothing for too long.
    Never,
}

impl Unread {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, waiting: BTreeMap::new() }
    }

    /// The stream holds that many bytes, and its receiver has taken that many so far.
    pub(super) fn note(&mut self, id: StreamId, held: u64, released: u64, now: Instant) -> Read {
        if held == 0 {
            self.waiting.remove(&id);
            return Read::Yet;
        }
        let begun = Waiting { released, since: now, look: None };
        let waiting = self.waiting.entry(id).or_insert(begun);
        if waiting.released != released {
            *waiting = begun;
        }
        if now.since(waiting.since) >= self.patience {
            self.waiting.remove(&id);
            return Read::Never;
        }
        waiting.look = Some(now + self.patience / LOOKS);
        Read::Yet
    }

    /// Nothing more is sent on the stream.
    pub(super) fn remove(&mut self, id: StreamId) {
        self.waiting.remove(&id);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.values().filter_map(|waiting| waiting.look).min()
    }

    /// The next stream to look at.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<StreamId> {
        let due = |waiting: &Waiting| waiting.look.is_some_and(|look| look <= now);
        let (&id, waiting) = self.waiting.iter_mut().find(|(_, waiting)| due(waiting))?;
        waiting.look = None;
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn stream(id: u64) -> StreamId {
        StreamId::from_wire(id).unwrap()
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn who_takes_nothing_is_given_up_and_who_takes_a_byte_is_not() {
        let mut unread = Unread::new(Duration::from_secs(60));
        assert_eq!(unread.note(stream(1), 10, 0, at(0)), Read::Yet);
        assert_eq!(unread.note(stream(5), 10, 0, at(0)), Read::Yet);
        let mut taken = 0;
        for seconds in (15..60).step_by(15) {
            assert_eq!(unread.poll_timeout(), Some(at(seconds)));
            assert_eq!(unread.take_due(at(seconds)), Some(stream(1)));
            assert_eq!(unread.take_due(at(seconds)), Some(stream(5)));
            assert_eq!(unread.take_due(at(seconds)), None);
            assert_eq!(unread.note(stream(1), 10, 0, at(seconds)), Read::Yet);
            taken += 1;
            assert_eq!(unread.note(stream(5), 10, taken, at(seconds)), Read::Yet);
        }
        assert_eq!(unread.note(stream(1), 10, 0, at(60)), Read::Never);
        assert_eq!(unread.note(stream(5), 10, taken, at(60)), Read::Yet);
        assert_eq!(unread.note(stream(5), 10, taken, at(105)), Read::Never);
        assert_eq!(unread.poll_timeout(), None);
    }

    #[test]
    fn a_stream_that_holds_nothing_is_not_looked_at() {
        let mut unread = Unread::new(Duration::from_secs(60));
        assert_eq!(unread.note(stream(1), 10, 0, at(0)), Read::Yet);
        assert_eq!(unread.note(stream(1), 0, 10, at(15)), Read::Yet);
        assert_eq!((unread.poll_timeout(), unread.take_due(at(100))), (None, None));
        assert_eq!(unread.note(stream(1), 10, 10, at(200)), Read::Yet);
        assert_eq!(unread.note(stream(1), 10, 10, at(259)), Read::Yet);
        unread.remove(stream(1));
        assert_eq!(unread.poll_timeout(), None);
    }
}
