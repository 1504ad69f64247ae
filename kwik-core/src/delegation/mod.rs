//! Who sends what: the primary's delegation scheduler.
//!
//! The application delegates a range of a stream and names who may be asked. The scheduler cuts it into small ranges,
//! hands them to whoever frees up, near the head first, and takes them back from whoever fails. Bytes that nobody was
//! asked for wait in the plan's *pool*; the *ledger* knows who was asked for what; *pick* chooses. What the client holds
//! counts, whoever sent it.
//!
//! `docs/delegation.md` argues the rules and states the measurements.

mod assign;
mod blocked;
mod book;
mod bucket;
mod config;
pub(crate) mod constants;
mod dispute;
mod end_game;
pub(crate) mod forecast;
mod half;
mod head;
mod late;
mod outcome;
mod pick;
mod plan;
mod proof;
pub(crate) mod rate;
mod repair;
mod silent;
mod source;
mod strip;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use kwik_proto::frame::{GapReason, PathState, PathStatus, StreamProgress};
use kwik_proto::{ByteRange, DelegationId, Offset, PathId, StreamId};

use crate::interval::RangeSet;
use crate::time::Instant;
use book::{Arrived, Book};
use bucket::Bucket;
use dispute::Rulings;
use half::Half;
use plan::Plan;
use source::Source;

pub use config::{DelegationConfig, Switches};
pub use outcome::{
    Candidates, Decision, DelegateError, Event, Local, PathShare, PathView, PlanId, SchedulerStats,
};
pub use strip::{Cell, StreamView, Strip};

/// Longest resource that a Delegation frame carries, in bytes.
const RESOURCE_LIMIT: usize = 4096;

/// Events kept for an application that does not ask for them; the oldest goes.
const EVENTS: usize = 1024;

/// Resources of which refusals are remembered, each for the paths of the session. When full the first in order is
/// forgotten: a path that lacks it is asked once more.
const BARRED: usize = 1024;

/// The primary's delegation scheduler: one per session, for all its streams.
///
/// Tell it what happens (`handle_*`, [`set_path`](Self::set_path)), order ranges with
/// [`delegate`](Self::delegate), and after every batch of inputs, and when
/// [`poll_timeout`](Self::poll_timeout) has come, drain [`poll`](Self::poll) and [`poll_event`](Self::poll_event).
///
/// Memory is bounded by [`DelegationConfig::plans`] and [`DelegationConfig::delegations`], and by one small record per
/// path and per stream with a window.
///
/// ```
/// use std::time::Duration;
/// use bytes::Bytes;
/// use kwik_core::delegation::{
///     Candidates, Decision, DelegationConfig, Local, PathView, Scheduler,
/// };
/// use kwik_core::time::Instant;
/// use kwik_proto::{ByteRange, Offset, PathId, StreamId};
///
/// let now = Instant::ZERO;
/// let mut scheduler = Scheduler::new(DelegationConfig::default(), 7);
/// scheduler.set_primary_rtt(Duration::from_millis(20));
/// scheduler.set_path(PathId::new(1), PathView::DIALING, now);
///
/// let stream = StreamId::from_wire(0).unwrap();
/// let range = ByteRange::with_length(Offset::ZERO, 1 << 20).unwrap();
/// scheduler.handle_window(stream, Offset::new(4 << 20).unwrap(), now);
/// scheduler
///     .delegate(stream, range, Bytes::from("film.mp4"), Candidates::All, Local::None, now)
///     .unwrap();
///
/// // The first ranges travel together with the order to dial.
/// let Some(Decision::Delegate { path, delegation }) = scheduler.poll(now) else { panic!() };
/// assert_eq!(path, PathId::new(1));
/// assert_eq!(delegation.range.start(), Offset::ZERO);
/// ```
#[derive(Debug)]
pub struct Scheduler {
    config: DelegationConfig,
    seed: u64,
    book: Book,
    halves: BTreeMap<StreamId, Half>,
    /// Of streams whose priority is not 0.
    priorities: BTreeMap<StreamId, i32>,
    /// Those that have plans.
    busy: BTreeSet<StreamId>,
    /// Those whose last report may have left out held ranges.
    truncated: BTreeSet<StreamId>,
    bucket: Bucket,
    /// Those whose reader waits for a byte that nobody promised.
    starving: BTreeSet<StreamId>,
    /// When the next stream will have waited for long for a source with room.
    unfed_due: Option<Instant>,
    /// The primary's copies that are on their way to decide who was wrong.
    rulings: Rulings,
    /// Streams that want one.
    disputes: BTreeSet<StreamId>,
    /// Who refused which resource for good.
    barred: BTreeMap<Bytes, BTreeMap<PathId, GapReason>>,
    primary_rtt: Duration,
    next_plan: u64,
    plans: usize,
    /// The stream that was served last; the next one comes first now.
    served: Option<StreamId>,
    /// Something changed since decisions were last made.
    dirty: bool,
    /// A path has more room than decisions counted with: some of its orders wait for a proof.
    roomier: bool,
    now: Instant,
    decisions: VecDeque<Decision>,
    events: VecDeque<Event>,
    stats: SchedulerStats,
    /// What was delivered by whom, while somebody watches; one for each of `halves` at most.
    strips: Option<BTreeMap<StreamId, Strip>>,
}

