//! Anything in any order, from paths, clients and clocks that lie: the books stay right, nothing is lost, nothing runs away,
//! and one honest source that joins at the end completes everything.
//!
//! `KWIK_CASES` sets the number of cases (300 if it is not set).

use proptest::prelude::*;

use super::*;

/// The honest source of the end.
const HONEST: PathId = PathId::new(100);
/// More decisions than this from one input, a dozen for each delegation that is remembered, and it runs away.
const MOST_DECISIONS: usize = 200_000;

#[derive(Clone, Debug)]
enum Input {
    Path(u16, PathState),
    Status(u16, PathState, u64, u64),
    Remove(u16),
    Rtt(u64),
    /// Stream, bytes left out before it, length, who.
    Delegate(u64, u64, u64, Candidates, Local),
    Window(u64, u64),
    /// Stream, contiguous end, bytes read below it, held ranges as (distance, length, path).
    Progress(u64, u64, u64, Vec<(u64, u64, u16)>),
    /// Which of the last orders is honoured, and how much of it.
    Deliver(usize, u64),
    Answer(usize, DelegationState),
    Gap(usize, GapReason),
    /// A gap that no order explains.
    Claim(u64, u64, u64, Option<u16>, Option<u64>, GapReason),
    Wait(u64),
    Backwards(u64),
    Close(u64),
}

fn any_stream() -> impl Strategy<Value = u64> {
    (0u64..3).prop_map(|index| index * 4)
}

fn any_state() -> impl Strategy<Value = PathState> {
    prop::sample::select(vec![
        PathState::Dialing,
        PathState::Proving,
        PathState::Live,
        PathState::Live,
        PathState::Live,
        PathState::Suspect,
        PathState::Draining,
        PathState::Gone,
    ])
}

fn any_reason() -> impl Strategy<Value = GapReason> {
    prop::sample::select(vec![
        GapReason::Late,
        GapReason::Late,
        GapReason::Refused,
        GapReason::Stale,
        GapReason::Busy,
        GapReason::Reset,
        GapReason::Corrupt,
        GapReason::Conflict,
        GapReason::PathGone,
        GapReason::PathSuspect,
        GapReason::SourceFailed,
        GapReason::Unassigned,
    ])
}

fn any_answer() -> impl Strategy<Value = DelegationState> {
    prop_oneof![
        2 => Just(DelegationState::Accepted),
        2 => Just(DelegationState::Pending),
        1 => Just(DelegationState::Sent),
        1 => any_reason().prop_map(DelegationState::Refused),
        1 => any_reason().prop_map(DelegationState::Failed),
    ]
}

fn any_candidates() -> impl Strategy<Value = Candidates> {
    prop_oneof![
        3 => Just(Candidates::All),
        1 => prop::collection::vec((0u16..18).prop_map(PathId::new), 0..3)
            .prop_map(Candidates::List),
    ]
}

fn any_length() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(1),
        1u64..200,
        Just(64 * KIB),
        1..4 * MIB,
        Just(64 * MIB),
        Just(1 << 61),
        Just((1 << 62) - 1)
    ]
}

fn any_position() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..4 * MIB, 1 => (0u64..64).prop_map(|n| n * 64 * KIB), 1 => 0u64..1 << 62]
}

