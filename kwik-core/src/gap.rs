//! Who promised which bytes to the client, whether they keep their word, and what to say when they do not.
//!
//! Three things make a promise late, and each becomes one Gap frame to the primary, which decides what to do:
//! - the *head clock*: the reader waits for it, and for `1.25 * (srtt + 4 * rttvar)` (20 to 500 ms) no byte of it came;
//! - the *comparison*: the reader waits for it, and a fresh copy from another path would take less than half as long, by
//!   the path's rate, or an eighth, by what came of the range itself;
//! - the *range clock*: not one byte of it came for a second beyond the time it should have taken.
//!
//! A byte for which all promises are late, or that nobody promised though it must exist, has
//! [`GapConfig::gap_timeout`] to arrive. Promises made after the first was broken stop that clock while they are not late,
//! but not for more than another gap timeout. While somebody has neither failed nor promised (an answer of Pending, an open
//! contribution under a grant, the primary itself) these clocks stand still. In all the wait ends after six gap timeouts.

mod clocks;
mod judge;
mod promise;
mod wait;
mod work;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kwik_proto::frame::{DelegationState, Gap, GapReason};
use kwik_proto::{ByteRange, DelegationId, Offset, PathId, StreamId};

use crate::delegation::constants::SHORTEST_STALL;
use crate::time::Instant;
use judge::Judge;
use promise::{Answer, Promise, State};
use wait::Wait;
use work::Work;

/// Gap frames for the end of one contribution: 64. A source that leaves more holes than that makes them on purpose: the
/// primary pays with some bytes that are sent twice, where thousands of frames would fill its control stream.
const END_GAPS: usize = 64;

/// The client's limits on waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapConfig {
    /// How long the reader waits at one offset that nobody delivers before the stream fails. Default: 10 s. Lower:
    /// outages that would have healed become errors; higher: an application waits that long for bytes that exist
    /// nowhere. For a source that has neither failed nor promised it waits six times as long.
    pub gap_timeout: Duration,
    /// Promises remembered at a time, over all streams. Default: 16,384. When full the oldest is forgotten: its range
    /// then counts as promised by nobody, which costs the primary a Gap frame.
    pub promises: usize,
}

impl Default for GapConfig {
    fn default() -> Self {
        Self { gap_timeout: Duration::from_secs(10), promises: 16_384 }
    }
}

/// Round trips of a path, as the client measures them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathTiming {
    /// Smoothed RTT; `None`: not measured.
    pub srtt: Option<Duration>,
    /// RTT variation.
    pub rttvar: Duration,
}

/// What a stream's receive half has, as [`Promises::poll`] needs to see it.
#[derive(Clone, Copy, Debug)]
pub struct StreamView<'a> {
    /// Bytes below were read.
    pub read_offset: Offset,
    /// Bytes below have arrived without a hole.
    pub contiguous_end: Offset,
    /// What is missing below the known end, in order; the nearest 64 ranges are enough.
    pub missing: &'a [ByteRange],
    /// Whether the reader waits at `read_offset`, with nothing to read.
    pub waiting: bool,
    /// Whether the first missing byte is still to be written by the primary, for all that is known: nobody else was ever
    /// asked for it, and the stream has no end yet. Such a byte may take any time, as on any stream of QUIC.
    pub unwritten: bool,
    /// Whether somebody may be about to send the first missing byte without having promised it: a contribution is open
    /// under a grant that covers it, and its path is up.
    pub opened: bool,
}

/// What [`Promises::poll`] wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapAction {
    /// Send this to the primary.
    Report(Gap),
    /// The reader gets `Missing` and the stream is stopped at the primary.
    GiveUp {
        /// The stream.
        stream: StreamId,
        /// The byte that the reader waits for.
        offset: Offset,
        /// Bytes missing from there to the next that arrived, or to the known end.
        len: u64,
    },
}

/// What a path did since it was last connected: the counters of PathStatus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathWork {
    /// Bytes of contributions that arrived, duplicates included.
    pub received_bytes: u64,
    /// Time during which the path owed bytes.
    pub busy: Duration,
}

