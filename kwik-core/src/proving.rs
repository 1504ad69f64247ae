//! Orders that name the hash of their range: given when the primary has read it off its own copy.
//!
//! A copy that answers slowly, or not at all, holds back the orders that need it and no others: each delegated range has
//! a prover of its own, orders get their numbers when they are given, and who can't be proven is not asked. It is the
//! copy that is to blame then, never the secondary.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use kwik_proto::frame::Delegation;
use kwik_proto::{ByteRange, DelegationId, Offset, PathId, StreamId};

use crate::time::Instant;

/// Ranges that are read of one copy at a time: one is read while the other is hashed.
const READS: usize = 2;

/// Ranges that are read at a time and that an order waits for, over all copies. Each takes a thread of the primary.
const AWAITED: usize = 16;

/// Ranges that are read at a time, such as nobody waits for any more included: a disk that hangs keeps its threads.
const ALL_READS: usize = 64;

/// How long a copy that is asked may stay silent. Shorter: a disk that spins up counts as hung; longer: a reader waits
/// that much longer for what the primary could have asked of nobody.
const SILENCE: Duration = Duration::from_secs(1);

/// How long an order may wait for its hash while others of its copy get theirs. Well below a client's `gap_timeout`,
/// during which nobody has promised the bytes.
const LONGEST: Duration = Duration::from_secs(3);

/// How often all of a range may be read and hashed, in its lengths. What was hashed once is remembered; this is for ranges
/// that are cut anew each time they come back. Beyond it the primary sends its own copy, and who refuses what it is asked for
/// makes it read no more. Lower: a range that many secondaries fail falls to the primary; higher: a client that refuses
/// everything has more read.
const MOST_READ: u64 = 4;

/// Bytes that may be read and hashed beyond [`MOST_READ`] times what has arrived at the client, over all ranges of a
/// session. Three times what a client's windows let be under way by default. Lower: long fast ways are not filled; higher: a
/// client that takes nothing has that much read.
const AHEAD: u64 = 256 << 20;

/// Hashes that are remembered of each range, the last ones in the stream: 1,024 of 64 bytes.
const REMEMBERED: usize = 1024;

/// First pause of a copy that failed; doubles up to [`LONGEST_PAUSE`] until it proves something.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// A delegated range, by stream and first byte.
type Key = (StreamId, Offset);

/// What the scheduler has to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The order was not given.
    Ungiven(DelegationId),
    /// Nothing of the range can be proven for a while.
    Hold(StreamId, ByteRange),
    /// It can again.
    Release(StreamId, ByteRange),
}

/// A range that is to be read and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) delegation: DelegationId,
    pub(crate) stream: StreamId,
    pub(crate) range: ByteRange,
}

/// The orders of a session that wait for a hash.
///
/// As many provers as there are ranges with proof whose copy may still be asked for, as many orders as the
/// scheduler has live delegations. Drain [`poll`](Self::poll), [`poll_ready`](Self::poll_ready) and
/// [`poll_read`](Self::poll_read) after any other call.
#[derive(Debug, Default)]
pub(crate) struct Provers {
    provers: BTreeMap<Key, Prover>,
    /// Those with orders, or a pause.
    busy: BTreeSet<Key>,
    flights: BTreeMap<DelegationId, Flight>,
    /// Whose order was read last: the next one comes first now.
    served: Option<Key>,
    ready: VecDeque<(PathId, Delegation)>,
    news: VecDeque<News>,
    /// Bytes that were read, or will be for the orders that wait.
    read: u64,
    /// How far each stream with such a range has arrived without a gap, as its client says; and all of that.
    arrived: BTreeMap<StreamId, Offset>,
    arrived_bytes: u64,
    /// Orders came or went since the last [`Provers::poll_debts`].
    changed: bool,
}

/// The copy of one delegated range.
#[derive(Debug)]
struct Prover {
    range: ByteRange,
    /// Not begun yet; the lowest bytes come first.
    waiting: BTreeMap<(Offset, DelegationId), Order>,
    /// Reads that were begun and did not end, awaited or not.
    flights: usize,
    /// When it was first asked, or said something last.
    heard: Instant,
    /// Set while secondaries are not asked: the end of the pause.
    held: Option<Instant>,
    pause: Duration,
    /// Hashes of what was ordered, by first byte and end.
    known: BTreeMap<(Offset, Offset), [u8; 32]>,
    /// Bytes that were read, or will be for the orders that wait.
    read: u64,
}

