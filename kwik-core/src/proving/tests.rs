#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use kwik_proto::frame::Rank;

use super::*;

const EDGE: PathId = PathId::new(1);
const HASH: [u8; 32] = [7; 32];

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + ms(millis)
}

fn stream(id: u64) -> StreamId {
    StreamId::from_wire(id).unwrap()
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap()
}

fn order(id: u64, of: u64, start: u64, end: u64) -> Delegation {
    let (id, stream) = (DelegationId(id), stream(of));
    let resource = Bytes::from_static(b"x");
    Delegation {
        id,
        stream,
        range: range(start, end),
        resource,
        blake3: None,
        rank: Rank::default(),
    }
}

/// Copies of the first 1,000 bytes of streams 0 and 4.
fn provers() -> Provers {
    let mut provers = Provers::default();
    provers.add(stream(0), range(0, 1000));
    provers.add(stream(4), range(0, 1000));
    provers
}

impl Provers {
    fn wants(&mut self, id: u64, of: u64, start: u64, now: u64) {
        assert_eq!(self.want(EDGE, order(id, of, start, start + 100), at(now)), None);
    }

    fn begun(&mut self) -> Vec<u64> {
        std::iter::from_fn(|| self.poll_read(|_| true)).map(|read| read.delegation.0).collect()
    }

    fn proven(&mut self) -> Vec<(u64, Option<[u8; 32]>)> {
        let ready = std::iter::from_fn(|| self.poll_ready());
        ready.map(|(_, order)| (order.id.0, order.blake3)).collect()
    }

    fn told(&mut self) -> Vec<News> {
        std::iter::from_fn(|| self.poll()).collect()
    }

    /// Lets the time come, to the millisecond at which something is due.
    fn wait(&mut self) -> u64 {
        let due = self.poll_timeout().unwrap();
        self.handle_timeout(due);
        due.elapsed().as_millis() as u64
    }
}

const fn ungiven(id: u64) -> News {
    News::Ungiven(DelegationId(id))
}

fn held(of: u64) -> News {
    News::Hold(stream(of), range(0, 1000))
}

fn released(of: u64) -> News {
    News::Release(stream(of), range(0, 1000))
}

#[test]
fn an_order_without_a_copy_does_not_wait() {
    let mut provers = provers();
    for other in [order(1, 8, 0, 100), order(2, 0, 950, 1050)] {
        assert_eq!(provers.want(EDGE, other.clone(), at(0)), Some(other));
    }
    assert_eq!((provers.begun(), provers.poll_timeout()), (vec![], None));
}

#[test]
fn an_order_is_given_with_its_hash_whichever_is_read_first() {
    let mut provers = provers();
    for id in 1..=3 {
        provers.wants(id, 0, id * 100, 0);
    }
    assert_eq!(provers.begun(), [1, 2], "two at a time of one copy");
    provers.handle_proof(DelegationId(2), Some(HASH), at(5));
    assert_eq!(provers.proven(), [(2, Some(HASH))]);
    assert_eq!(provers.begun(), [3]);
    provers.handle_proof(DelegationId(1), Some(HASH), at(6));
    provers.handle_proof(DelegationId(3), Some(HASH), at(6));
    assert_eq!(provers.proven(), [(1, Some(HASH)), (3, Some(HASH))]);
    assert_eq!((provers.told(), provers.poll_timeout()), (vec![], None));
}

#[test]
fn the_lowest_bytes_are_read_first() {
    let mut provers = provers();
    for (id, start) in [(1, 800), (2, 700), (3, 0)] {
        provers.wants(id, 0, start, 0);
    }
    assert_eq!(provers.begun(), [3, 2]);
}

#[test]
fn a_copy_that_hangs_holds_back_its_own_orders_alone() {
    let mut provers = provers();
    for id in 1..=3 {
        provers.wants(id, 0, id * 100, 0);
    }
    provers.wants(4, 4, 0, 500);
    assert_eq!(provers.begun(), [1, 4, 2]);
    provers.handle_proof(DelegationId(4), Some(HASH), at(510));
    assert_eq!(provers.proven(), [(4, Some(HASH))]);
    assert_eq!(provers.wait(), 1000);
    assert_eq!(provers.told(), [ungiven(1), ungiven(2), ungiven(3), held(0)]);
    // The scheduler had decided one more.
    provers.wants(5, 0, 0, 1000);
    assert_eq!(provers.told(), [ungiven(5)]);
    // Both reads hang still: a third would only hang beside them.
    assert_eq!(provers.poll_timeout(), None);
    provers.wants(6, 4, 100, 1500);
    assert_eq!(provers.begun(), [6]);
}

#[test]
fn a_copy_that_answers_again_is_asked_again_at_once() {
    for whole in [true, false] {
        let mut provers = provers();
        provers.wants(1, 0, 0, 0);
        provers.begun();
        provers.wait();
        provers.told();
        if whole {
            provers.handle_proof(DelegationId(1), Some(HASH), at(1100));
        } else {
            assert!(!provers.handle_read(DelegationId(1), at(1100)), "nobody waits for the rest");
        }
        assert_eq!((provers.told(), provers.proven()), (vec![released(0)], vec![]));
        provers.wants(2, 0, 100, 1200);
        assert_eq!(provers.begun(), [2]);
        provers.handle_proof(DelegationId(1), Some(HASH), at(1300));
        assert_eq!(provers.proven(), [], "it is over");
    }
}