/// Bytes that a source brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Bytes that were missing.
    pub new: u64,
    /// Bytes that were there before, or that this source may not fill: they keep no promise alive.
    pub duplicate: u64,
}

impl Arrival {
    /// All of them.
    pub const fn bytes(self) -> u64 {
        self.new.saturating_add(self.duplicate)
    }
}

/// What is on its way to one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Supply {
    /// Bytes per second that those deliver who owe bytes of it, as far as they were measured.
    pub rate: u64,
    /// Bytes promised and not delivered.
    pub outstanding: u64,
}

impl Supply {
    /// The window that keeps everybody busy: what arrives in two of the longest control loops, and what is outstanding.
    pub fn window(&self, control_loop: Duration) -> u64 {
        let turns = 2.0 * control_loop.as_secs_f64();
        self.outstanding.saturating_add((self.rate as f64 * turns) as u64)
    }
}

/// Who promised what, since when, and whether bytes come; one per client session, for all its streams.
///
/// Tell it what passes through the client; then, for each stream that anything happened to and for the one that
/// [`poll_timeout`](Self::poll_timeout) names, drain [`poll`](Self::poll). A StreamProgress has to reach the primary
/// before a Gap does, so that both speak of the same head.
///
/// ```
/// use std::time::Duration;
/// use kwik_core::gap::{GapAction, GapConfig, PathTiming, Promises, StreamView};
/// use kwik_core::time::Instant;
/// use kwik_proto::{ByteRange, DelegationId, Offset, PathId, StreamId};
///
/// let (path, stream) = (PathId::new(1), StreamId::from_wire(0).unwrap());
/// let range = ByteRange::with_length(Offset::ZERO, 1000).unwrap();
/// let mut promises = Promises::new(GapConfig::default());
/// let timing = PathTiming { srtt: Some(Duration::from_millis(20)), rttvar: Duration::ZERO };
/// promises.set_path(path, timing, Instant::ZERO);
/// promises.record(path, DelegationId(7), stream, range, Instant::ZERO);
///
/// let view = StreamView {
///     read_offset: Offset::ZERO,
///     contiguous_end: Offset::ZERO,
///     missing: &[range],
///     waiting: true,
///     unwritten: false,
///     opened: false,
/// };
/// assert_eq!(promises.poll(stream, &view, Instant::ZERO), None);
/// let (due, _) = promises.poll_timeout().unwrap();
/// let Some(GapAction::Report(gap)) = promises.poll(stream, &view, due) else { panic!() };
/// assert_eq!((gap.path, gap.range), (Some(path), range));
/// ```
#[derive(Debug)]
pub struct Promises {
    config: GapConfig,
    paths: BTreeMap<PathId, Work>,
    waits: BTreeMap<StreamId, Wait>,
    /// The stream of every promise.
    streams: BTreeMap<DelegationId, StreamId>,
}

impl Promises {
    /// Nothing promised yet.
    pub fn new(config: GapConfig) -> Self {
        Self { config, paths: BTreeMap::new(), waits: BTreeMap::new(), streams: BTreeMap::new() }
    }

    fn path(&mut self, path: PathId) -> &mut Work {
        self.paths.entry(path).or_insert_with(Work::new)
    }

    /// Tells the round trips of a path. The time before the first call counts as dialling, not as work.
    pub fn set_path(&mut self, path: PathId, timing: PathTiming, now: Instant) {
        let work = self.path(path);
        let connected = !work.connected();
        work.set_timing(timing, now);
        if connected {
            // What was asked for while it was dialled could not begin before.
            self.restart_promises(path, now);
        }
    }

    fn restart_promises(&mut self, path: PathId, now: Instant) {
        let Some(work) = self.paths.get(&path) else { return };
        for promise in self.waits.values_mut().flat_map(|wait| wait.promises.values_mut()) {
            if promise.path == path && promise.state != State::Pending {
                promise.restart(work, now);
            }
        }
        self.arm_all(now);
    }