fn any_input() -> impl Strategy<Value = Input> {
    let locals = || prop::sample::select(vec![Local::None, Local::Fallback, Local::Share]);
    let held = prop::collection::vec((0..MIB, 1..200 * KIB, 0u16..18), 0..33);
    prop_oneof![
        4 => (0u16..17, any_state()).prop_map(|(path, state)| Input::Path(path, state)),
        6 => (0u16..17, any_state(), any_position(), any_position())
            .prop_map(|(path, state, bytes, busy)| Input::Status(path, state, bytes, busy)),
        1 => (0u16..17).prop_map(Input::Remove),
        1 => prop_oneof![Just(0), 1u64..300, Just(u64::MAX >> 20)].prop_map(Input::Rtt),
        3 => (any_stream(), 0..100 * KIB, any_length(), any_candidates(), locals()).prop_map(
            |(stream, gap, len, who, local)| Input::Delegate(stream, gap, len, who, local)
        ),
        3 => (any_stream(), any_position()).prop_map(|(stream, to)| Input::Window(stream, to)),
        4 => (any_stream(), any_position(), 0..MIB, held)
            .prop_map(|(stream, end, behind, held)| Input::Progress(stream, end, behind, held)),
        12 => (0usize..32, 1..MIB).prop_map(|(order, len)| Input::Deliver(order, len)),
        4 => (0usize..32, any_answer()).prop_map(|(order, answer)| Input::Answer(order, answer)),
        6 => (0usize..32, any_reason()).prop_map(|(order, reason)| Input::Gap(order, reason)),
        2 => (
            any_stream(),
            any_position(),
            any_length(),
            prop::option::of(0u16..18),
            prop::option::of(0u64..50),
            any_reason(),
        )
            .prop_map(|(stream, at, len, path, id, reason)| Input::Claim(
                stream, at, len, path, id, reason
            )),
        6 => prop_oneof![0u64..300, 1000u64..60_000, Just(u64::MAX >> 10)].prop_map(Input::Wait),
        1 => (0u64..10_000).prop_map(Input::Backwards),
        1 => any_stream().prop_map(Input::Close),
    ]
}

#[derive(Clone, Debug)]
struct Issued {
    path: PathId,
    id: DelegationId,
    stream: StreamId,
    range: ByteRange,
}

struct World {
    scheduler: Scheduler,
    now: Duration,
    issued: Vec<Issued>,
    /// Where the next plan of a stream may begin.
    cursors: BTreeMap<StreamId, u64>,
    delivered: u64,
}

fn end_of(range: ByteRange) -> u64 {
    range.end().value()
}

impl World {
    fn new() -> Self {
        Self {
            scheduler: Scheduler::new(DelegationConfig::default(), 7),
            now: Duration::ZERO,
            issued: Vec::new(),
            cursors: BTreeMap::new(),
            delivered: 0,
        }
    }

    fn now(&self) -> Instant {
        Instant::from_start(self.now)
    }

    fn order(&self, index: usize) -> Option<Issued> {
        let back = index.min(self.issued.len().checked_sub(1)?);
        self.issued.get(self.issued.len() - 1 - back).cloned()
    }

