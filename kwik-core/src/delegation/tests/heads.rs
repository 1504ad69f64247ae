//! The next byte of a stream is asked for at once, however busy everybody is.

use super::*;

/// One secondary, which has the head, and a primary with more to do than it should have.
fn busy() -> (Bench, PathId, DelegationId, ByteRange) {
    let mut bench = Bench::new(8 * MIB, Candidates::List(vec![PathId::new(1)]), Local::Share);
    bench.scheduler.sources.get_mut(&PathId::PRIMARY).unwrap().owes_more(64 * MIB);
    let orders = bench.orders();
    let &(path, id, head) = orders.iter().find(|order| order.2.start() == Offset::ZERO).unwrap();
    let waiting = bench.scheduler.halves[&bench.stream].waiting_len();
    assert!(waiting > 0, "nobody has room for the rest");
    (bench, path, id, head)
}

/// The reader waits for a byte that nobody promised; of whom it is asked.
fn starve(bench: &mut Bench, at: u64) -> Vec<Decision> {
    let (range, reason) = (range(at, at + 1), GapReason::Unassigned);
    let gap = Gap { stream: bench.stream, range, reason, path: None, delegation: None };
    bench.scheduler.handle_gap(&gap, bench.now);
    let asked = |decision: &Decision| match decision {
        Decision::SupplyLocally { range, .. } => range.start().value() == at,
        Decision::Delegate { delegation, .. } => delegation.range.start().value() == at,
        _ => false,
    };
    bench.decisions().into_iter().filter(asked).collect()
}

#[test]
fn a_lost_head_does_not_wait_for_room_for_ever() {
    let (mut bench, path, id, head) = busy();
    bench.answer(path, id, DelegationState::Refused(GapReason::Stale));
    assert_eq!(bench.decisions().len(), 0, "the primary has no room");
    let asked = starve(&mut bench, head.start().value());
    assert!(matches!(asked[..], [Decision::SupplyLocally { .. }]), "{asked:?}");
}

#[test]
fn a_head_that_was_never_handed_out_does_not_wait_for_room_for_ever() {
    let (mut bench, ..) = busy();
    let pool = &bench.scheduler.halves[&bench.stream].plans[&Offset::ZERO].pool;
    let first = pool.first().unwrap().start().value();
    let sources = &mut bench.scheduler.sources;
    sources.values_mut().for_each(|source| source.owes_more(64 * MIB));
    bench.held(first, &[]);
    assert_eq!(bench.decisions().len(), 0, "nobody has room");
    assert_eq!(starve(&mut bench, first + 1), [], "that is not the head");
    assert_eq!(starve(&mut bench, first).len(), 1);
}