    /// Takes down that `path` was asked for `range`; called when the delegation passes through the client, or when a
    /// contribution of the primary names its range. A number that is known already changes nothing.
    pub fn record(
        &mut self,
        path: PathId,
        id: DelegationId,
        stream: StreamId,
        range: ByteRange,
        now: Instant,
    ) {
        if self.streams.contains_key(&id) || range.is_empty() {
            return;
        }
        if self.streams.len() >= self.config.promises
            && let Some((oldest, _)) = self.streams.first_key_value()
        {
            self.end(*oldest, now);
        }
        let work = self.path(path);
        let promise = Promise::new(path, id, range, work, now);
        work.promised(range.len(), now);
        self.streams.insert(id, stream);
        let wait = self.waits.entry(stream).or_insert_with(|| Wait::new(stream, now));
        wait.asked_anew(range);
        wait.promises.insert(id, promise);
    }

    /// Takes a secondary's answer; Refused and Failed need no [`handle_end`](Self::handle_end). Whether it says
    /// anything new of a promise that this path gave: only then is it worth a frame to the primary. A path's answers go
    /// one way (Pending, Accepted, Sent, or an end), so there are at most four of them for a delegation.
    pub fn handle_status(
        &mut self,
        path: PathId,
        id: DelegationId,
        state: DelegationState,
        now: Instant,
    ) -> bool {
        let Some((promise, work)) = self.promise(path, id) else { return false };
        let answer = Answer::of(state);
        if answer <= promise.answer {
            return false;
        }
        promise.answer = answer;
        match answer {
            Answer::Pending => {
                promise.state = State::Pending;
                work.ended(promise.rest(), now);
            }
            Answer::Accepted | Answer::Sent if promise.state == State::Pending => {
                work.promised(promise.rest(), now);
                promise.restart(work, now);
            }
            Answer::Accepted | Answer::Sent | Answer::None => {}
            Answer::Ended => self.end(id, now),
        }
        true
    }

    /// Takes down that bytes of a promise arrived. Bytes of a delegation that was taken back count for the path all the
    /// same. Returns the promise's range once as many bytes came as it has: if none of it is missing, it is
    /// [kept](Self::handle_kept). (One byte a thousand times is no promise kept, nor a sign of life.)
    pub fn handle_bytes(
        &mut self,
        path: PathId,
        id: DelegationId,
        arrival: Arrival,
        now: Instant,
    ) -> Option<ByteRange> {
        let Some((promise, work)) = self.promise(path, id) else {
            if let Some(work) = self.paths.get_mut(&path) {
                work.received(arrival.bytes(), 0, now);
            }
            return None;
        };
        let owed = promise.received(arrival, now);
        work.received(arrival.bytes(), owed, now);
        (promise.rest() == 0).then_some(promise.range)
    }

    /// Every byte of a promise is there.
    pub fn handle_kept(&mut self, path: PathId, id: DelegationId, now: Instant) {
        if self.promise(path, id).is_some() {
            self.end(id, now);
        }
    }

    /// A contribution ended, with `missing` of its promise not delivered, in order: each becomes a Gap frame at once, but
    /// for 64 at most, of which the last is about all the rest. None missing: the promise is kept.
    ///
    /// The missing bytes of a promise that is not known (any more) are reported too, but the same bytes once only: who
    /// opens and resets contributions for ever must not fill the primary's control stream.
    pub fn handle_end(
        &mut self,
        (path, stream, id): (PathId, StreamId, DelegationId),
        missing: &[ByteRange],
        reason: GapReason,
        now: Instant,
    ) {
        let known = self.promise(path, id).is_some();
        if known {
            self.end(id, now);
        }
        let wait = self.waits.entry(stream).or_insert_with(|| Wait::new(stream, now));
        let (each, rest) = missing.split_at(missing.len().min(END_GAPS - 1));
        let rest = rest.first().zip(rest.last());
        let rest = rest.and_then(|(first, last)| ByteRange::new(first.start(), last.end()));
        for range in each.iter().copied().chain(rest) {
            if known || wait.is_news(range) {
                let (path, delegation) = (Some(path), Some(id));
                wait.reports.push_back(Gap { stream, range, reason, path, delegation });
            }
        }
        wait.arm(now);
    }

