//! Each rule against a table, and each input against a small scheduler.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use kwik_proto::frame::{
    DelegationState, DelegationStatus, Gap, GapReason, HeldRange, PathState, PathStatus,
    StreamProgress,
};
use kwik_proto::{ByteRange, DelegationId, Epoch, Offset, PathId, StreamId};

use super::pick::{self, Room, Standing};
use super::rate::{Allowance, PathRate};
use super::*;
use crate::time::Instant;

mod alone;
mod arbitrary;
mod dial;
mod dispute;
mod draining;
mod hangs;
mod heads;
mod limits;
mod trial;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Instant {
    Instant::from_start(ms(millis))
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap()
}

fn source(path: u16, rate: f64, free_in: f64, size: u64) -> Standing {
    Standing {
        path: PathId::new(path),
        rate,
        free_in,
        size,
        has_room: true,
        on_trial: false,
        dialing: false,
    }
}

mod lengths {
    use super::*;

    #[test]
    fn the_smallest_limit_wins_and_the_floor_beats_it() {
        let config = DelegationConfig::default();
        let two = [source(1, 1e6, 0.0, MIB), source(2, 1e6, 0.0, MIB)];
        let table = [
            // (window, remaining, length)
            (64 * MIB, 64 * MIB, MIB),
            (4 * MIB, 64 * MIB, 512 * KIB),
            (64 * MIB, 2 * MIB, 512 * KIB),
            (64 * MIB, 100 * KIB, 64 * KIB),
            (64 * KIB, 64 * MIB, 64 * KIB),
        ];
        for (window, remaining, expected) in table {
            let room = Room { window, remaining };
            assert_eq!(pick::length(&two[0], &two, room, &config), expected, "{room:?}");
        }
    }

    #[test]
    fn what_is_left_is_shared_by_rate() {
        let config = DelegationConfig::default();
        let both = [source(1, 3e6, 0.0, 4 * MIB), source(2, 1e6, 0.0, 4 * MIB)];
        let room = Room { window: 64 * MIB, remaining: 4 * MIB };
        assert_eq!(pick::length(&both[0], &both, room, &config), 3 * MIB / 2);
        assert_eq!(pick::length(&both[1], &both, room, &config), MIB / 2);
    }
}

mod places {
    use super::*;

    #[test]
    fn equals_leave_nothing_to_each_other() {
        let all: Vec<_> = (1..=8).map(|path| source(path, 1e7, 0.05, MIB)).collect();
        let config = DelegationConfig::default();
        assert_eq!(pick::leave_to_others(&all[0], MIB, &all, &config), 0);
    }

    #[test]
    fn a_slow_source_leaves_what_others_do_meanwhile() {
        let config = DelegationConfig::default();
        let all = [source(1, 1e7, 0.0, MIB), source(2, 1e5, 0.0, 64 * KIB)];
        // 64 KiB take it 0.655 s, the other 0.00655 s.
        let left = pick::leave_to_others(&all[1], 64 * KIB, &all, &config);
        assert!((6_400_000..6_500_000).contains(&left), "{left}");
        let mut off = config;
        off.switches.admission = false;
        assert_eq!(pick::leave_to_others(&all[1], 64 * KIB, &all, &off), 0);
    }

    #[test]
    fn a_range_lies_behind_what_is_left_to_others() {
        let pool = [range(0, 100), range(200, 1000)];
        let table = [
            // (skip, len, floor, place)
            (0, 50, 1, Some(range(0, 50))),
            (0, 100, 1, Some(range(0, 100))),
            (100, 50, 1, Some(range(200, 250))),
            (150, 50, 100, Some(range(300, 350))),
            (0, 80, 64, Some(range(0, 100))),
            (900, 50, 1, None),
            (850, 200, 1, Some(range(950, 1000))),
        ];
        for (skip, len, floor, expected) in table {
            let placed = pick::place(pool.into_iter(), skip, len, floor);
            assert_eq!(placed, expected, "skip {skip} len {len} floor {floor}");
        }
        assert_eq!(pick::place([].into_iter(), 0, 1, 1), None);
    }

