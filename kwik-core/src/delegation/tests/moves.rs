//! At the end of a plan, what a slow path has not begun goes to a faster one, for nothing.

use super::*;

const ONE: PathId = PathId::new(1);
const TWO: PathId = PathId::new(2);

/// All is handed out, path 2 has delivered its part, and path 1 sends `rate` bytes a second. What path 1 owes, in order.
fn ending(rate: u64, state: PathState) -> (Bench, Vec<(DelegationId, ByteRange)>) {
    let mut bench = Bench::new(MIB, Candidates::All, Local::None);
    let (slow, fast): (Vec<_>, Vec<_>) =
        bench.orders().into_iter().partition(|order| order.0 == ONE);
    bench.now = at(100);
    let mut status = bench.status(ONE, state);
    (status.received_bytes, status.busy_us) = (rate / 10, 100_000);
    bench.scheduler.handle_path_status(&status, bench.now);
    let mut status = bench.status(TWO, PathState::Live);
    (status.received_bytes, status.busy_us) = (512 * KIB, 100_000);
    bench.scheduler.handle_path_status(&status, bench.now);
    let held: Vec<_> = fast.into_iter().map(|(path, _, range)| (range, path)).collect();
    let mut owed: Vec<_> = slow.into_iter().map(|(_, id, range)| (id, range)).collect();
    owed.sort_by_key(|(_, range)| range.start());
    let reached = if owed[0].1.start() == Offset::ZERO { 0 } else { owed[0].1.start().value() };
    bench.held(reached, &held);
    (bench, owed)
}

/// What was taken from path 1, and what path 2 is asked for.
fn decided(bench: &mut Bench) -> (Vec<DelegationId>, Vec<ByteRange>) {
    let (mut taken, mut asked) = (Vec::new(), Vec::new());
    for decision in bench.decisions() {
        match decision {
            Decision::Revoke { path: ONE, delegation, .. } => taken.push(delegation),
            Decision::Delegate { path: TWO, delegation } => asked.push(delegation.range),
            _ => {}
        }
    }
    (taken, asked)
}

#[test]
fn the_last_ranges_of_a_slow_path_are_moved_and_the_one_that_it_sends_is_not() {
    let (mut bench, owed) = ending(100_000, PathState::Live);
    let before = bench.scheduler.stats().redundancy_charged;
    let (taken, asked) = decided(&mut bench);
    let (first, rest) = (owed[0], &owed[1..]);
    // The last one goes first.
    assert_eq!(taken, rest.iter().rev().map(|(id, _)| *id).collect::<Vec<_>>());
    let (moved, copies): (Vec<&ByteRange>, Vec<&ByteRange>) =
        asked.iter().partition(|range| rest.iter().any(|(_, it)| it == *range));
    assert_eq!(moved.len(), rest.len());
    // The tail of the first one is copied: that alone costs something.
    assert!(copies.iter().all(|copy: &&ByteRange| first.1.covers(**copy)));
    let copied: u64 = copies.iter().map(|copy| copy.len()).sum();
    assert_eq!(bench.scheduler.stats().redundancy_charged - before, copied);
}

#[test]
fn what_the_path_will_have_begun_by_then_stays_with_it() {
    // 256 KiB in 26 ms: the order would come after them.
    let (mut bench, _) = ending(10_000_000, PathState::Live);
    assert_eq!(decided(&mut bench).0, []);
}

#[test]
fn a_server_that_goes_away_keeps_what_it_has() {
    let (mut bench, _) = ending(100_000, PathState::Draining);
    assert_eq!(decided(&mut bench), (vec![], vec![]));
}