impl Scheduler {
    /// A scheduler without streams, and with the primary's own connection as its only path. `seed` decides between
    /// equals, so that not every session asks the same server first.
    pub fn new(config: DelegationConfig, seed: u64) -> Self {
        let view = PathView { state: PathState::Live, srtt: None, rttvar: Duration::ZERO };
        let primary = Box::new(Source::new(PathId::PRIMARY, view, &config));
        let mut book = Book::default();
        book.sources.insert(PathId::PRIMARY, primary);
        Self {
            bucket: Bucket::new(&config),
            seed,
            book,
            halves: BTreeMap::new(),
            priorities: BTreeMap::new(),
            busy: BTreeSet::new(),
            truncated: BTreeSet::new(),
            starving: BTreeSet::new(),
            unfed_due: None,
            rulings: Rulings::new(),
            disputes: BTreeSet::new(),
            barred: BTreeMap::new(),
            primary_rtt: Duration::ZERO,
            next_plan: 0,
            plans: 0,
            served: None,
            dirty: false,
            roomier: false,
            now: Instant::ZERO,
            decisions: VecDeque::new(),
            events: VecDeque::new(),
            stats: SchedulerStats::default(),
            strips: None,
            config,
        }
    }

    /// Sets a stream's priority, by default 0: higher ones are handed out first and sent first. Where it is not 0 it is kept
    /// until it is set to 0.
    pub fn set_priority(&mut self, stream: StreamId, priority: i32) {
        match priority {
            0 => self.priorities.remove(&stream),
            _ => self.priorities.insert(stream, priority),
        };
        self.dirty = true;
    }

    #[cfg(test)]
    pub(crate) fn priorities(&self) -> usize {
        self.priorities.len()
    }

    /// A stream's priority.
    pub(super) fn priority(&self, stream: StreamId) -> i32 {
        self.priorities.get(&stream).copied().unwrap_or_default()
    }

    /// Adds a path, or tells its state. [`PathId::PRIMARY`] is the primary's own connection and exists from the start.
    pub fn set_path(&mut self, path: PathId, view: PathView, now: Instant) {
        self.touch(now);
        match self.book.sources.get_mut(&path) {
            Some(source) => source.set_view(view),
            None => {
                let source = Source::new(path, view, &self.config);
                self.book.sources.insert(path, Box::new(source));
            }
        }
        self.follow_state(path, view.state);
    }

    /// Takes the client's report about a path: state, RTT, and the two counters that its rate comes from. A report about
    /// a path that was never added is ignored.
    pub fn handle_path_status(&mut self, status: &PathStatus, now: Instant) {
        self.touch(now);
        let complete = self.truncated.is_empty();
        let Some(source) = self.book.sources.get_mut(&status.path) else { return };
        source.handle_status(status, complete);
        self.follow_state(status.path, status.state);
    }