    /// Bytes are missing for another reason than a promise that ended: reported with the stream's next look.
    pub fn report(&mut self, gap: Gap, now: Instant) {
        let stream = gap.stream;
        let wait = self.waits.entry(stream).or_insert_with(|| Wait::new(stream, now));
        wait.reports.push_back(gap);
        wait.arm(now);
    }

    /// What a path promised under that number: the stream and the range.
    pub fn range_of(&self, path: PathId, id: DelegationId) -> Option<(StreamId, ByteRange)> {
        let stream = *self.streams.get(&id)?;
        let promise = self.waits.get(&stream)?.promises.get(&id)?;
        (promise.path == path).then_some((stream, promise.range))
    }

    /// What a path promised of a stream.
    pub fn of(&self, stream: StreamId, path: PathId) -> Vec<(DelegationId, ByteRange)> {
        let promises = self.waits.get(&stream).into_iter().flat_map(|wait| wait.promises.values());
        let own = promises.filter(|promise| promise.path == path);
        own.map(|promise| (promise.id, promise.range)).collect()
    }

    /// Whether anybody owes the byte at `offset`, late or not.
    pub fn is_owed(&self, stream: StreamId, offset: Offset) -> bool {
        self.waits.get(&stream).is_some_and(|wait| wait.owners(offset).next().is_some())
    }

    /// The primary took a delegation back; nothing is owed for it.
    pub fn revoke(&mut self, path: PathId, id: DelegationId, now: Instant) {
        if self.promise(path, id).is_some() {
            self.end(id, now);
        }
    }

    /// The promise with that number, if that path gave it, and the path.
    fn promise(&mut self, path: PathId, id: DelegationId) -> Option<(&mut Promise, &mut Work)> {
        let wait = self.waits.get_mut(self.streams.get(&id)?)?;
        let promise = wait.promises.get_mut(&id).filter(|promise| promise.path == path)?;
        Some((promise, self.paths.get_mut(&path)?))
    }

    fn end(&mut self, id: DelegationId, now: Instant) {
        let Some(stream) = self.streams.remove(&id) else { return };
        let Some(wait) = self.waits.get_mut(&stream) else { return };
        let Some(promise) = wait.promises.remove(&id) else { return };
        let Some(work) = self.paths.get_mut(&promise.path) else { return };
        if promise.state != State::Pending {
            work.ended(promise.rest(), now);
        }
        if !work.connected() {
            self.forget_unknown(promise.path);
        }
    }

    /// Nothing was learned of a path that is not connected. If it promised nothing either it may have been taken out.
    fn forget_unknown(&mut self, path: PathId) {
        let mut promises = self.waits.values().flat_map(|wait| wait.promises.values());
        if !promises.any(|promise| promise.path == path) {
            self.paths.remove(&path);
        }
    }

    /// The path owes bytes and is silent: its promises do not count until it is heard of again.
    pub fn path_suspect(&mut self, path: PathId, now: Instant) {
        if let Some(work) = self.paths.get_mut(&path) {
            work.suspect = true;
        }
        self.arm_all(now);
    }

    /// A suspect path delivered again: its promises count again, with new deadlines.
    pub fn path_healed(&mut self, path: PathId, now: Instant) {
        if let Some(work) = self.paths.get_mut(&path) {
            work.suspect = false;
        }
        self.restart_promises(path, now);
    }

    /// The path is over, and with it all its promises. Nothing of it is remembered: what it did says nothing about its
    /// next connection, and there may be none.
    pub fn path_gone(&mut self, path: PathId, now: Instant) {
        let ids: Vec<_> = self
            .waits
            .values()
            .flat_map(|wait| wait.promises.values())
            .filter(|promise| promise.path == path)
            .map(|promise| promise.id)
            .collect();
        ids.into_iter().for_each(|id| self.end(id, now));
        self.paths.remove(&path);
        self.arm_all(now);
    }

