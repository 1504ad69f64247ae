//! The next byte of a stream is asked for at once, however busy everybody is.

use super::*;

/// One secondary, which has the head, and a primary with more to do than it should have.
fn busy() -> (Bench, PathId, DelegationId, ByteRange) {
    let mut bench = Bench::new(8 * MIB, Candidates::List(vec![PathId::new(1)]), Local::Share);
    bench.scheduler.book.sources.get_mut(&PathId::PRIMARY).unwrap().owes_more(64 * MIB);
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
    let sources = &mut bench.scheduler.book.sources;
    sources.values_mut().for_each(|source| source.owes_more(64 * MIB));
    bench.held(first, &[]);
    assert_eq!(bench.decisions().len(), 0, "nobody has room");
    assert_eq!(starve(&mut bench, first + 1), [], "that is not the head");
    assert_eq!(starve(&mut bench, first).len(), 1);
}

/// Twenty streams of 1 MiB begin while the only source has enough to do.
fn begun_when_full() -> (Bench, Vec<StreamId>) {
    let only = || Candidates::List(vec![PathId::new(1)]);
    let mut bench = Bench::new(8 * MIB, only(), Local::None);
    assert!(all_bytes(&bench.orders()) < 8 * MIB, "it has enough to do");
    let streams: Vec<_> = (1..=20).map(|id| StreamId::from_wire(4 * id).unwrap()).collect();
    for &stream in &streams {
        let resource = Bytes::from_static(b"r");
        bench.scheduler.handle_window(stream, Offset::new(MIB).unwrap(), bench.now);
        let scheduler = &mut bench.scheduler;
        let whole = range(0, MIB);
        scheduler.delegate(stream, whole, resource, only(), Local::None, bench.now).unwrap();
    }
    (bench, streams)
}

/// The streams of which bytes are asked for now, with the range.
fn fed(bench: &mut Bench) -> Vec<(StreamId, ByteRange)> {
    let asked = |decision| match decision {
        Decision::Delegate { delegation, .. } => Some((delegation.stream, delegation.range)),
        _ => None,
    };
    bench.decisions().into_iter().filter_map(asked).collect()
}

#[test]
fn a_stream_that_begins_when_all_are_full_is_asked_for_after_half_a_second() {
    let (mut bench, streams) = begun_when_full();
    assert_eq!(fed(&mut bench), []);
    assert_eq!(bench.scheduler.poll_timeout(), Some(at(500)));
    bench.now = at(500);
    // The first bytes of each, and no more of them than the source may be asked for so.
    let first = range(0, 64 * KIB);
    let expected: Vec<_> = streams[..16].iter().map(|&stream| (stream, first)).collect();
    assert_eq!(fed(&mut bench), expected);
    assert_eq!(bench.scheduler.poll_timeout(), None, "the others wait for one of those");
    bench.now = at(10_000);
    assert_eq!(fed(&mut bench), []);
}

#[test]
fn the_next_stream_is_asked_for_when_one_of_those_is_done() {
    let (mut bench, streams) = begun_when_full();
    fed(&mut bench);
    bench.now = at(500);
    fed(&mut bench);
    let large = std::mem::replace(&mut bench.stream, streams[3]);
    bench.held(64 * KIB, &[]);
    assert_eq!(fed(&mut bench), [(streams[16], range(0, 64 * KIB))]);
    // One that is closed leaves its place too.
    bench.scheduler.handle_stream_closed(streams[5], bench.now);
    assert_eq!(fed(&mut bench), [(streams[17], range(0, 64 * KIB))]);
    // Nobody waits for room on a stream of which something is under way.
    bench.stream = large;
    assert_eq!(bench.scheduler.poll_timeout(), Some(at(1000)), "the fourth stream is empty again");
}