    /// What a path owes when it stops delivering is asked of others.
    fn follow_state(&mut self, path: PathId, state: PathState) {
        match state {
            PathState::Suspect => self.path_lost(path, GapReason::PathSuspect),
            PathState::Gone => self.path_lost(path, GapReason::PathGone),
            PathState::Dialing | PathState::Proving | PathState::Live | PathState::Draining => {}
        }
    }

    /// Forgets a path; what it still owes goes back to the pool. The primary's own path stays.
    pub fn remove_path(&mut self, path: PathId, now: Instant) {
        self.touch(now);
        self.path_lost(path, GapReason::PathGone);
        if path.is_primary() {
            return;
        }
        self.book.sources.remove(&path);
        for plan in self.halves.values_mut().flat_map(|half| half.plans.values_mut()) {
            plan.forget_path(path);
        }
        self.barred.retain(|_, paths| {
            paths.remove(&path);
            !paths.is_empty()
        });
    }

    /// Tells the RTT between client and primary, a term of every path's control loop.
    pub fn set_primary_rtt(&mut self, rtt: Duration) {
        self.primary_rtt = rtt;
        if let Some(primary) = self.book.sources.get_mut(&PathId::PRIMARY) {
            primary.set_rtt(rtt);
        }
    }

    /// Orders a range of a stream from `candidates`, and from the primary itself as `local` says.
    ///
    /// The range may reach beyond the window; it is handed out as the window moves. A stream whose window was never told
    /// ([`handle_window`](Self::handle_window)) has none.
    ///
    /// # Errors
    /// See [`DelegateError`]; then nothing was taken.
    pub fn delegate(
        &mut self,
        stream: StreamId,
        range: ByteRange,
        resource: Bytes,
        candidates: Candidates,
        local: Local,
        now: Instant,
    ) -> Result<PlanId, DelegateError> {
        self.check_delegate(range, &resource, &candidates, local)?;
        let id = PlanId(self.next_plan);
        let barred = self.barred.get(&resource).cloned().unwrap_or_default();
        let mut plan = Plan::new(id, range, resource, candidates, local);
        for (path, reason) in barred {
            plan.refuse(path, reason);
        }
        if !self.halves.entry(stream).or_default().add_plan(plan) {
            return Err(DelegateError::Overlap);
        }
        self.next_plan += 1;
        self.plans += 1;
        self.busy.insert(stream);
        self.touch(now);
        Ok(id)
    }

    /// Whether [`delegate`](Self::delegate) would take the range, unless it overlaps an earlier one.
    ///
    /// # Errors
    /// See [`DelegateError`].
    pub fn check_delegate(
        &self,
        range: ByteRange,
        resource: &Bytes,
        candidates: &Candidates,
        local: Local,
    ) -> Result<(), DelegateError> {
        if range.is_empty() {
            return Err(DelegateError::Empty);
        }
        if resource.len() > RESOURCE_LIMIT {
            return Err(DelegateError::ResourceTooLong);
        }
        let nobody = match candidates {
            Candidates::All => false,
            Candidates::List(paths) => paths.iter().all(|path| path.is_primary()),
        };
        if nobody && local == Local::None {
            return Err(DelegateError::NoCandidates);
        }
        if self.plans >= self.config.plans {
            return Err(DelegateError::Full);
        }
        Ok(())
    }

    /// Tells the last StreamWindow that the primary received; nothing is handed out at or beyond it. Never falls. Not to
    /// be called for a stream that was closed.
    pub fn handle_window(&mut self, stream: StreamId, max_offset: Offset, now: Instant) {
        self.touch(now);
        let half = self.halves.entry(stream).or_default();
        half.window = half.window.max(max_offset);
    }

