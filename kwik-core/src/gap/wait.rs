//! One stream's promises, and how long its reader has waited for what.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kwik_proto::frame::Gap;
use kwik_proto::{ByteRange, DelegationId, Offset, StreamId};

use super::StreamView;
use super::clocks::Clocks;
use super::promise::{Promise, State};
use crate::delegation::constants::{LONGEST_STEP, SHORTEST_STALL, SILENCE};
use crate::interval::RangeSet;
use crate::time::Instant;

/// Separate ranges that were reported without a promise and are remembered, per stream.
const ORPHANED: usize = 1024;

/// The reader's wait at one offset.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    pub(super) stream: StreamId,
    pub(super) promises: BTreeMap<DelegationId, Promise>,
    pub(super) reports: VecDeque<Gap>,
    /// What was reported missing without a promise, and not asked for since.
    orphaned: RangeSet,
    head: Offset,
    /// Since when the head has been where it is, or since the process woke up.
    pub(super) head_since: Instant,
    /// How often whoever promised the head was called late since it last moved.
    pub(super) head_lates: u32,
    /// How long the reader has waited there for what does not come.
    pub(super) clocks: Clocks,
    /// How fast the range at the head comes while the reader waits for it.
    pub(super) crawl: Option<Crawl>,
    /// Since when nobody has promised the head, or has been reported to.
    pub(super) unassigned_since: Option<Instant>,
    pub(super) gave_up: bool,
    /// All clocks start here at the earliest.
    pub(super) rearmed: Instant,
    overslept: bool,
    pub(super) timer: Option<Instant>,
}

impl Wait {
    pub(super) fn new(stream: StreamId, now: Instant) -> Self {
        Self {
            stream,
            promises: BTreeMap::new(),
            reports: VecDeque::new(),
            orphaned: RangeSet::new(),
            head: Offset::ZERO,
            head_since: now,
            head_lates: 0,
            clocks: Clocks::default(),
            crawl: None,
            unassigned_since: None,
            gave_up: false,
            rearmed: Instant::ZERO,
            overslept: false,
            timer: None,
        }
    }

    /// Whether no byte of a range that is missing and not promised was reported yet. At most [`ORPHANED`] separate
    /// ranges are remembered; the head clock reports what is not news but in the reader's way.
    pub(super) fn is_news(&mut self, range: ByteRange) -> bool {
        let news = !self.orphaned.overlaps(range) && self.orphaned.count() < ORPHANED;
        if news {
            self.orphaned.insert(range);
        }
        news
    }

    /// The range was asked for: if that fails too, it is news again.
    pub(super) fn asked_anew(&mut self, range: ByteRange) {
        self.orphaned.remove(range);
    }

    /// Follows the reader; progress at the head starts its clocks again.
    pub(super) fn follow(&mut self, view: &StreamView<'_>, now: Instant) {
        if let Some(read) = ByteRange::new(Offset::ZERO, view.read_offset) {
            self.orphaned.remove(read);
        }
        if self.timer.is_some_and(|timer| timer <= now) {
            self.wake(now);
        }
        if let Some(crawl) = &mut self.crawl {
            crawl.follow(view.waiting, now);
        }
        if view.contiguous_end != self.head || !view.waiting {
            self.head = view.contiguous_end;
            self.head_since = now;
            self.head_lates = 0;
            self.clocks = Clocks::default();
            self.unassigned_since = None;
            self.gave_up = false;
        }
    }

    /// The time that the rest of a range takes if it goes on as it came while the reader waited; `None`: too early to say.
    pub(super) fn at_this_pace(
        &mut self,
        id: DelegationId,
        head: Offset,
        rest: u64,
        now: Instant,
    ) -> Option<Duration> {
        let same = |crawl: &Crawl| crawl.id == id && crawl.head <= head;
        let crawl = match self.crawl.take().filter(same) {
            Some(crawl) => self.crawl.insert(crawl),
            None => self.crawl.insert(Crawl::new(id, head, now)),
        };
        crawl.moved(head);
        crawl.time_for(rest)
    }

    /// A timer fired. Far too late, once: nobody could be heard meanwhile, so nobody is blamed for it.
    fn wake(&mut self, now: Instant) {
        let slept = self.timer.map_or(Duration::ZERO, |timer| now.since(timer));
        let late = slept > SHORTEST_STALL;
        if late && !self.overslept {
            self.rearmed = now;
            self.head_since = now;
            self.clocks.slept(slept, now);
            self.crawl = None;
            self.unassigned_since = self.unassigned_since.map(|_| now);
        }
        self.overslept = late && !self.overslept;
    }

    /// The promises that cover the byte at `offset` and are or were owed.
    pub(super) fn owners(&self, offset: Offset) -> impl Iterator<Item = &Promise> {
        self.promises.values().filter(move |promise| {
            promise.state != State::Pending && promise.range.contains(offset)
        })
    }

    /// Moves the stream's timer forward to `due`, if that is earlier.
    pub(super) fn arm(&mut self, due: Instant) {
        self.timer = Some(self.timer.map_or(due, |timer| timer.min(due)));
    }
}

/// How fast the head moves within one promise, from its first move on. The time during which the reader had something to
/// read does not count: a range that comes slowly is nobody's loss then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crawl {
    id: DelegationId,
    /// Where the head was when it first moved; `None`: it did not.
    from: Option<Offset>,
    head: Offset,
    /// How long the reader waited for the moves since then.
    waited: Duration,
    /// How long it has waited for the next.
    step: Duration,
    /// When it was last looked at, if the reader waited then.
    last: Option<Instant>,
}

impl Crawl {
    fn new(id: DelegationId, head: Offset, now: Instant) -> Self {
        let (waited, step) = (Duration::ZERO, Duration::ZERO);
        Self { id, from: None, head, waited, step, last: Some(now) }
    }

    fn follow(&mut self, waiting: bool, now: Instant) {
        if let Some(last) = self.last {
            self.step += now.since(last);
        }
        self.last = waiting.then_some(now);
    }

    fn moved(&mut self, head: Offset) {
        let step = std::mem::take(&mut self.step);
        if head == self.head {
            self.step = step;
        } else if self.from.is_none() {
            self.from = Some(head);
        } else {
            self.waited += step.min(LONGEST_STEP);
        }
        self.head = head;
    }

    /// Time for `rest` bytes at this pace; `None`: it is too early.
    fn time_for(&self, rest: u64) -> Option<Duration> {
        let came = self.head.since(self.from?);
        if came == 0 || self.waited < SILENCE {
            return None;
        }
        let seconds = self.waited.as_secs_f64() * rest as f64 / came as f64;
        Some(Duration::from_secs_f64(seconds.min(3600.0)))
    }
}

/// From the first to the last missing byte of `range`; `None`: nothing of it is missing.
pub(super) fn missing_span(view: &StreamView<'_>, range: ByteRange) -> Option<ByteRange> {
    let mut parts = view.missing.iter().filter_map(|missing| missing.intersection(range));
    let first = parts.next()?;
    let last = parts.next_back().unwrap_or(first);
    ByteRange::new(first.start(), last.end())
}