#[test]
fn one_read_that_never_ends_does_not_cost_the_copy() {
    let mut provers = provers();
    provers.wants(1, 0, 0, 0);
    provers.begun();
    assert_eq!(provers.wait(), 1000);
    assert_eq!(provers.wait(), 1250);
    assert_eq!(provers.told(), [ungiven(1), held(0), released(0)]);
    provers.wants(2, 0, 0, 1250);
    assert_eq!(provers.begun(), [2]);
    provers.handle_proof(DelegationId(2), Some(HASH), at(1300));
    assert_eq!(provers.proven(), [(2, Some(HASH))]);
}

#[test]
fn a_copy_that_fails_is_left_alone_longer_each_time() {
    let mut provers = provers();
    let mut now = 0;
    for pause in [250, 500, 1000, 2000, 4000, 4000] {
        provers.wants(1, 0, 0, now);
        provers.wants(2, 0, 500, now);
        provers.begun();
        provers.handle_proof(DelegationId(1), None, at(now));
        provers.handle_proof(DelegationId(2), None, at(now));
        assert_eq!(provers.told(), [ungiven(1), held(0), ungiven(2)]);
        now += pause;
        assert_eq!(provers.wait(), now);
        assert_eq!(provers.told(), [released(0)]);
    }
    provers.wants(1, 0, 0, now);
    provers.begun();
    provers.handle_proof(DelegationId(1), Some(HASH), at(now));
    provers.wants(2, 0, 500, now);
    provers.begun();
    provers.handle_proof(DelegationId(2), None, at(now));
    assert_eq!(provers.wait(), now + 250, "what it proved is forgiven");
}

#[test]
fn a_slow_copy_is_not_a_hung_one_but_no_order_waits_for_ever() {
    let mut provers = provers();
    provers.wants(1, 0, 0, 0);
    provers.begun();
    for now in (900..3000).step_by(900) {
        assert!(provers.handle_read(DelegationId(1), at(now)));
        provers.handle_timeout(at(now));
    }
    assert_eq!(provers.told(), []);
    assert_eq!(provers.wait(), 3000);
    assert_eq!(provers.told(), [ungiven(1), held(0)]);
}

#[test]
fn an_order_that_is_not_wanted_any_more_is_not_given() {
    let mut provers = provers();
    for id in 1..=3 {
        provers.wants(id, 0, id * 100, 0);
    }
    provers.begun();
    assert!(provers.withdraw(stream(0), DelegationId(1)), "it is being read");
    assert!(provers.withdraw(stream(0), DelegationId(3)), "it waits");
    assert!(!provers.withdraw(stream(0), DelegationId(3)));
    provers.handle_proof(DelegationId(1), Some(HASH), at(1));
    provers.handle_proof(DelegationId(2), Some(HASH), at(1));
    assert_eq!(provers.proven(), [(2, Some(HASH))]);
    assert_eq!((provers.told(), provers.poll_timeout()), (vec![], None));
    provers.wants(4, 0, 0, 2);
    assert_eq!(provers.poll_read(|_| false), None, "the scheduler took it back without a word");
    assert_eq!(provers.poll_timeout(), None);
}

#[test]
fn a_stream_that_is_over_leaves_nothing_but_what_hangs() {
    let mut provers = provers();
    provers.wants(1, 0, 0, 0);
    provers.begun();
    provers.wants(2, 0, 100, 0);
    provers.forget(stream(0));
    assert_eq!((provers.poll_timeout(), provers.begun()), (None, vec![]));
    assert_eq!(provers.flights.len(), 1);
    assert!(!provers.handle_read(DelegationId(1), at(5)));
    assert!(provers.flights.is_empty() && provers.busy.is_empty() && provers.provers.len() == 1);
}

#[test]
fn reads_are_bounded_and_copies_take_turns() {
    let mut provers = Provers::default();
    for of in 0..100 {
        provers.add(stream(of * 4), range(0, 1000));
        provers.wants(of * 2, of * 4, 0, 0);
        provers.wants(of * 2 + 1, of * 4, 100, 0);
    }
    let first: Vec<u64> = (0..AWAITED as u64).map(|of| of * 2).collect();
    assert_eq!(provers.begun(), first, "one of each");
    let mut now = 0;
    for round in 1..40 {
        now = provers.poll_timeout().map_or(now + 1000, |due| due.elapsed().as_millis() as u64);
        provers.handle_timeout(at(now));
        for of in 0..100 {
            if provers.provers[&(stream(of * 4), Offset::ZERO)].held.is_none() {
                provers.wants(1000 * round + of, of * 4, 0, now);
            }
        }
        assert!(provers.begun().len() <= AWAITED);
        provers.told();
    }
    assert_eq!(provers.flights.len(), ALL_READS);
}