    /// Takes what the client holds of a stream.
    pub fn handle_progress(&mut self, progress: &StreamProgress, now: Instant) {
        self.touch(now);
        let stream = progress.stream;
        let Some(half) = self.halves.get_mut(&stream) else { return };
        let news = half.handle_progress(progress);
        if half.truncated {
            self.truncated.insert(stream);
        } else {
            self.truncated.remove(&stream);
        }
        for (piece, path) in news {
            self.draw(stream, piece, path);
            self.arrived(stream, piece, path, now);
        }
        self.end_rulings(stream);
        self.finish_plans(stream);
    }

    /// Bytes that the client did not hold before: nobody needs to be asked for them, and who owed them owes less.
    fn arrived(&mut self, stream: StreamId, piece: ByteRange, from: Option<PathId>, now: Instant) {
        let Some(half) = self.halves.get_mut(&stream) else { return };
        let disputed = RangeSet::from_iter(half.dispute.open.iter_in(piece));
        for plan in half.plans_in(piece) {
            if let Some(part) = plan.range.intersection(piece) {
                plan.arrived(part);
                self.stats.delivered_bytes = self.stats.delivered_bytes.saturating_add(part.len());
            }
        }
        for id in self.book.ledger.overlapping(stream, piece) {
            let Some(entry) = self.book.ledger.entry(id) else { continue };
            let Some(part) = entry.range.intersection(piece) else { continue };
            // What only the primary may fill is not among what others owe.
            let len = match entry.path.is_primary() {
                true => part.len(),
                false => disputed.missing_in(part).map(ByteRange::len).sum(),
            };
            // Where the report names nobody and two owe the same bytes, nobody can say who sent them.
            let own = match from {
                Some(path) => path == entry.path,
                None => self.book.ledger.overlapping(stream, part).len() == 1,
            };
            let path = entry.path;
            if own && let Some(half) = self.halves.get_mut(&stream) {
                half.credit(path, len);
            }
            if self.book.deliver(id, len, own, now) == Some(Arrived::All) {
                self.settle(id, now);
            }
        }
        if let Some(half) = self.halves.get_mut(&stream) {
            half.dispute.open.remove(piece);
        }
    }

    /// The client holds all bytes of a delegation. Whoever still sends some of them is told to stop.
    fn settle(&mut self, id: DelegationId, now: Instant) {
        let Some(entry) = self.book.close(id, now) else { return };
        if entry.delivered < entry.range.len() {
            self.revoke(&entry);
            return;
        }
        if let Some(source) = self.book.sources.get_mut(&entry.path) {
            let turn = source.turn(self.primary_rtt, &self.config);
            source.range_done(turn, now);
        }
        let half = self.halves.get_mut(&entry.stream);
        if let Some(plan) = half.and_then(|half| half.plan_at(entry.range.start())) {
            plan.kept_word(entry.path);
        }
    }

    fn finish_plans(&mut self, stream: StreamId) {
        let Some(half) = self.halves.get_mut(&stream) else { return };
        let mut done = Vec::new();
        while let Some(plan) = half.take_done() {
            done.push(plan);
        }
        if half.plans.is_empty() {
            self.busy.remove(&stream);
        }
        for plan in done {
            self.plans -= 1;
            // What is left are answers of Pending for bytes that others delivered.
            for id in self.book.ledger.overlapping(stream, plan.range) {
                self.withdraw(id);
            }
            self.tell(Event::Done { stream, plan: plan.id });
        }
    }

    /// Bytes of a stream's delegated ranges that the client has, by who sent them, as far as its reports tell. Bytes that two were
    /// asked for, and whose sender no report names, are nobody's.
    pub fn stream_shares(&self, stream: StreamId) -> Vec<(PathId, u64)> {
        let half = self.halves.get(&stream);
        half.map_or_else(Vec::new, |half| {
            half.shares.iter().map(|(path, len)| (*path, *len)).collect()
        })
    }