    #[test]
    fn a_copy_at_the_end_makes_both_end_together() {
        let (me, slow) = (source(1, 1e7, 0.01, MIB), source(2, 1e6, 0.0, MIB));
        let share = pick::end_game_share(&me, &slow, 1_000_000, 0.01).unwrap();
        let slow_ends = (1_000_000 - share) as f64 / slow.rate;
        let copy_ends = me.free_in + share as f64 / me.rate;
        assert!((slow_ends - copy_ends).abs() < 1e-3, "{slow_ends} {copy_ends}");
        assert_eq!(pick::end_game_share(&me, &slow, 15_000, 0.01), None, "not worth it");
    }
}

mod rates {
    use super::*;

    #[test]
    fn idle_time_does_not_count() {
        let mut rate = PathRate::new();
        assert_eq!(rate.estimate(), None);
        rate.update(100_000, ms(100), ms(60));
        // Minutes later by the clock, but only 100 ms of work.
        rate.update(200_000, ms(200), ms(60));
        assert_eq!(rate.estimate(), Some(1_000_000));
    }

    #[test]
    fn a_rate_that_cannot_be_is_not_believed() {
        let mut rate = PathRate::new();
        rate.update(0, Duration::from_micros(1), ms(60));
        rate.update(u64::MAX, Duration::from_micros(2), ms(60));
        assert_eq!(rate.estimate(), Some(1_000_000_000_000));
    }

    #[test]
    fn an_old_rate_is_forgotten_after_the_horizon() {
        let mut rate = PathRate::new();
        (1..=20).for_each(|step| rate.update(step * 10_000, ms(step * 10), ms(60)));
        (1..=20).for_each(|step| rate.update(200_000 + step * 1000, ms(200 + step * 10), ms(60)));
        assert_eq!(rate.estimate(), Some(100_000));
    }

    #[test]
    fn time_before_the_first_byte_says_nothing() {
        let mut rate = PathRate::new();
        rate.update(0, ms(500), ms(60));
        assert_eq!(rate.estimate(), None);
        rate.update(10_000, ms(510), ms(60));
        assert_eq!(rate.estimate(), Some(1_000_000));
        rate.update(10_000, ms(510), ms(60));
        rate.update(9_000, ms(600), ms(60));
        assert_eq!(rate.estimate(), Some(1_000_000), "counters never fall");
    }

    #[test]
    fn the_allowance_doubles_while_the_rate_grows_by_a_quarter() {
        let mut allowance = Allowance::new(100);
        assert_eq!(allowance.target(None, 0), 200);
        let rates = [1000, 1300, 1700, 1800, 1800, 1800];
        let targets = [400, 800, 1600, 1600, 1600, 0];
        for (turn, (rate, target)) in rates.into_iter().zip(targets).enumerate() {
            let now = at(turn as u64 * 100);
            allowance.range_done(Some(rate), ms(100), now);
            // A second range in the same turn is no second sign of growth.
            allowance.range_done(Some(rate * 10), ms(100), now);
            assert_eq!(allowance.target(Some(0), 0), target, "turn {turn}");
        }
        assert_eq!(allowance.target(Some(5000), 0), 5000);
    }

    #[test]
    fn a_late_range_halves_what_a_path_gets_until_it_delivers() {
        let mut allowance = Allowance::new(100);
        allowance.range_late(800);
        assert_eq!(allowance.target(Some(800), 0), 400);
        allowance.range_done(Some(1), ms(100), at(0));
        assert_eq!(allowance.target(Some(800), 0), 800);
    }
}

#[test]
fn redundancy_is_an_opening_balance_and_a_share() {
    let mut bucket = Bucket::new(&DelegationConfig::default());
    assert_eq!(bucket.balance(0), 256 * KIB);
    assert_eq!(bucket.balance(100_000_000), 256 * KIB + 3_000_000);
    bucket.spend(200 * KIB);
    assert_eq!((bucket.balance(0), bucket.spent()), (56 * KIB, 200 * KIB));
    bucket.refund(100 * KIB);
    assert_eq!(bucket.balance(0), 156 * KIB);
    bucket.spend(MIB);
    assert_eq!(bucket.balance(0), 0);
}

/// A scheduler with two live paths and one stream.
struct Bench {
    scheduler: Scheduler,
    stream: StreamId,
    now: Instant,
}