    fn arm_all(&mut self, now: Instant) {
        self.waits.values_mut().for_each(|wait| wait.arm(now));
    }

    /// The stream is complete, reset or given up. Returns the paths that owed bytes of it.
    pub fn forget_stream(&mut self, stream: StreamId, now: Instant) -> BTreeSet<PathId> {
        let promises = self.waits.get(&stream).into_iter().flat_map(|wait| wait.promises.values());
        let (ids, paths): (Vec<_>, BTreeSet<_>) =
            promises.map(|promise| (promise.id, promise.path)).unzip();
        ids.into_iter().for_each(|id| self.end(id, now));
        self.waits.remove(&stream);
        paths
    }

    /// The next thing to do about a stream; call until `None`, after inputs and at
    /// [`poll_timeout`](Self::poll_timeout). A stream whose reader waits is known from the first call on, until
    /// [`forget_stream`](Self::forget_stream).
    pub fn poll(
        &mut self,
        stream: StreamId,
        view: &StreamView<'_>,
        now: Instant,
    ) -> Option<GapAction> {
        let wait = self.waits.entry(stream).or_insert_with(|| Wait::new(stream, now));
        wait.follow(view, now);
        wait.timer = None;
        if let Some(report) = wait.reports.pop_front() {
            wait.arm(now);
            return Some(GapAction::Report(report));
        }
        let judge = Judge { paths: &self.paths, view, now };
        let action = judge
            .late_range(wait)
            .or_else(|| judge.late_head(wait))
            .map(GapAction::Report)
            .or_else(|| judge.hopeless(wait, self.config.gap_timeout));
        if action.is_some() {
            wait.arm(now);
        }
        action
    }

    /// How long the process slept through the timer of a stream; `None`: it is not late.
    pub fn overslept(&self, stream: StreamId, now: Instant) -> Option<Duration> {
        let timer = self.waits.get(&stream)?.timer?;
        Some(now.since(timer)).filter(|slept| *slept > SHORTEST_STALL)
    }

    /// When to poll again without an input, and which stream.
    pub fn poll_timeout(&self) -> Option<(Instant, StreamId)> {
        self.waits.values().filter_map(|wait| Some((wait.timer?, wait.stream))).min()
    }

    /// Who is to blame if the byte at `offset` does not come: of those that were asked for it, late and suspect ones
    /// included, the first. The others were asked because of it.
    pub fn owner_of(&self, stream: StreamId, offset: Offset) -> Option<(PathId, DelegationId)> {
        let mut owners = self.waits.get(&stream)?.owners(offset);
        owners.next().map(|promise| (promise.path, promise.id))
    }

    /// What is on its way to a stream, and how fast those are that it comes from.
    pub fn supply(&self, stream: StreamId) -> Supply {
        let promises = self.waits.get(&stream).into_iter().flat_map(|wait| wait.promises.values());
        let mut sources = BTreeSet::new();
        let mut outstanding = 0;
        for promise in promises.filter(|promise| promise.state != State::Pending) {
            outstanding += promise.rest();
            sources.insert(promise.path);
        }
        let rates = sources.iter().filter_map(|path| self.paths.get(path)?.rate());
        Supply { rate: rates.fold(0, u64::saturating_add), outstanding }
    }

    /// Whether the path owes bytes to any stream: what its path clock needs to know.
    pub fn owes(&self, path: PathId) -> bool {
        self.paths.get(&path).is_some_and(Work::owes)
    }

    /// The counters of a path's next PathStatus.
    pub fn work(&self, path: PathId, now: Instant) -> PathWork {
        self.paths.get(&path).map(|work| work.counters(now)).unwrap_or_default()
    }

    /// Promises that are neither kept nor ended.
    pub fn count(&self) -> usize {
        self.streams.len()
    }
}