#[derive(Debug)]
struct Order {
    path: PathId,
    delegation: Delegation,
    since: Instant,
}

/// A read that was begun.
#[derive(Debug)]
struct Flight {
    prover: Key,
    range: ByteRange,
    /// `None`: nobody waits for it any more.
    order: Option<Order>,
}

impl Provers {
    /// Orders for parts of the range name their hash from now on.
    pub(crate) fn add(&mut self, stream: StreamId, range: ByteRange) {
        let prover = Prover {
            range,
            waiting: BTreeMap::new(),
            flights: 0,
            heard: Instant::ZERO,
            held: None,
            pause: Duration::ZERO,
            known: BTreeMap::new(),
            read: 0,
        };
        self.arrived.entry(stream).or_insert(range.start());
        self.provers.insert((stream, range.start()), prover);
    }

    /// The client has every byte of the stream up to there, as it says.
    pub(crate) fn handle_progress(&mut self, stream: StreamId, contiguous_end: Offset) {
        if let Some(arrived) = self.arrived.get_mut(&stream)
            && contiguous_end > *arrived
        {
            self.arrived_bytes = self.arrived_bytes.saturating_add(contiguous_end.since(*arrived));
            *arrived = contiguous_end;
        }
    }

    /// The stream is over. What is being read of its copies is not waited for.
    pub(crate) fn forget(&mut self, stream: StreamId) {
        self.arrived.remove(&stream);
        self.provers.retain(|(of, _), _| *of != stream);
        self.busy.retain(|(of, _)| *of != stream);
        for flight in self.flights.values_mut().filter(|flight| flight.prover.0 == stream) {
            flight.order = None;
        }
        self.changed = true;
    }

    /// Forgets the ranges of a stream that are not wanted any more, as [`forget`](Self::forget) does.
    pub(crate) fn keep(&mut self, stream: StreamId, wanted: impl Fn(ByteRange) -> bool) {
        let mine = self.provers.range((stream, Offset::ZERO)..=(stream, Offset::MAX));
        let over: Vec<Key> =
            mine.filter(|(_, prover)| !wanted(prover.range)).map(|(key, _)| *key).collect();
        for key in over {
            self.provers.remove(&key);
            self.changed |= self.busy.remove(&key);
            for flight in self.flights.values_mut().filter(|flight| flight.prover == key) {
                flight.order = None;
            }
        }
    }

