//! Two secondaries sent different bytes: the primary's copy decides, and nobody is barred before it did.

use super::*;

const RANGE: (u64, u64) = (1000, 3000);

/// Both paths sent `RANGE`, and the client dropped it.
fn disputed(local: Local) -> Bench {
    let mut bench = Bench::new(64 * KIB, Candidates::All, local);
    let orders = bench.orders();
    let [(path, _, whole)] = orders[..] else { panic!("{orders:?}") };
    bench.held(0, &[(whole, path)]);
    bench.dispute(range(RANGE.0, RANGE.1), None);
    bench
}

impl Bench {
    fn dispute(&mut self, range: ByteRange, wrong: Option<PathId>) {
        let reason = GapReason::Conflict;
        let gap = Gap { stream: self.stream, range, reason, path: wrong, delegation: None };
        self.scheduler.handle_gap(&gap, self.now);
    }

    /// The one ruling that is ordered now, and nothing else.
    fn ruling(&mut self) -> DelegationId {
        match self.decisions()[..] {
            [Decision::SupplyLocally { range, id, .. }] => {
                assert_eq!(range, super::range(RANGE.0, RANGE.1));
                id
            }
            ref other => panic!("{other:?}"),
        }
    }

    fn excluded(&mut self) -> usize {
        let events = std::iter::from_fn(|| self.scheduler.poll_event());
        events.filter(|event| matches!(event, Event::Excluded { .. })).count()
    }
}

#[test]
fn the_primary_itself_rules_on_exactly_the_disputed_bytes() {
    for local in [Local::Fallback, Local::Share] {
        let mut bench = Bench::new(64 * KIB, Candidates::All, local);
        let asked = bench.decisions();
        assert_eq!(asked.len(), 1);
        bench.held(0, &[(range(0, 64 * KIB), PathId::new(1))]);
        bench.decisions();
        bench.dispute(range(RANGE.0, RANGE.1), None);
        bench.ruling();
        assert_eq!(bench.excluded(), 0, "nobody is wrong yet");
        bench.dispute(range(RANGE.0, RANGE.1), None);
        assert_eq!(bench.decisions(), [], "asked for once");
    }
}

#[test]
fn without_a_copy_a_dispute_is_given_up_at_once() {
    let mut bench = disputed(Local::None);
    let stream = bench.stream;
    let (range, reason) = (range(RANGE.0, RANGE.1), GapReason::Conflict);
    assert_eq!(bench.decisions(), [Decision::GiveUp { stream, range, reason }]);
    let gap = Gap { stream, range, reason: GapReason::Unassigned, path: None, delegation: None };
    bench.scheduler.handle_gap(&gap, at(500));
    assert_eq!(bench.decisions(), [], "said once, and asked of nobody");
    assert_eq!(bench.excluded(), 0);
}

#[test]
fn nobody_else_is_asked_for_disputed_bytes() {
    let mut bench = disputed(Local::Fallback);
    let id = bench.ruling();
    let part = range(RANGE.0, RANGE.1);
    bench.gap(PathId::PRIMARY, id, part, GapReason::Late);
    let (stream, reason) = (bench.stream, GapReason::Unassigned);
    let gap = Gap { stream, range: part, reason, path: None, delegation: None };
    bench.scheduler.handle_gap(&gap, at(600));
    assert_eq!(bench.decisions(), []);
    bench.held(RANGE.0, &[(part, PathId::PRIMARY)]);
    assert_eq!(bench.decisions(), []);
    assert_eq!(bench.scheduler.stats().delivered_bytes, 64 * KIB);
    assert!(bench.scheduler.rulings.is_empty());
    // Settled: another loss of the same bytes is like any other.
    bench.scheduler.handle_gap(&gap, at(700));
    assert_eq!(all_bytes(&bench.orders()), part.len());
}

#[test]
fn who_was_wrong_is_barred_when_the_client_says_so() {
    let mut bench = disputed(Local::Fallback);
    bench.ruling();
    bench.dispute(range(RANGE.0, RANGE.1), Some(PathId::new(2)));
    assert_eq!(bench.excluded(), 1);
    assert_eq!(bench.decisions(), [], "the bytes are the primary's by now");
}

#[test]
fn a_ruling_that_fails_is_tried_again_as_long_as_there_is_a_copy() {
    let mut bench = disputed(Local::Fallback);
    let part = range(RANGE.0, RANGE.1);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let id = bench.ruling();
        bench.gap(PathId::PRIMARY, id, part, GapReason::SourceFailed);
        assert_eq!(bench.decisions(), [], "not at once");
        let due = bench.scheduler.poll_timeout().unwrap();
        pauses.push(due.since(bench.now).as_millis());
        bench.now = due;
    }
    assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 4000, 4000, 4000]);
    bench.ruling();
    bench.held(RANGE.0, &[(part, PathId::PRIMARY)]);
    bench.decisions();
    // What failed before does not count against the next dispute.
    bench.dispute(range(RANGE.0, RANGE.1), None);
    let id = bench.ruling();
    bench.gap(PathId::PRIMARY, id, part, GapReason::SourceFailed);
    let due = bench.scheduler.poll_timeout().unwrap();
    assert_eq!(due.since(bench.now), ms(250));
}

#[test]
fn whoever_still_owes_disputed_bytes_owes_them_no_more() {
    let mut bench = Bench::new(64 * KIB, Candidates::All, Local::Fallback);
    let [(path, id, whole)] = bench.orders()[..] else { panic!() };
    bench.held(0, &[(range(0, 10_000), path)]);
    bench.dispute(range(RANGE.0, RANGE.1), None);
    bench.ruling();
    let owed = |bench: &Bench| bench.scheduler.path_share(path).unwrap().outstanding_bytes;
    assert_eq!(owed(&bench), whole.len() - 10_000);
    let rest = range(10_000, whole.end().value());
    bench.held(RANGE.0, &[(range(RANGE.1, 10_000), path), (rest, path)]);
    assert_eq!(owed(&bench), 0);
    assert!(bench.scheduler.book.ledger.entry(id).is_none(), "its part of the range is done");
}

#[test]
fn disputed_bytes_that_were_read_are_ruled_on_too() {
    let mut bench = Bench::new(64 * KIB, Candidates::All, Local::Fallback);
    bench.orders();
    bench.held(20_000, &[]);
    bench.decisions();
    bench.dispute(range(RANGE.0, RANGE.1), None);
    let id = bench.ruling();
    bench.held(30_000, &[]);
    let cancel = Decision::CancelLocal { id };
    assert!(!bench.decisions().contains(&cancel), "it still has to decide");
    assert!(bench.scheduler.rulings.is_empty());
}

#[test]
fn a_ruling_ends_with_its_stream() {
    let mut bench = disputed(Local::Fallback);
    let id = bench.ruling();
    bench.scheduler.handle_stream_closed(bench.stream, at(1));
    assert_eq!(bench.decisions(), [Decision::CancelLocal { id }]);
    assert!(bench.scheduler.rulings.is_empty());
}