impl Bench {
    fn new(size: u64, candidates: Candidates, local: Local) -> Self {
        let mut scheduler = Scheduler::new(DelegationConfig::default(), 1);
        let stream = StreamId::from_wire(0).unwrap();
        scheduler.set_primary_rtt(ms(20));
        let view = PathView { state: PathState::Live, srtt: Some(ms(20)), rttvar: Duration::ZERO };
        for path in [1, 2] {
            scheduler.set_path(PathId::new(path), view, at(0));
        }
        scheduler.handle_window(stream, Offset::new(16 * MIB).unwrap(), at(0));
        let resource = Bytes::from_static(b"r");
        scheduler.delegate(stream, range(0, size), resource, candidates, local, at(0)).unwrap();
        Self { scheduler, stream, now: at(0) }
    }

    fn decisions(&mut self) -> Vec<Decision> {
        std::iter::from_fn(|| self.scheduler.poll(self.now)).collect()
    }

    /// (path, number, range) of what is asked of secondaries.
    fn orders(&mut self) -> Vec<(PathId, DelegationId, ByteRange)> {
        self.decisions()
            .into_iter()
            .filter_map(|decision| match decision {
                Decision::Delegate { path, delegation } => {
                    Some((path, delegation.id, delegation.range))
                }
                _ => None,
            })
            .collect()
    }

    fn answer(&mut self, path: PathId, delegation: DelegationId, state: DelegationState) {
        let status = DelegationStatus { path, delegation, state };
        self.scheduler.handle_status(&status, self.now);
    }

    fn gap(&mut self, path: PathId, id: DelegationId, range: ByteRange, reason: GapReason) {
        let (path, delegation) = (Some(path), Some(id));
        let gap = Gap { stream: self.stream, range, reason, path, delegation };
        self.scheduler.handle_gap(&gap, self.now);
    }

    fn held(&mut self, contiguous: u64, held: &[(ByteRange, PathId)]) {
        let held = held.iter().map(|&(range, path)| HeldRange { range, path }).collect();
        let end = Offset::new(contiguous).unwrap();
        let progress = StreamProgress {
            stream: self.stream,
            read_offset: end,
            contiguous_end: end,
            held,
            reader_waiting: true,
        };
        self.scheduler.handle_progress(&progress, self.now);
    }

    fn state(&mut self, path: PathId, state: PathState) {
        let status = self.status(path, state);
        self.scheduler.handle_path_status(&status, self.now);
    }

    fn status(&self, path: PathId, state: PathState) -> PathStatus {
        PathStatus {
            path,
            epoch: Epoch::FIRST,
            state,
            reason: None,
            smoothed_rtt_us: 20_000,
            rtt_variation_us: 0,
            received_bytes: 0,
            busy_us: 0,
        }
    }
}

fn all_bytes(orders: &[(PathId, DelegationId, ByteRange)]) -> u64 {
    orders.iter().map(|order| order.2.len()).sum()
}

mod scheduler {
    use super::*;

    #[test]
    fn every_byte_is_asked_for_once() {
        let mut bench = Bench::new(MIB, Candidates::All, Local::None);
        let orders = bench.orders();
        let asked = RangeSet::from_iter(orders.iter().map(|order| order.2));
        assert_eq!((asked.total_len(), all_bytes(&orders)), (MIB, MIB));
        assert!(orders.iter().any(|order| order.0 == PathId::new(1)));
        assert!(orders.iter().any(|order| order.0 == PathId::new(2)));
    }

    #[test]
    fn nothing_is_asked_for_beyond_the_window() {
        let mut scheduler = Scheduler::new(DelegationConfig::default(), 1);
        let stream = StreamId::from_wire(0).unwrap();
        scheduler.set_path(PathId::new(1), PathView::DIALING, at(0));
        let whole = range(0, MIB);
        let order = |scheduler: &mut Scheduler| {
            scheduler.delegate(stream, whole, Bytes::new(), Candidates::All, Local::None, at(0))
        };
        order(&mut scheduler).unwrap();
        assert_eq!(scheduler.poll(at(0)), None, "a stream without a window");
        scheduler.handle_window(stream, Offset::new(1000).unwrap(), at(0));
        let Some(Decision::Delegate { delegation, .. }) = scheduler.poll(at(0)) else { panic!() };
        assert_eq!(delegation.range, range(0, 1000));
        assert_eq!(scheduler.poll(at(0)), None);
    }