    /// The client has all of a stream: what its last report did not name came from whoever alone owed it. To be called before
    /// [`handle_stream_closed`](Self::handle_stream_closed).
    pub fn handle_stream_complete(&mut self, stream: StreamId) {
        for id in self.book.ledger.of_stream(stream) {
            let Some(entry) = self.book.ledger.entry(id) else { continue };
            let (path, range, missing) = (entry.path, entry.range, entry.missing);
            let alone = self.book.ledger.overlapping(stream, range).len() == 1;
            if alone && let Some(half) = self.halves.get_mut(&stream) {
                half.credit(path, missing);
            }
        }
    }

    /// Forgets a stream that was completed, reset or stopped. The client tells the secondaries; what the local provider
    /// still sends is cancelled.
    pub fn handle_stream_closed(&mut self, stream: StreamId, now: Instant) {
        self.touch(now);
        for id in self.book.ledger.of_stream(stream) {
            let Some(entry) = self.book.close(id, self.now) else { continue };
            if entry.path.is_primary() {
                self.decisions.push_back(Decision::CancelLocal { id });
            }
        }
        self.busy.remove(&stream);
        self.starving.remove(&stream);
        self.truncated.remove(&stream);
        self.forget_rulings(stream);
        if let Some(half) = self.halves.remove(&stream) {
            self.plans -= half.plans.len();
        }
        if let Some(strips) = &mut self.strips {
            strips.remove(&stream);
        }
    }

    /// The next thing to do; `None`: nothing until the next input or [`poll_timeout`](Self::poll_timeout).
    pub fn poll(&mut self, now: Instant) -> Option<Decision> {
        // A clock that goes backwards stands still instead, for all timers alike.
        let now = self.now.max(now);
        if self.decisions.is_empty() && (self.dirty || self.timer_due(now)) {
            self.now = now;
            (self.dirty, self.roomier) = (false, false);
            self.take_from_silent(now);
            self.take_from_unreached(now);
            self.rule(now);
            self.retry_copies(now);
            let assumed = self.assumed_rate();
            self.book.sources.values_mut().for_each(|source| source.doubt_old_rate(assumed, now));
            self.assign(now);
            self.feed_starving(now);
            self.feed_unfed(now);
            self.open_windows(now);
            self.end_game(now);
            self.give_up();
        } else if self.decisions.is_empty() && std::mem::take(&mut self.roomier) {
            self.assign(self.now);
        }
        self.decisions.pop_front()
    }

    /// At the end of time all timers have come, and none may be due again and again.
    fn timer_due(&self, now: Instant) -> bool {
        let never = Instant::from_start(Duration::MAX);
        self.poll_timeout().is_some_and(|due| due <= now && due < never)
    }

    /// The next thing that the application may want to know. The 1,024 latest are kept.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`poll`](Self::poll) again without any input; `None`: no need.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.book
            .sources
            .values()
            .flat_map(|source| {
                let silence = source.silence_due(self.primary_rtt, &self.config);
                [source.pause_end(self.now), silence, source.dial_due(self.primary_rtt, self.now)]
            })
            .flatten()
            .chain(self.pace_due())
            .chain(self.unfed_due)
            .min()
    }

    /// Counters over all streams.
    pub fn stats(&self) -> SchedulerStats {
        SchedulerStats { redundancy_charged: self.bucket.spent(), ..self.stats }
    }

    /// Counters of one path; `None`: it was never added, or was removed.
    pub fn path_share(&self, path: PathId) -> Option<PathShare> {
        self.book.sources.get(&path).map(|source| source.share())
    }

    /// The last StreamWindow of a stream; zero if none was told.
    pub fn window(&self, stream: StreamId) -> Offset {
        self.halves.get(&stream).map_or(Offset::ZERO, |half| half.window)
    }

    /// The longest control loop of the paths that are up: what is decided now shows its effect that much later.
    pub fn control_loop(&self) -> Duration {
        self.book
            .sources
            .values()
            .filter(|source| source.state == PathState::Live)
            .map(|source| source.turn(self.primary_rtt, &self.config))
            .max()
            .unwrap_or(self.primary_rtt)
    }

    fn touch(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.dirty = true;
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}
