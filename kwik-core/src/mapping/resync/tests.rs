#![allow(clippy::unwrap_used, reason = "a test may panic")]

use kwik_proto::StreamId;
use proptest::prelude::*;

use super::*;

const EDGE: PathId = PathId::new(1);
const RTT: Duration = Duration::from_millis(300);

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

fn entry(carrier: u64) -> MappingEntry {
    let stream = StreamId::from_wire(4).unwrap();
    MappingEntry { carrier, stream, delegation: None, promised: None }
}

fn ask(resync: &mut Resync, carrier: u64, now: u64) -> u64 {
    match resync.handle_corrupt(EDGE, carrier, RTT, at(now)) {
        ResyncStep::Query { path: EDGE, query } => {
            assert_eq!(query.carriers, [carrier]);
            query.query
        }
        step => panic!("{step:?}"),
    }
}

fn answer(query: u64, mappings: &[MappingEntry]) -> MappingSnapshot {
    MappingSnapshot { query, mappings: mappings.to_vec() }
}

const ISOLATE: ResyncStep = ResyncStep::Isolate { path: EDGE, carrier: 7 };

#[test]
fn an_explanation_in_time_reroutes() {
    let mut resync = Resync::default();
    let query = ask(&mut resync, 7, 0);
    assert!(resync.is_dropping(EDGE, 7));
    assert_eq!(resync.poll_timeout(), Some(at(600)));
    let step = resync.handle_snapshot(EDGE, &answer(query, &[entry(3), entry(7)]), |_| true);
    assert_eq!(step, Some(ResyncStep::Reroute { path: EDGE, carrier: 7, entry: entry(7) }));
    assert!(!resync.is_dropping(EDGE, 7));
    assert_eq!((resync.poll_timeout(), resync.handle_timeout(at(999))), (None, None));
}

#[test]
fn no_answer_within_two_round_trips_isolates() {
    let mut resync = Resync::default();
    let query = ask(&mut resync, 7, 0);
    assert_eq!(resync.handle_timeout(at(599)), None);
    assert_eq!(resync.handle_timeout(at(600)), Some(ISOLATE));
    assert_eq!(resync.handle_timeout(at(600)), None);
    assert_eq!(resync.handle_snapshot(EDGE, &answer(query, &[entry(7)]), |_| true), None);
    assert!(resync.is_dropping(EDGE, 7));
}

#[test]
fn an_answer_that_explains_nothing_isolates() {
    let mut resync = Resync::default();
    let query = ask(&mut resync, 7, 0);
    let silent = answer(query, &[entry(3)]);
    assert_eq!(resync.handle_snapshot(EDGE, &silent, |_| true), Some(ISOLATE));

    let mut resync = Resync::default();
    let query = ask(&mut resync, 7, 0);
    let lie = answer(query, &[entry(7)]);
    assert_eq!(resync.handle_snapshot(EDGE, &lie, |_| false), Some(ISOLATE));
}

#[test]
fn the_second_contradiction_isolates() {
    let mut resync = Resync::default();
    let query = ask(&mut resync, 7, 0);
    assert_eq!(resync.handle_corrupt(EDGE, 7, RTT, at(1)), ResyncStep::Waiting);
    resync.handle_snapshot(EDGE, &answer(query, &[entry(7)]), |_| true);
    assert_eq!(resync.handle_corrupt(EDGE, 7, RTT, at(2)), ISOLATE);
    assert_eq!(resync.handle_corrupt(EDGE, 7, RTT, at(3)), ResyncStep::Waiting);
}

#[test]
fn answers_of_other_paths_and_to_other_questions_do_nothing() {
    let mut resync = Resync::default();
    let query = ask(&mut resync, 7, 0);
    let right = answer(query, &[entry(7)]);
    assert_eq!(resync.handle_snapshot(PathId::new(2), &right, |_| true), None);
    let wrong = answer(query + 1, &[entry(7)]);
    assert_eq!(resync.handle_snapshot(EDGE, &wrong, |_| true), None);
    assert!(resync.is_dropping(EDGE, 7));
}

#[test]
fn a_path_with_too_many_doubts_is_not_asked() {
    let mut resync = Resync::default();
    for carrier in 0..Resync::MAX_PER_PATH as u64 {
        ask(&mut resync, carrier, 0);
    }
    let step = resync.handle_corrupt(EDGE, 999, RTT, at(0));
    assert_eq!(step, ResyncStep::Isolate { path: EDGE, carrier: 999 });
    assert_eq!(resync.len(), Resync::MAX_PER_PATH);
    let step = resync.handle_corrupt(PathId::new(2), 999, RTT, at(0));
    assert!(matches!(step, ResyncStep::Query { .. }), "other paths do not pay");
}

#[test]
fn ends_leave_nothing_behind() {
    let mut resync = Resync::default();
    ask(&mut resync, 3, 0);
    ask(&mut resync, 7, 0);
    ask(&mut resync, 11, 0);
    resync.handle_closed(EDGE, 3);
    assert_eq!(resync.len(), 2);
    resync.handle_path_closed(EDGE);
    assert!(resync.is_empty() && resync.poll_timeout().is_none());
}

#[test]
fn a_near_server_has_a_least_time_to_answer() {
    let mut resync = Resync::default();
    resync.handle_corrupt(EDGE, 7, Duration::ZERO, at(0));
    assert_eq!(resync.poll_timeout(), Some(at(250)));
}

proptest! {
    #[test]
    fn any_history_stays_bounded_and_settles(
        steps in prop::collection::vec((0_u8..5, 0_u16..3, 0_u64..5, 0_u64..20, any::<bool>()), 0..100),
    ) {
        let (mut resync, mut now) = (Resync::default(), 0);
        for (kind, path, carrier, query, fits) in steps {
            let path = PathId::new(path);
            now += query;
            match kind {
                0 => drop(resync.handle_corrupt(path, carrier, RTT, at(now))),
                1 => drop(resync.handle_snapshot(path, &answer(query, &[entry(carrier)]), |_| fits)),
                2 => resync.handle_closed(path, carrier),
                3 => resync.handle_path_closed(path),
                _ => {
                    while resync.handle_timeout(at(now)).is_some() {}
                    prop_assert!(resync.poll_timeout().is_none_or(|due| due > at(now)));
                }
            }
            prop_assert!(resync.len() <= 15);
        }
    }
}
