//! Pauses of the reader: what it waited for, whose fault it was, and what ended the wait.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use kwik_proto::frame::GapReason;
use kwik_proto::{ByteRange, PathId, StreamId};

use crate::delegation::constants::SHORTEST_STALL;
use crate::stream::EndedWait;
use crate::time::Instant;

/// Pauses kept.
const KEPT: usize = 64;

/// One pause of the reader of more than 50 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The stream.
    pub stream: StreamId,
    /// When the reader began to wait.
    pub since: Instant,
    /// How long it waited.
    pub duration: Duration,
    /// The missing bytes in front of the reader when the wait began.
    pub range: ByteRange,
    /// Who owed them for most of that time; `None`: nobody, or the client itself was stopped.
    pub path: Option<PathId>,
    /// Who delivered the byte that ended the wait; `None`: the stream ended.
    pub ended_by: Option<PathId>,
    /// Why the bytes were reported missing to the primary meanwhile, the last time; `None`: they were not.
    pub reported: Option<GapReason>,
}

/// A wait that has not ended.
#[derive(Clone, Debug)]
struct Wait {
    since: Instant,
    range: ByteRange,
    /// Who owes the bytes now, and since when.
    owner: (Option<PathId>, Instant),
    /// How long each owed them before. As many as the session has paths.
    owed: BTreeMap<Option<PathId>, Duration>,
    reported: Option<GapReason>,
}

impl Wait {
    fn new(range: ByteRange, owner: Option<PathId>, since: Instant) -> Self {
        Self { since, range, owner: (owner, since), owed: BTreeMap::new(), reported: None }
    }

    fn owned_by(&mut self, owner: Option<PathId>, now: Instant) {
        let (before, since) = std::mem::replace(&mut self.owner, (owner, now));
        *self.owed.entry(before).or_default() += now.since(since);
    }

    /// From `from` on nobody owed anything: the client itself was stopped.
    fn slept(&mut self, from: Instant, now: Instant) {
        let awake = self.owner.1.max(from);
        let owner = self.owner.0;
        self.owned_by(owner, awake);
        *self.owed.entry(None).or_default() += now.since(awake);
        self.owner.1 = now;
    }

    /// Who owed the bytes longest.
    fn culprit(&self) -> Option<PathId> {
        let longest = self.owed.iter().max_by_key(|(_, time)| **time);
        longest.map_or(self.owner.0, |(path, _)| *path)
    }
}

/// Records the reader's pauses of one session; keeps the 64 longest, a shorter one makes room.
///
/// Only waits for bytes that are known to exist count: [`waiting`](Self::waiting) has to be called while they last.
///
/// ```
/// use std::time::Duration;
/// use kwik_core::stall::Stalls;
/// use kwik_core::stream::EndedWait;
/// use kwik_core::time::Instant;
/// use kwik_proto::{ByteRange, Offset, PathId, StreamId};
///
/// let mut stalls = Stalls::default();
/// let stream = StreamId::from_wire(0).unwrap();
/// let range = ByteRange::with_length(Offset::ZERO, 1000).unwrap();
/// let since = Instant::ZERO;
/// stalls.waiting(stream, range, Some(PathId::new(1)), since);
/// let until = Instant::from_start(Duration::from_millis(80));
/// let wait = EndedWait { offset: Offset::ZERO, since, until, by: PathId::new(2) };
/// stalls.ended(stream, wait);
/// assert_eq!(stalls.kept()[0].duration, Duration::from_millis(80));
/// assert_eq!(stalls.kept()[0].ended_by, Some(PathId::new(2)));
/// ```
#[derive(Debug, Default)]
pub struct Stalls {
    /// One per stream whose reader waits.
    open: BTreeMap<StreamId, Wait>,
    kept: Vec<Stall>,
    longest: Duration,
}

impl Stalls {
    /// The reader found nothing at `range.start()`, and `owner` owes it now. The wait counts from the first call on: before
    /// that nobody knew that there are bytes to wait for.
    pub fn waiting(
        &mut self,
        stream: StreamId,
        range: ByteRange,
        owner: Option<PathId>,
        now: Instant,
    ) {
        match self.open.get_mut(&stream) {
            Some(wait) if wait.range.start() == range.start() => wait.owned_by(owner, now),
            _ => {
                self.open.insert(stream, Wait::new(range, owner, now));
            }
        }
    }

    /// The range was reported missing: a reader that waits for bytes of it waits for what the primary does then.
    pub fn reported(&mut self, stream: StreamId, range: ByteRange, reason: GapReason) {
        let waits = self.open.get_mut(&stream);
        if let Some(wait) = waits.filter(|wait| range.contains(wait.range.start())) {
            wait.reported = Some(reason);
        }
    }

    /// The client was stopped until now, for so long: of a wait that goes on no server is to blame for that time.
    pub fn slept(&mut self, stream: StreamId, time: Duration, now: Instant) {
        let from = Instant::from_start(now.since(Instant::ZERO).saturating_sub(time));
        if let Some(wait) = self.open.get_mut(&stream) {
            wait.slept(from, now);
        }
    }

    /// A wait was ended by bytes. Nothing is recorded of one that was not told before.
    pub fn ended(&mut self, stream: StreamId, ended: EndedWait) {
        let told = |wait: &Wait| wait.range.start() == ended.offset;
        if self.open.get(&stream).is_some_and(told) {
            self.close(stream, ended.until, Some(ended.by));
        }
    }

    /// A wait that nobody told of was ended by bytes: the middle of a stream that one server sends alone, where what is to
    /// come is known when it comes.
    pub fn ended_untold(&mut self, stream: StreamId, ended: EndedWait) {
        if let Some(range) = ByteRange::with_length(ended.offset, 1) {
            self.open.insert(stream, Wait::new(range, Some(ended.by), ended.since));
            self.close(stream, ended.until, Some(ended.by));
        }
    }

    /// The reader does not wait any more, and no bytes did that.
    pub fn abandoned(&mut self, stream: StreamId, now: Instant) {
        self.close(stream, now, None);
    }

    fn close(&mut self, stream: StreamId, until: Instant, ended_by: Option<PathId>) {
        let Some(mut wait) = self.open.remove(&stream) else { return };
        wait.owned_by(None, until);
        let duration = until.since(wait.since);
        self.longest = self.longest.max(duration);
        if duration > SHORTEST_STALL {
            let path = wait.culprit();
            let Wait { since, range, reported, .. } = wait;
            self.keep(Stall { stream, since, duration, range, path, ended_by, reported });
        }
    }

    fn keep(&mut self, stall: Stall) {
        if self.kept.len() == KEPT {
            let shortest = (0..KEPT).min_by_key(|&at| self.kept[at].duration).unwrap_or_default();
            if self.kept[shortest].duration >= stall.duration {
                return;
            }
            self.kept.remove(shortest);
        }
        let at = self.kept.partition_point(|kept| kept.since <= stall.since);
        self.kept.insert(at, stall);
    }

    /// Pauses in the order in which they began.
    pub fn kept(&self) -> &[Stall] {
        &self.kept
    }

    /// The longest wait that has ended, recorded or not.
    pub fn longest(&self) -> Duration {
        self.longest
    }
}