#[test]
fn what_a_path_is_not_asked_for_yet_is_told() {
    let mut provers = provers();
    assert_eq!(provers.poll_debts(), None);
    for id in 1..=3 {
        provers.wants(id, 0, id * 100, 0);
    }
    assert_eq!(provers.poll_debts(), Some(BTreeMap::from([(EDGE, 300)])));
    assert_eq!(provers.poll_debts(), None);
    provers.begun();
    provers.handle_proof(DelegationId(1), Some(HASH), at(0));
    assert_eq!(provers.poll_debts(), Some(BTreeMap::from([(EDGE, 200)])));
    provers.wait();
    assert_eq!(provers.poll_debts(), Some(BTreeMap::new()));
}

#[test]
fn what_was_hashed_once_is_not_read_again() {
    let mut provers = provers();
    provers.wants(1, 0, 0, 0);
    assert_eq!(provers.begun(), [1]);
    provers.handle_proof(DelegationId(1), Some(HASH), at(1));
    assert_eq!(provers.proven(), [(1, Some(HASH))]);
    // Refused, and ordered again and again.
    for id in 2..1000 {
        let given = provers.want(EDGE, order(id, 0, 0, 100), at(id)).unwrap();
        assert_eq!((given.id.0, given.blake3), (id, Some(HASH)));
    }
    assert_eq!((provers.begun(), provers.told()), (vec![], vec![]));
    provers.wants(1000, 0, 1, 1000);
    assert_eq!(provers.begun(), [1000], "another range has another hash");
}

#[test]
fn what_was_hashed_for_nobody_is_remembered_too() {
    let mut provers = provers();
    provers.wants(1, 0, 0, 0);
    assert_eq!(provers.begun(), [1]);
    assert!(provers.withdraw(stream(0), DelegationId(1)));
    provers.handle_proof(DelegationId(1), Some(HASH), at(1));
    assert!(provers.want(EDGE, order(2, 0, 0, 100), at(2)).is_some());
}

#[test]
fn a_range_that_is_cut_anew_each_time_is_read_four_times_over_and_no_more() {
    let mut provers = provers();
    let mut read = 0;
    for id in 0..10_000 {
        let end = 100 + id % 900;
        assert_eq!(provers.want(EDGE, order(id, 0, id % 100, end), at(id)), None);
        for begun in provers.begun() {
            read += end - id % 100;
            // Each has another hash to find, so that nothing is remembered.
            provers.handle_proof(DelegationId(begun), Some(HASH), at(id));
            provers.provers.values_mut().for_each(|prover| prover.known.clear());
        }
        let _ = (provers.proven(), provers.told());
        provers.handle_timeout(at(id));
    }
    assert!((3000..=4000).contains(&read), "{read} bytes of a range of 1,000");
    // The other copy was not asked, and may be.
    provers.wants(10_000, 4, 0, 10_000);
    assert_eq!(provers.begun(), [10_000]);
}

#[test]
fn an_order_that_was_not_read_for_costs_its_range_nothing() {
    let mut provers = provers();
    for id in 0..1000 {
        provers.wants(id, 0, id % 900, id);
        assert!(provers.withdraw(stream(0), DelegationId(id)));
    }
    provers.wants(1000, 0, 0, 1000);
    assert_eq!(provers.begun(), [1000]);
}

#[test]
fn hashes_are_remembered_for_the_last_thousand_ranges() {
    let mut provers = Provers::default();
    provers.add(stream(0), range(0, 1 << 30));
    for id in 0..2000 {
        provers.wants(id, 0, id * 100, id);
        assert_eq!(provers.begun(), [id]);
        provers.handle_proof(DelegationId(id), Some(HASH), at(id));
        assert_eq!(provers.proven().len(), 1);
    }
    assert_eq!(provers.provers.values().next().unwrap().known.len(), REMEMBERED);
    assert!(provers.want(EDGE, order(2000, 0, 199_900, 200_000), at(2000)).is_some());
    assert!(provers.want(EDGE, order(2001, 0, 0, 100), at(2000)).is_none());
}

#[test]
fn no_more_is_read_ahead_than_a_client_may_have_under_way() {
    let (mut provers, piece) = (Provers::default(), 4 << 20);
    for id in 0..100 {
        provers.add(stream(id * 4), range(0, 1 << 40));
    }
    let mut read = 0;
    let mut ask = |provers: &mut Provers, turns: std::ops::Range<u64>| {
        for turn in turns {
            let (of, start) = (turn % 100 * 4, turn * piece);
            let order = order(turn, of, start, start + piece);
            assert_eq!(provers.want(EDGE, order, at(0)), None);
            for begun in provers.begun() {
                read += piece;
                provers.handle_proof(DelegationId(begun), Some(HASH), at(0));
            }
        }
        read
    };
    assert_eq!(ask(&mut provers, 0..1000), AHEAD);
    provers.handle_progress(stream(0), Offset::new(piece).unwrap());
    provers.handle_progress(stream(0), Offset::ZERO);
    provers.handle_timeout(at(300));
    assert_eq!(ask(&mut provers, 1000..2000), AHEAD + 4 * piece, "four times what arrived");
}
