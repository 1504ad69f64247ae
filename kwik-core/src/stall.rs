//! Pauses of the reader: what it waited for, whose fault it was, and what ended the wait.

use std::collections::BTreeMap;
use std::time::Duration;

use kwik_proto::{ByteRange, Offset, PathId, StreamId};

use crate::time::Instant;

/// Pauses up to this long are not recorded: a reader does not notice them.
const NOTICED: Duration = Duration::from_millis(50);

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
    /// Who owed them then; `None`: nobody.
    pub path: Option<PathId>,
    /// Who delivered the byte that ended the wait; `None`: the stream ended.
    pub ended_by: Option<PathId>,
}

/// A wait that has not ended.
#[derive(Clone, Copy, Debug)]
struct Wait {
    since: Instant,
    range: ByteRange,
    path: Option<PathId>,
}

/// Records the reader's pauses of one session; keeps the 64 longest, a shorter one makes room.
///
/// ```
/// use std::time::Duration;
/// use kwik_core::stall::Stalls;
/// use kwik_core::time::Instant;
/// use kwik_proto::{ByteRange, Offset, PathId, StreamId};
///
/// let mut stalls = Stalls::default();
/// let stream = StreamId::from_wire(0).unwrap();
/// let range = ByteRange::with_length(Offset::ZERO, 1000).unwrap();
/// stalls.waiting(stream, range, Some(PathId::new(1)), Instant::ZERO);
/// let later = Instant::from_start(Duration::from_millis(80));
/// stalls.resumed(stream, Offset::ZERO, Some(PathId::new(2)), later);
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
    /// The reader found nothing at `range.start()`. Calls while it waits at the same offset change nothing.
    pub fn waiting(
        &mut self,
        stream: StreamId,
        range: ByteRange,
        owner: Option<PathId>,
        now: Instant,
    ) {
        let wait = self.open.entry(stream).or_insert(Wait { since: now, range, path: owner });
        if wait.range.start() != range.start() {
            *wait = Wait { since: now, range, path: owner };
        }
    }

    /// Bytes at the reader's offset arrived from `path`, or the stream ended. A wait further on is not ended by bytes
    /// before it.
    pub fn resumed(&mut self, stream: StreamId, at: Offset, path: Option<PathId>, now: Instant) {
        let Some(wait) = self.open.get(&stream).copied().filter(|wait| at >= wait.range.start())
        else {
            return;
        };
        self.open.remove(&stream);
        let duration = now.since(wait.since);
        self.longest = self.longest.max(duration);
        if duration > NOTICED {
            let Wait { since, range, path: owner } = wait;
            self.keep(Stall { stream, since, duration, range, path: owner, ended_by: path });
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

    /// The stream is over; a wait that is still open is dropped.
    pub fn forget_stream(&mut self, stream: StreamId) {
        self.open.remove(&stream);
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
