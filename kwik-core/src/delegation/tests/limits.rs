//! What is remembered has a bound, whoever fills it.

use super::*;

fn conflict(bench: &mut Bench, range: ByteRange) {
    let (path, delegation, reason) = (None, None, GapReason::Conflict);
    let gap = Gap { stream: bench.stream, range, reason, path, delegation };
    bench.scheduler.handle_gap(&gap, bench.now);
}

#[test]
fn disputes_without_a_copy_are_forgotten_behind_the_reader() {
    let mut bench = Bench::new(16 * MIB, Candidates::All, Local::None);
    for index in 0..10_000 {
        conflict(&mut bench, range(index * 20, index * 20 + 1));
        bench.decisions();
    }
    let half = &bench.scheduler.halves[&bench.stream];
    assert!(half.dispute.pieces() <= 3 * 1024, "{}", half.dispute.pieces());
    bench.held(15 * MIB, &[]);
    let half = &bench.scheduler.halves[&bench.stream];
    assert_eq!(half.dispute.pieces(), 0, "the client remembers no more of them either");
}

#[test]
fn copies_keep_the_bound_on_delegations() {
    let mut bench = Bench::new(MIB, Candidates::All, Local::None);
    let orders = bench.orders();
    bench.scheduler.config.delegations = orders.len();
    for &(path, id, range) in &orders {
        bench.gap(path, id, range, GapReason::Late);
        bench.decisions();
        assert!(bench.scheduler.book.ledger.len() <= orders.len());
    }
}

/// Where no delegation may be added, a head that is late is moved, not forgotten.
#[test]
fn at_the_bound_on_delegations_a_late_head_is_moved() {
    let mut bench = Bench::new(MIB, Candidates::All, Local::None);
    let orders = bench.orders();
    bench.scheduler.config.delegations = orders.len();
    let &(owner, id, head) = orders.iter().find(|o| o.2.start() == Offset::ZERO).unwrap();
    bench.gap(owner, id, head, GapReason::Late);
    let decisions = bench.decisions();
    let revoked = |decision: &Decision| matches!(decision, Decision::Revoke { delegation, .. } if *delegation == id);
    assert!(decisions.iter().any(revoked), "{decisions:?}");
    let asked = decisions.iter().find_map(|decision| match decision {
        Decision::Delegate { path, delegation } if delegation.range.start() == Offset::ZERO => {
            Some(*path)
        }
        _ => None,
    });
    assert!(asked.is_some_and(|path| path != owner), "{decisions:?}");
}

#[test]
fn plans_that_are_over_leave_nothing_behind() {
    let mut bench = Bench::new(MIB, Candidates::All, Local::None);
    bench.held(MIB, &[]);
    let stream = bench.stream;
    let mut delegate = |range| {
        let resource = Bytes::from_static(b"r");
        bench.scheduler.delegate(stream, range, resource, Candidates::All, Local::None, at(1))
    };
    assert_eq!(delegate(range(MIB - 1, MIB + 1)), Err(DelegateError::Overlap));
    delegate(range(2 * MIB, 3 * MIB)).unwrap();
    delegate(range(MIB, 2 * MIB)).unwrap();
    assert_eq!(delegate(range(3 * MIB - 1, 3 * MIB)), Err(DelegateError::Overlap));
    assert_eq!(bench.scheduler.halves[&stream].plans.len(), 2);
}

#[test]
fn a_path_that_was_taken_out_is_forgotten() {
    let mut bench = Bench::new(MIB, Candidates::All, Local::None);
    let one = PathId::new(1);
    for (path, id, _) in bench.orders() {
        if path == one {
            bench.answer(path, id, DelegationState::Refused(GapReason::Stale));
        }
    }
    assert_eq!(bench.scheduler.barred.len(), 1);
    bench.scheduler.remove_path(one, at(1));
    assert_eq!(bench.scheduler.barred.len(), 0);
    assert!(bench.scheduler.halves[&bench.stream].plans.values().all(|plan| plan.may_ask(one)));
}