    #[test]
    fn what_cannot_be_delegated_is_refused() {
        let mut bench = Bench::new(MIB, Candidates::All, Local::None);
        let stream = bench.stream;
        let nobody = || Candidates::List(vec![PathId::PRIMARY]);
        let long = Bytes::from(vec![0; 4097]);
        let table = [
            (range(5, 5), Bytes::new(), Candidates::All, DelegateError::Empty),
            (range(5, 6), Bytes::new(), Candidates::All, DelegateError::Overlap),
            (range(MIB, MIB + 1), long, Candidates::All, DelegateError::ResourceTooLong),
            (range(MIB, MIB + 1), Bytes::new(), nobody(), DelegateError::NoCandidates),
        ];
        for (range, resource, candidates, error) in table {
            let result =
                bench.scheduler.delegate(stream, range, resource, candidates, Local::None, at(0));
            assert_eq!(result, Err(error));
        }
    }

    #[test]
    fn a_refused_range_goes_to_somebody_else_and_never_back() {
        for reason in [GapReason::Stale, GapReason::NotFound, GapReason::Refused] {
            let mut bench = Bench::new(MIB, Candidates::All, Local::None);
            let orders = bench.orders();
            let (one, two) = (PathId::new(1), PathId::new(2));
            let mine: Vec<_> = orders.iter().filter(|order| order.0 == one).copied().collect();
            for &(path, id, _) in &mine {
                bench.answer(path, id, DelegationState::Refused(reason));
            }
            bench.held(
                0,
                &orders.iter().filter(|o| o.0 == two).map(|o| (o.2, two)).collect::<Vec<_>>(),
            );
            let again = bench.orders();
            assert_eq!(all_bytes(&again), all_bytes(&mine));
            assert!(again.iter().all(|order| order.0 == two), "{again:?}");
            let events: Vec<_> = std::iter::from_fn(|| bench.scheduler.poll_event()).collect();
            assert!(
                events.iter().any(|e| matches!(e, Event::Excluded { path, .. } if *path == one))
            );
            assert!(events.iter().any(|e| matches!(e, Event::Repaired { .. })));
        }
    }

    #[test]
    fn a_busy_source_is_asked_again_after_a_pause() {
        let list = Candidates::List(vec![PathId::new(1)]);
        let mut bench = Bench::new(64 * KIB, list, Local::None);
        let [(path, id, range)] = bench.orders()[..] else { panic!() };
        bench.answer(path, id, DelegationState::Refused(GapReason::Busy));
        assert_eq!(bench.orders(), []);
        let due = bench.scheduler.poll_timeout().unwrap();
        assert_eq!(due, at(250));
        bench.now = due;
        let [(again, _, same)] = bench.orders()[..] else { panic!() };
        assert_eq!((again, same), (path, range));
    }

    #[test]
    fn who_failed_gets_one_small_range_at_the_end_of_the_window() {
        let mut bench = Bench::new(64 * MIB, Candidates::All, Local::None);
        let one = PathId::new(1);
        for (path, id, _) in bench.orders() {
            if path == one {
                bench.answer(path, id, DelegationState::Refused(GapReason::Busy));
            }
        }
        bench.decisions();
        bench.now = bench.scheduler.poll_timeout().unwrap();
        let [(path, _, tail)] = bench.orders()[..] else { panic!() };
        assert_eq!((path, tail), (one, range(16 * MIB - 64 * KIB, 16 * MIB)));
    }

    #[test]
    fn a_rate_across_a_silence_is_forgotten() {
        let mut bench = Bench::new(MIB, Candidates::All, Local::None);
        let one = PathId::new(1);
        let mut status = bench.status(one, PathState::Live);
        (status.received_bytes, status.busy_us) = (100_000, 100_000);
        bench.scheduler.handle_path_status(&status, at(100));
        assert_eq!(bench.scheduler.path_share(one).unwrap().rate, Some(1_000_000));
        status.state = PathState::Suspect;
        bench.scheduler.handle_path_status(&status, at(400));
        assert_eq!(bench.scheduler.path_share(one).unwrap().rate, None);
    }