    fn apply(&mut self, input: Input) {
        let now = self.now();
        let id = |stream| StreamId::from_wire(stream).unwrap();
        match input {
            Input::Path(path, state) => {
                let view = PathView { state, srtt: Some(ms(20)), rttvar: Duration::ZERO };
                self.scheduler.set_path(PathId::new(path), view, now);
            }
            Input::Status(path, state, received_bytes, busy_us) => {
                let path = PathId::new(path);
                let (epoch, reason, rtt_variation_us) = (Epoch::FIRST, None, 0);
                let smoothed_rtt_us = received_bytes ^ busy_us;
                let status = PathStatus {
                    path,
                    epoch,
                    state,
                    reason,
                    smoothed_rtt_us,
                    rtt_variation_us,
                    received_bytes,
                    busy_us,
                };
                self.scheduler.handle_path_status(&status, now);
            }
            Input::Remove(path) => self.scheduler.remove_path(PathId::new(path), now),
            Input::Rtt(millis) => self.scheduler.set_primary_rtt(ms(millis)),
            Input::Delegate(stream, gap, len, who, local) => {
                let cursor = self.cursors.entry(id(stream)).or_default();
                let start = cursor.saturating_add(gap).min((1 << 62) - 1);
                let end = start.saturating_add(len).min((1 << 62) - 1);
                let resource = Bytes::from(vec![(len % 5) as u8]);
                let whole = range(start, end);
                if self.scheduler.delegate(id(stream), whole, resource, who, local, now).is_ok() {
                    *cursor = end;
                }
            }
            Input::Window(stream, to) => {
                let to = to.min((1 << 62) - 1);
                self.scheduler.handle_window(id(stream), Offset::new(to).unwrap(), now);
            }
            Input::Progress(stream, end, behind, held) => {
                let end = end.min((1 << 62) - 1);
                let mut at = end;
                let held = held.into_iter().filter_map(|(distance, len, path)| {
                    let start = Offset::new(at.checked_add(distance)?)?;
                    let range = ByteRange::with_length(start, len)?;
                    at = end_of(range);
                    Some(HeldRange { range, path: PathId::new(path) })
                });
                let progress = StreamProgress {
                    stream: id(stream),
                    held: held.collect(),
                    read_offset: Offset::new(end.saturating_sub(behind)).unwrap(),
                    contiguous_end: Offset::new(end).unwrap(),
                    reader_waiting: true,
                };
                self.scheduler.handle_progress(&progress, now);
            }
            Input::Deliver(index, len) => {
                let Some(order) = self.order(index) else { return };
                self.deliver(&order, len);
            }
            Input::Answer(index, state) => {
                let Some(order) = self.order(index) else { return };
                let status = DelegationStatus { path: order.path, delegation: order.id, state };
                self.scheduler.handle_status(&status, now);
            }
            Input::Gap(index, reason) => {
                let Some(order) = self.order(index) else { return };
                let (path, delegation) = (Some(order.path), Some(order.id));
                let (stream, range) = (order.stream, order.range);
                let gap = Gap { stream, range, reason, path, delegation };
                self.scheduler.handle_gap(&gap, now);
            }
            Input::Claim(stream, at, len, path, delegation, reason) => {
                let start = Offset::new(at.min((1 << 62) - 1)).unwrap();
                let range = ByteRange::new(start, start.saturating_add(len)).unwrap();
                let (path, delegation) = (path.map(PathId::new), delegation.map(DelegationId));
                let gap = Gap { stream: id(stream), range, reason, path, delegation };
                self.scheduler.handle_gap(&gap, now);
            }
            Input::Wait(millis) => self.now = self.now.saturating_add(ms(millis)),
            Input::Backwards(millis) => self.now = self.now.saturating_sub(ms(millis)),
            Input::Close(stream) => {
                self.scheduler.handle_stream_closed(id(stream), now);
                self.cursors.remove(&id(stream));
            }
        }
    }

    /// The client got the first `len` missing bytes of an order.
    fn deliver(&mut self, order: &Issued, len: u64) {
        let now = self.now();
        let Some(half) = self.scheduler.halves.get(&order.stream) else { return };
        let Some(missing) = half.held.missing_in(order.range).next() else { return };
        let got = range(missing.start().value(), missing.start().value() + missing.len().min(len));
        let (read, end) = (half.read, half.contiguous);
        let mut held = half.held.clone();
        held.insert(got);
        let first = held.first().filter(|first| first.start() == Offset::ZERO);
        let end = first.map_or(end, |first| first.end().max(end));
        let progress = StreamProgress {
            stream: order.stream,
            read_offset: read,
            contiguous_end: end,
            held: vec![HeldRange { range: got, path: order.path }],
            reader_waiting: true,
        };
        self.scheduler.handle_progress(&progress, now);
    }

    fn drain(&mut self) {
        let now = self.now();
        for count in 0.. {
            assert!(count < MOST_DECISIONS, "decisions without end");
            let Some(decision) = self.scheduler.poll(now) else { break };
            let (path, id, stream, range) = match decision {
                Decision::Delegate { path, delegation } => {
                    (path, delegation.id, delegation.stream, delegation.range)
                }
                Decision::SupplyLocally { stream, range, id } => {
                    (PathId::PRIMARY, id, stream, range)
                }
                _ => continue,
            };
            assert!(!range.is_empty(), "an order for nothing");
            assert!(range.end() <= self.scheduler.window(stream), "{range} beyond the window");
            self.issued.push(Issued { path, id, stream, range });
        }
        let due = self.scheduler.poll_timeout();
        let latest = self.scheduler.now;
        assert!(due.is_none_or(|due| due > latest || due == Instant::from_start(Duration::MAX)));
        self.delivered = self.delivered.max(self.scheduler.stats.delivered_bytes);
        self.check();
    }