#[test]
fn a_tail_is_copied_once_however_often_its_owner_moves() {
    let mut bench = Bench::new(512 * KIB, Candidates::List(vec![PathId::new(1)]), Local::Share);
    let orders = bench.decisions();
    assert!(orders.iter().any(|order| matches!(order, Decision::SupplyLocally { .. })));
    let one = PathId::new(1);
    let owed: BTreeMap<DelegationId, ByteRange> = orders
        .iter()
        .filter_map(|order| match order {
            Decision::Delegate { delegation, .. } => Some((delegation.id, delegation.range)),
            _ => None,
        })
        .collect();
    let mut local: Vec<(ByteRange, PathId)> = orders
        .iter()
        .filter_map(|order| match order {
            Decision::SupplyLocally { range, .. } => Some((*range, PathId::PRIMARY)),
            _ => None,
        })
        .collect();
    // Path 1 is slow: 100 kB/s.
    let mut status = bench.status(one, PathState::Live);
    (status.received_bytes, status.busy_us) = (10_000, 100_000);
    bench.scheduler.handle_path_status(&status, at(100));
    let mut status = bench.status(PathId::PRIMARY, PathState::Live);
    (status.received_bytes, status.busy_us) = (500_000, 100_000);
    bench.scheduler.handle_path_status(&status, at(100));
    bench.now = at(100);
    bench.held(0, &local);
    let mut copies = RangeSet::new();
    let (mut copied, mut moved) = (0, Vec::new());
    for step in 1..20 {
        for decision in bench.decisions() {
            match decision {
                // What it has not begun goes to the other instead.
                Decision::Revoke { delegation, .. } => moved.extend(owed.get(&delegation)),
                Decision::SupplyLocally { range, .. } if moved.contains(&range) => {
                    local.push((range, PathId::PRIMARY));
                }
                Decision::SupplyLocally { range, .. } => {
                    copied += range.len();
                    copies.insert(range);
                }
                _ => {}
            }
        }
        bench.now = at(100 + step);
        let first = owed.values().map(|range| range.start().value()).min().unwrap();
        let got = (range(first, first + step * 100), one);
        bench.held(0, &[&local[..], &[got]].concat());
    }
    assert!(!moved.is_empty(), "what it has not begun is moved");
    assert!(copied > 0, "the slow one's tail is copied");
    assert_eq!(copied, copies.total_len(), "no byte of it twice");
    assert!(copied <= 16 * KIB, "{copied} of 512 KiB");
}

#[test]
fn resources_that_a_path_lacks_are_remembered_up_to_a_bound() {
    let mut bench = Bench::new(MIB, Candidates::All, Local::None);
    bench.held(MIB, &[]);
    let path = PathId::new(1);
    for number in 0..1_500 {
        // Each is a stream of its own that only this path may be asked for.
        let stream = StreamId::from_wire(4 * (number + 1)).unwrap();
        let resource = Bytes::copy_from_slice(&number.to_be_bytes());
        let only = Candidates::List(vec![path]);
        bench.scheduler.handle_window(stream, Offset::new(MIB).unwrap(), bench.now);
        let range = range(0, KIB);
        let ordered =
            bench.scheduler.delegate(stream, range, resource, only, Local::None, bench.now);
        ordered.unwrap();
        bench.scheduler.bar(stream, range, path, GapReason::NotFound);
        assert!(bench.scheduler.barred.len() <= BARRED);
    }
    assert_eq!(bench.scheduler.barred.len(), BARRED);
}

#[test]
fn of_events_that_nobody_asks_for_the_last_ones_stay() {
    let mut bench = Bench::new(MIB, Candidates::All, Local::None);
    while bench.scheduler.poll_event().is_some() {}
    let stream = bench.stream;
    for plan in 0..3_000 {
        bench.scheduler.tell(Event::Done { stream, plan: PlanId(plan) });
    }
    let kept: Vec<Event> = std::iter::from_fn(|| bench.scheduler.poll_event()).collect();
    assert_eq!(kept.len(), EVENTS);
    assert_eq!(kept.last(), Some(&Event::Done { stream, plan: PlanId(2_999) }));
}