    #[test]
    fn with_nobody_left_the_primary_supplies_or_it_is_said() {
        for local in [Local::Fallback, Local::None] {
            let mut bench = Bench::new(64 * KIB, Candidates::List(vec![PathId::new(1)]), local);
            let [(path, id, range)] = bench.orders()[..] else { panic!() };
            bench.answer(path, id, DelegationState::Refused(GapReason::NotFound));
            let stream = bench.stream;
            match (local, &bench.decisions()[..]) {
                (Local::Fallback, [Decision::SupplyLocally { range: own, .. }]) => {
                    assert_eq!(*own, range);
                }
                (Local::None, [said]) => {
                    let reason = GapReason::NotFound;
                    assert_eq!(*said, Decision::GiveUp { stream, range, reason });
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(bench.decisions(), [], "said once");
        }
    }

    #[test]
    fn a_dead_paths_rest_goes_to_others_without_what_is_held() {
        let mut bench = Bench::new(256 * KIB, Candidates::All, Local::None);
        let orders = bench.orders();
        let (one, two) = (PathId::new(1), PathId::new(2));
        let mine: Vec<_> = orders.iter().filter(|order| order.0 == one).copied().collect();
        let first = mine[0].2;
        let got = range(first.start().value(), first.start().value() + 1000);
        bench.held(0, &[(got, one)]);
        bench.state(one, PathState::Gone);
        bench
            .held(0, &orders.iter().filter(|o| o.0 == two).map(|o| (o.2, two)).collect::<Vec<_>>());
        let again = bench.orders();
        assert_eq!(all_bytes(&again), all_bytes(&mine) - 1000);
        assert!(again.iter().all(|order| order.0 == two));
    }

    #[test]
    fn a_suspect_path_is_told_to_stop() {
        let mut bench = Bench::new(256 * KIB, Candidates::All, Local::None);
        let count = bench.orders().iter().filter(|order| order.0 == PathId::new(1)).count();
        bench.state(PathId::new(1), PathState::Suspect);
        let revokes = bench.decisions();
        let revokes = revokes.iter().filter(|d| matches!(d, Decision::Revoke { .. })).count();
        assert_eq!(revokes, count);
    }

    #[test]
    fn a_late_head_is_copied_once_and_the_loser_revoked() {
        let mut bench = Bench::new(128 * KIB, Candidates::All, Local::None);
        let orders = bench.orders();
        let &(late, id, range) = orders.iter().find(|o| o.2.start() == Offset::ZERO).unwrap();
        bench.gap(late, id, range, GapReason::Late);
        bench.gap(late, id, range, GapReason::Late);
        let copies = bench.orders();
        let [(other, _, copied)] = copies[..] else { panic!("{copies:?}") };
        assert!(other != late && copied == range);
        assert_eq!(bench.scheduler.stats().redundancy_charged, range.len());
        bench.held(0, &[(range, other)]);
        let stream = bench.stream;
        let revoke = Decision::Revoke { path: late, stream, delegation: id };
        assert!(bench.decisions().contains(&revoke));
    }

    #[test]
    fn beyond_the_bucket_a_late_head_moves_instead() {
        let config = DelegationConfig { redundancy_opening: 0, ..DelegationConfig::default() };
        let mut bench = Bench::new(128 * KIB, Candidates::All, Local::None);
        bench.scheduler.bucket = Bucket::new(&config);
        let orders = bench.orders();
        let &(late, id, range) = orders.iter().find(|o| o.2.start() == Offset::ZERO).unwrap();
        bench.gap(late, id, range, GapReason::Late);
        let stream = bench.stream;
        let revoke = Decision::Revoke { path: late, stream, delegation: id };
        assert!(bench.decisions().contains(&revoke));
        assert_eq!(bench.scheduler.stats().redundancy_charged, 64 * KIB, "may be under way");
    }

    #[test]
    fn a_path_that_delivers_nothing_after_being_late_loses_everything() {
        let mut bench = Bench::new(MIB, Candidates::All, Local::None);
        let orders = bench.orders();
        let &(late, id, range) = orders.iter().find(|o| o.2.start() == Offset::ZERO).unwrap();
        bench.gap(late, id, range, GapReason::Late);
        bench.decisions();
        bench.now = bench.scheduler.poll_timeout().unwrap();
        assert_eq!(bench.now, at(250));
        let owed = orders.iter().filter(|order| order.0 == late).count();
        let revoked = bench.decisions();
        let revoked = revoked.iter().filter(|d| matches!(d, Decision::Revoke { .. })).count();
        assert_eq!(revoked, owed);
        assert_eq!(bench.scheduler.path_share(late).unwrap().outstanding_bytes, 0);
    }

    #[test]
    fn pending_lends_the_range_to_others_and_joins_later() {
        let list = Candidates::List(vec![PathId::new(1)]);
        let mut bench = Bench::new(64 * KIB, list, Local::None);
        let [(path, id, range)] = bench.orders()[..] else { panic!() };
        bench.answer(path, id, DelegationState::Pending);
        assert_eq!(bench.decisions(), []);
        assert_eq!(bench.scheduler.path_share(path).unwrap().outstanding_bytes, 0);
        bench.answer(path, id, DelegationState::Accepted);
        assert_eq!(bench.decisions(), [], "nobody else was asked: the first order holds");
        let owed = bench.scheduler.path_share(path).unwrap().outstanding_bytes;
        assert_eq!(owed, range.len());
    }

    #[test]
    fn late_data_of_a_revoked_source_counts() {
        let mut bench = Bench::new(64 * KIB, Candidates::All, Local::None);
        let [(path, _, range)] = bench.orders()[..] else { panic!() };
        bench.state(path, PathState::Gone);
        bench.held(range.end().value(), &[]);
        assert_eq!(bench.orders(), [], "held, whoever sent it");
        let stats = bench.scheduler.stats();
        assert_eq!(stats.delivered_bytes, range.len());
    }

    #[test]
    fn bytes_that_were_held_may_be_missing_again() {
        let mut bench = Bench::new(64 * KIB, Candidates::All, Local::None);
        let [(path, id, range)] = bench.orders()[..] else { panic!() };
        let unread = super::range(100, range.end().value());
        bench.held(100, &[(unread, path)]);
        bench.decisions();
        bench.gap(path, id, unread, GapReason::Conflict);
        let again = bench.orders();
        assert_eq!(all_bytes(&again), unread.len());
        assert!(again.iter().all(|order| order.0 != path), "not from who was wrong");
        assert_eq!(bench.scheduler.stats().delivered_bytes, 100);
    }

    #[test]
    fn a_closed_stream_is_forgotten() {
        let mut bench = Bench::new(MIB, Candidates::All, Local::Share);
        let local = bench.decisions();
        let local = local.iter().filter(|d| matches!(d, Decision::SupplyLocally { .. })).count();
        bench.scheduler.handle_stream_closed(bench.stream, at(1));
        let cancelled = bench.decisions();
        assert_eq!(cancelled.len(), local);
        assert!(cancelled.iter().all(|d| matches!(d, Decision::CancelLocal { .. })));
        assert_eq!((bench.scheduler.ledger.len(), bench.scheduler.plans), (0, 0));
        for path in 0..3 {
            let share = bench.scheduler.path_share(PathId::new(path)).unwrap();
            assert_eq!(share.outstanding_bytes, 0);
        }
    }

    #[test]
    fn foreign_and_unknown_numbers_change_nothing() {
        let mut bench = Bench::new(64 * KIB, Candidates::All, Local::None);
        let [(path, id, range)] = bench.orders()[..] else { panic!() };
        let other = PathId::new(3 - path.value());
        bench.answer(other, id, DelegationState::Refused(GapReason::Stale));
        bench.answer(path, DelegationId(999), DelegationState::Refused(GapReason::Stale));
        bench.gap(other, id, range, GapReason::Reset);
        assert_eq!(bench.decisions(), []);
        assert_eq!(bench.scheduler.path_share(path).unwrap().outstanding_bytes, range.len());
    }

    #[test]
    fn streams_take_turns() {
        let mut scheduler = Scheduler::new(DelegationConfig::default(), 1);
        scheduler.set_path(PathId::new(1), PathView::DIALING, at(0));
        for id in [0, 4] {
            let stream = StreamId::from_wire(id).unwrap();
            scheduler.handle_window(stream, Offset::new(MIB).unwrap(), at(0));
            let whole = range(0, 8 * MIB);
            scheduler
                .delegate(stream, whole, Bytes::new(), Candidates::All, Local::None, at(0))
                .unwrap();
        }
        let streams: Vec<u64> = std::iter::from_fn(|| scheduler.poll(at(0)))
            .filter_map(|decision| match decision {
                Decision::Delegate { delegation, .. } => Some(delegation.stream.value()),
                _ => None,
            })
            .collect();
        assert_eq!(&streams[..2], [0, 4]);
    }
}