    fn check(&self) {
        let scheduler = &self.scheduler;
        let plans: usize = scheduler.halves.values().map(|half| half.plans.len()).sum();
        assert_eq!(plans, scheduler.plans);
        let busy = scheduler.halves.iter().filter(|(_, half)| !half.plans.is_empty());
        assert!(busy.map(|(stream, _)| stream).eq(&scheduler.busy));
        let config = &scheduler.config;
        let earned = (self.delivered as f64 * config.redundancy_share) as u64;
        assert!(scheduler.bucket.copied() <= config.redundancy_opening + earned, "overdrawn");
        assert!(scheduler.book.ledger.len() <= config.delegations);
        for (&path, source) in &scheduler.book.sources {
            let owed: u64 = scheduler
                .book
                .ledger
                .of_path(path)
                .into_iter()
                .filter_map(|id| scheduler.book.ledger.entry(id))
                .filter(|entry| entry.standing == book::Standing::Owed)
                .map(|entry| entry.missing)
                .sum();
            assert_eq!(owed, source.outstanding, "path {path}");
        }
        for (&stream, half) in &scheduler.halves {
            for id in scheduler.book.ledger.of_stream(stream) {
                let entry = scheduler.book.ledger.entry(id).unwrap();
                assert_eq!(entry.missing, half.missing_from(entry.path, entry.range), "{entry:?}");
            }
            assert!(half.dispute.pieces() <= 3 * 1024 + 64);
            half.plans.values().for_each(|plan| self.check_plan(stream, half, plan));
        }
    }

    /// Every byte is held, owed, in the pool or in dispute, and none of the pool is held.
    fn check_plan(&self, stream: StreamId, half: &Half, plan: &Plan) {
        let mut known = self.scheduler.book.ledger.owed_in(stream, plan.range);
        for range in plan.pool.iter() {
            assert!(plan.range.covers(range), "{range} of another plan");
            assert_eq!(half.held.iter_in(range).count(), 0, "{range} is held");
            known.insert(range);
        }
        assert!(plan.lost.iter().all(|range| plan.pool.covers(range)));
        for range in half.held.iter_in(plan.range).chain(half.dispute.open.iter_in(plan.range)) {
            known.insert(range);
        }
        assert!(known.covers(plan.range), "bytes of {} are lost: {known:?}", plan.range);
    }

    /// All leave, and one that is honest joins: it has to get every byte below the window that is not in dispute.
    fn end_well(&mut self) {
        self.now = self.now.saturating_add(ms(10_000)).min(Duration::from_secs(1 << 40));
        for path in (0..17).map(PathId::new) {
            self.scheduler.remove_path(path, self.now());
        }
        self.issued.clear();
        let view = PathView { state: PathState::Live, srtt: Some(ms(20)), rttvar: Duration::ZERO };
        self.scheduler.set_primary_rtt(ms(20));
        self.scheduler.set_path(HONEST, view, self.now());
        for _ in 0..4000 {
            self.drain();
            let orders = std::mem::take(&mut self.issued);
            if orders.is_empty() || self.left_for_the_honest().is_none() {
                break;
            }
            for order in orders.iter().filter(|order| order.path == HONEST || order.id.0 % 2 == 0) {
                self.deliver(order, u64::MAX);
            }
            self.now += ms(40);
        }
        assert_eq!(self.left_for_the_honest(), None, "nobody was asked for that");
    }

    /// Something that it could be asked for, and nobody was.
    fn left_for_the_honest(&self) -> Option<ByteRange> {
        let far = Offset::new(64 * MIB).unwrap();
        self.scheduler.halves.values().find_map(|half| {
            let mut plans = half.plans.values().filter(|plan| plan.may_ask(HONEST));
            plans.find_map(|plan| plan.pool.iter_in(plan.ready(half.window.min(far))?).next())
        })
    }
}

fn cases() -> u32 {
    std::env::var("KWIK_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn the_books_stay_right_whatever_happens(inputs in prop::collection::vec(any_input(), 1..120)) {
        let mut world = World::new();
        for input in inputs {
            world.apply(input);
            world.drain();
        }
        world.end_well();
    }
}