    /// Ranges that orders are proven of.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.provers.len()
    }

    /// Takes an order that needs a hash; gives it back if it needs none, or has it: what was hashed is remembered.
    pub(crate) fn want(
        &mut self,
        path: PathId,
        mut delegation: Delegation,
        now: Instant,
    ) -> Option<Delegation> {
        let Some(key) = self.key_of(delegation.stream, delegation.range) else {
            return Some(delegation);
        };
        let awaited = self.is_awaited(key);
        let is_spent = self.is_spent(delegation.range);
        let prover = self.provers.get_mut(&key)?;
        if let Some(hash) = prover.known(delegation.range) {
            delegation.blake3 = Some(hash);
            return Some(delegation);
        }
        if prover.held.is_some() {
            self.news.push_back(News::Ungiven(delegation.id));
            return None;
        }
        if is_spent || prover.is_spent(delegation.range) {
            self.news.push_back(News::Ungiven(delegation.id));
            self.hold(key, now);
            return None;
        }
        if !awaited {
            prover.heard = now;
        }
        prover.read = prover.read.saturating_add(delegation.range.len());
        self.read = self.read.saturating_add(delegation.range.len());
        let at = (delegation.range.start(), delegation.id);
        prover.waiting.insert(at, Order { path, delegation, since: now });
        self.busy.insert(key);
        self.changed = true;
        None
    }

    /// An order is not wanted any more; `false`: it does not wait here.
    pub(crate) fn withdraw(&mut self, stream: StreamId, id: DelegationId) -> bool {
        if let Some(flight) = self.flights.get_mut(&id) {
            self.changed = true;
            let key = flight.prover;
            let awaited = flight.order.take().is_some();
            self.rest(key);
            return awaited;
        }
        let mine = self.busy.iter().copied().filter(|(of, _)| *of == stream);
        for key in mine.collect::<Vec<_>>() {
            let Some(prover) = self.provers.get_mut(&key) else { continue };
            let waits = prover.waiting.keys().copied().find(|(_, waits)| *waits == id);
            if let Some(order) = waits.and_then(|at| prover.waiting.remove(&at)) {
                prover.spare(&mut self.read, &order);
                self.changed = true;
                self.rest(key);
                return true;
            }
        }
        false
    }

    /// The next range to read; `is_live`: whether the scheduler still counts on that delegation. Copies take turns.
    pub(crate) fn poll_read(&mut self, is_live: impl Fn(DelegationId) -> bool) -> Option<Wanted> {
        let awaited = self.flights.values().filter(|flight| flight.order.is_some()).count();
        if awaited >= AWAITED || self.flights.len() >= ALL_READS {
            return None;
        }
        let after = self.busy.iter().filter(|key| self.served.is_none_or(|last| **key > last));
        let before = self.busy.iter().filter(|key| self.served.is_some_and(|last| **key <= last));
        let keys: Vec<Key> = after.chain(before).copied().collect();
        keys.into_iter().find_map(|key| self.read_of(key, &is_live))
    }

    fn read_of(&mut self, key: Key, is_live: &impl Fn(DelegationId) -> bool) -> Option<Wanted> {
        let prover = self.provers.get_mut(&key)?;
        while prover.held.is_none() && prover.flights < READS {
            let Some(((_, delegation), order)) = prover.waiting.pop_first() else { break };
            self.changed = true;
            if !is_live(delegation) {
                prover.spare(&mut self.read, &order);
                continue;
            }
            let (stream, range) = (order.delegation.stream, order.delegation.range);
            prover.flights += 1;
            self.flights.insert(delegation, Flight { prover: key, range, order: Some(order) });
            self.served = Some(key);
            return Some(Wanted { delegation, stream, range });
        }
        self.rest(key);
        None
    }

    /// A piece of a range was read; `false`: nobody waits for the rest, and the read is over.
    pub(crate) fn handle_read(&mut self, id: DelegationId, now: Instant) -> bool {
        let Some(flight) = self.flights.get(&id) else { return false };
        let key = flight.prover;
        if flight.order.is_none() {
            self.land(id);
            self.release(key, now);
            return false;
        }
        if let Some(prover) = self.provers.get_mut(&key) {
            prover.heard = now;
        }
        true
    }

    /// A read is over; `None`: the copy could not be read.
    pub(crate) fn handle_proof(&mut self, id: DelegationId, hash: Option<[u8; 32]>, now: Instant) {
        let Some(Flight { prover: key, range, order }) = self.land(id) else { return };
        let Some(prover) = self.provers.get_mut(&key) else { return };
        if let Some(hash) = hash {
            prover.remember(range, hash);
        }
        match (order, hash) {
            (Some(Order { path, mut delegation, .. }), Some(hash)) => {
                prover.heard = now;
                prover.pause = Duration::ZERO;
                delegation.blake3 = Some(hash);
                self.ready.push_back((path, delegation));
                self.rest(key);
            }
            (Some(_), None) => {
                self.news.push_back(News::Ungiven(id));
                self.hold(key, now);
            }
            // It answers again.
            (None, Some(_)) => self.release(key, now),
            (None, None) => {
                if prover.held.is_some_and(|until| until <= now) {
                    self.release(key, now);
                }
            }
        }
    }

    fn land(&mut self, id: DelegationId) -> Option<Flight> {
        let flight = self.flights.remove(&id)?;
        self.changed = true;
        if let Some(prover) = self.provers.get_mut(&flight.prover) {
            prover.flights -= 1;
        }
        Some(flight)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.busy.iter().filter_map(|key| self.due(*key)).min()
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let due = |key: &Key| self.due(*key).is_some_and(|due| due <= now);
        for key in self.busy.iter().copied().filter(due).collect::<Vec<_>>() {
            let held = self.provers.get(&key).is_some_and(|prover| prover.held.is_some());
            if held { self.release(key, now) } else { self.give_up(key, now) }
        }
    }

    /// What the scheduler has to hear.
    pub(crate) fn poll(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Bytes that each path was chosen for and not yet asked for, if orders came or went since the last call. They are no
    /// work of the path: it has room for what needs no hash.
    pub(crate) fn poll_debts(&mut self) -> Option<BTreeMap<PathId, u64>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut debts = BTreeMap::new();
        let busy = self.busy.iter().filter_map(|key| self.provers.get(key));
        let waiting = busy.flat_map(|prover| prover.waiting.values());
        let read = self.flights.values().filter_map(|flight| flight.order.as_ref());
        for order in waiting.chain(read) {
            *debts.entry(order.path).or_default() += order.delegation.range.len();
        }
        Some(debts)
    }

    /// An order with its hash, to be given now.
    pub(crate) fn poll_ready(&mut self) -> Option<(PathId, Delegation)> {
        self.ready.pop_front()
    }

    /// Whether so much was read for so little that arrived that nothing more is.
    fn is_spent(&self, range: ByteRange) -> bool {
        let most = self.arrived_bytes.saturating_mul(MOST_READ).saturating_add(AHEAD);
        self.read.saturating_add(range.len()) > most
    }

    fn key_of(&self, stream: StreamId, range: ByteRange) -> Option<Key> {
        let (&key, prover) =
            self.provers.range((stream, Offset::ZERO)..=(stream, range.start())).next_back()?;
        prover.range.covers(range).then_some(key)
    }

    fn flights_of(&self, key: Key) -> impl Iterator<Item = &Order> {
        let mine = self.flights.values().filter(move |flight| flight.prover == key);
        mine.filter_map(|flight| flight.order.as_ref())
    }

    /// Whether an order waits for the copy to say something.
    fn is_awaited(&self, key: Key) -> bool {
        self.provers.get(&key).is_some_and(|prover| !prover.waiting.is_empty())
            || self.flights_of(key).next().is_some()
    }

    /// When something is to be done about a copy.
    fn due(&self, key: Key) -> Option<Instant> {
        let prover = self.provers.get(&key)?;
        if let Some(until) = prover.held {
            // With all its reads hanging it waits for one of them.
            return (prover.flights < READS).then_some(until);
        }
        let oldest = prover.waiting.values().chain(self.flights_of(key)).map(|order| order.since);
        Some((oldest.min()? + LONGEST).min(prover.heard + SILENCE))
    }

    /// Nothing was heard of the copy for too long.
    fn give_up(&mut self, key: Key, now: Instant) {
        for (id, flight) in &mut self.flights {
            if flight.prover == key && flight.order.take().is_some() {
                self.news.push_back(News::Ungiven(*id));
            }
        }
        self.hold(key, now);
    }

    /// Nothing more is read of the copy for a while, and no order waits for it.
    fn hold(&mut self, key: Key, now: Instant) {
        let Some(prover) = self.provers.get_mut(&key) else { return };
        let waiting = std::mem::take(&mut prover.waiting);
        waiting.values().for_each(|order| prover.spare(&mut self.read, order));
        self.news.extend(waiting.into_keys().map(|(_, id)| News::Ungiven(id)));
        self.changed = true;
        if prover.held.is_none() {
            prover.pause = (prover.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            prover.held = Some(now + prover.pause);
            self.news.push_back(News::Hold(key.0, prover.range));
        }
        self.busy.insert(key);
    }

    fn release(&mut self, key: Key, now: Instant) {
        let Some(prover) = self.provers.get_mut(&key) else { return };
        if prover.held.take().is_some() {
            prover.heard = now;
            self.news.push_back(News::Release(key.0, prover.range));
        }
        self.rest(key);
    }

    /// A copy that nobody waits for, and that is not paused, needs no look.
    fn rest(&mut self, key: Key) {
        let held = self.provers.get(&key).is_some_and(|prover| prover.held.is_some());
        if !held && !self.is_awaited(key) {
            self.busy.remove(&key);
        }
    }
}

impl Prover {
    fn known(&self, range: ByteRange) -> Option<[u8; 32]> {
        self.known.get(&(range.start(), range.end())).copied()
    }

    /// What the reader has passed goes first: it is not ordered again.
    fn remember(&mut self, range: ByteRange, hash: [u8; 32]) {
        self.known.insert((range.start(), range.end()), hash);
        if self.known.len() > REMEMBERED {
            self.known.pop_first();
        }
    }

    /// The order is not read for.
    fn spare(&mut self, read: &mut u64, order: &Order) {
        let length = order.delegation.range.len();
        self.read = self.read.saturating_sub(length);
        *read = read.saturating_sub(length);
    }

    /// Whether the copy was read too often to be read for this range too.
    fn is_spent(&self, range: ByteRange) -> bool {
        self.read.saturating_add(range.len()) > self.range.len().saturating_mul(MOST_READ)
    }
}

#[cfg(test)]
mod tests;
