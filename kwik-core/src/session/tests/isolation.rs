//! A secondary that lied about a stream: what becomes of its bytes, its carriers and its promises.

use super::*;
use crate::conflict::ConflictPolicy;
use crate::session::client::CarrierEnd;

/// A session under Reject, with stream 0 and the edge attached.
fn reject() -> Bench {
    let mut bench = Bench::with(SessionConfig {
        conflict_policy: ConflictPolicy::Reject,
        ..Default::default()
    });
    bench.primary(welcome());
    bench.client.open_stream(StreamKind::Bidirectional).unwrap();
    bench.client.handle_primary_rtt(ms(20), ms(1), bench.now);
    bench.drain();
    bench.attach(EDGE, 1);
    bench
}

/// The edge sends 0..1000 wrongly and promises 0..2000, and holds 5000..6000 of another order, nothing of it here yet.
fn convicted() -> Bench {
    let mut bench = reject();
    let orders = vec![
        delegation(1, stream(0), range(500, 2000)),
        delegation(2, stream(0), range(5000, 6000)),
    ];
    bench.order(EDGE, 1, 1, orders);
    bench.header(EDGE, 3, contribution(stream(0), 1, range(500, 2000))).unwrap().unwrap();
    assert!(bench.content(EDGE, 3, 500, vec![6; 500]));
    bench.header(PathId::PRIMARY, 4, public(stream(0))).unwrap().unwrap();
    bench.forget();
    assert!(bench.content(PathId::PRIMARY, 4, 400, vec![7; 200]));
    bench
}

#[test]
fn an_isolated_paths_bytes_and_promises_are_gaps_at_once() {
    let bench = convicted();
    let told: Vec<_> = bench.gaps().iter().map(|gap| (gap.range, gap.delegation)).collect();
    let (first, second) = (Some(DelegationId(1)), Some(DelegationId(2)));
    assert_eq!(told, [(range(600, 2000), first), (range(5000, 6000), second)]);
    let blamed = |gap: &Gap| gap.path == Some(EDGE) && gap.reason == GapReason::Conflict;
    assert!(bench.gaps().iter().all(blamed));
    let held = bench.sent(PathId::PRIMARY).iter().any(|frame| match frame {
        ControlFrame::StreamProgress(progress) => {
            progress.held.iter().all(|held| held.path != EDGE) && !progress.held.is_empty()
        }
        _ => false,
    });
    assert!(held, "the primary hears that the bytes are not held any more");
}

#[test]
fn an_isolated_paths_carriers_of_the_stream_are_stopped_and_none_is_taken_again() {
    let mut bench = convicted();
    assert_eq!(bench.stopped(EDGE, 3), Some(ErrorCode::DataConflict));
    assert_eq!(bench.halves[&stream(0)].source_count(), 1, "the primary's");
    let again = bench.header(EDGE, 7, contribution(stream(0), 2, range(5000, 6000)));
    assert_eq!(again, Err(ErrorCode::DataConflict));
    bench.forget();
    bench.order(EDGE, 1, 2, vec![delegation(3, stream(0), range(7000, 8000))]);
    assert_eq!(
        (bench.gaps()[0].range, bench.gaps()[0].reason),
        (range(7000, 8000), GapReason::Conflict)
    );
    assert_eq!(bench.state(EDGE), Some(PathState::Live));
}

#[test]
fn a_lie_counts_against_its_server_though_the_contribution_ended_before() {
    let mut bench = reject();
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(500, 1500))]);
    bench.header(EDGE, 3, contribution(stream(0), 1, range(500, 1500))).unwrap().unwrap();
    assert!(bench.content(EDGE, 3, 500, vec![6; 1000]));
    bench.end(EDGE, 3, CarrierEnd::Finished);
    bench.header(PathId::PRIMARY, 4, public(stream(0))).unwrap().unwrap();
    bench.forget();
    for part in [600, 700] {
        assert!(bench.content(PathId::PRIMARY, 4, part, vec![7; 100]));
    }
    assert_eq!(bench.faults(), [(EDGE, ErrorCode::DataConflict)], "once for the stream");
}

#[test]
fn isolation_is_of_one_stream() {
    let mut bench = convicted();
    bench.client.open_stream(StreamKind::Bidirectional).unwrap();
    bench.drain();
    bench.order(EDGE, 1, 2, vec![delegation(3, stream(4), range(0, 100))]);
    bench.header(EDGE, 7, contribution(stream(4), 3, range(0, 100))).unwrap().unwrap();
    assert!(bench.data(EDGE, 7, 0, 100));
}

#[test]
fn who_contradicts_bytes_of_the_primary_is_isolated() {
    let mut bench = reject();
    let orders =
        vec![delegation(1, stream(0), range(0, 2000)), delegation(2, stream(0), range(5000, 6000))];
    bench.order(EDGE, 1, 1, orders);
    bench.header(PathId::PRIMARY, 4, public(stream(0))).unwrap().unwrap();
    assert!(bench.content(PathId::PRIMARY, 4, 0, vec![7; 1000]));
    bench.header(EDGE, 3, contribution(stream(0), 2, range(5000, 6000))).unwrap().unwrap();
    assert!(bench.content(EDGE, 3, 5000, vec![6; 1000]));
    bench.header(EDGE, 7, contribution(stream(0), 1, range(0, 2000))).unwrap().unwrap();
    bench.forget();
    assert!(!bench.content(EDGE, 7, 0, vec![6; 10]));
    bench.end(EDGE, 7, CarrierEnd::Faulty(ErrorCode::DataConflict));
    let told: Vec<_> = bench.gaps().iter().map(|gap| (gap.range, gap.reason)).collect();
    let reason = GapReason::Conflict;
    assert_eq!(told, [(range(1000, 2000), reason), (range(5000, 6000), reason)]);
    assert_eq!(bench.faults(), [(EDGE, ErrorCode::DataConflict)]);
    assert_eq!(bench.stopped(EDGE, 3), Some(ErrorCode::DataConflict), "its other carrier too");
    let again = bench.header(EDGE, 11, contribution(stream(0), 1, range(0, 2000)));
    assert_eq!(again, Err(ErrorCode::DataConflict));
}

#[test]
fn what_could_have_been_read_stays_and_is_no_gap() {
    let mut bench = reject();
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 2000))]);
    bench.header(EDGE, 3, contribution(stream(0), 1, range(0, 2000))).unwrap().unwrap();
    assert!(bench.content(EDGE, 3, 0, vec![6; 1000]));
    let half = bench.halves.get_mut(&stream(0)).unwrap();
    assert!(matches!(half.read(10, bench.now), Read::Data(data) if data.len() == 10));
    assert!(bench.content(EDGE, 3, 1000, vec![6; 1000]));
    bench.header(PathId::PRIMARY, 4, public(stream(0))).unwrap().unwrap();
    bench.forget();
    assert!(bench.content(PathId::PRIMARY, 4, 1500, vec![7; 100]));
    let told: Vec<_> = bench.gaps().iter().map(|gap| gap.range).collect();
    assert_eq!(told, [range(1000, 1500), range(1600, 2000)]);
    assert_eq!(bench.read(stream(0)), 990);
}

#[test]
fn the_same_lie_is_asked_about_once() {
    let mut bench = reject();
    bench.attach(OTHER, 1);
    for (path, id) in [(EDGE, 1), (OTHER, 2)] {
        bench.order(path, 1, id, vec![delegation(id, stream(0), range(0, 2000))]);
        bench.header(path, 3, contribution(stream(0), id, range(0, 2000))).unwrap().unwrap();
    }
    assert!(bench.content(EDGE, 3, 0, vec![6; 1000]));
    assert_eq!(bench.read(stream(0)), 1000);
    bench.forget();
    for _ in 0..100 {
        assert!(bench.content(OTHER, 3, 500, vec![5; 10]));
    }
    let asked: Vec<_> = bench.gaps().iter().map(|gap| (gap.range, gap.path)).collect();
    assert_eq!(asked, [(range(500, 510), None)]);
}

/// The edge sends wrong bytes of a stream.
fn lie(bench: &mut Bench, number: u64) {
    let (id, carrier) = (stream(number * 4), number * 8 + 3);
    if number > 0 {
        bench.client.open_stream(StreamKind::Bidirectional).unwrap();
        bench.drain();
    }
    bench.order(EDGE, 1, number + 1, vec![delegation(number, id, range(0, 2000))]);
    bench.header(EDGE, carrier, contribution(id, number, range(0, 2000))).unwrap().unwrap();
    assert!(bench.content(EDGE, carrier, 0, vec![6; 1000]));
}

/// The primary sends the right ones.
fn contradict(bench: &mut Bench, number: u64) {
    let (id, carrier) = (stream(number * 4), number * 4);
    bench.header(PathId::PRIMARY, carrier, public(id)).unwrap().unwrap();
    assert!(bench.content(PathId::PRIMARY, carrier, 500, vec![7; 100]));
}

fn token_requests(bench: &Bench) -> usize {
    let asks = |frame: &&ControlFrame| matches!(frame, ControlFrame::TokenRequest(_));
    bench.sent(PathId::PRIMARY).into_iter().filter(asks).count()
}

#[test]
fn who_lies_about_three_streams_loses_the_path_for_good() {
    let mut bench = reject();
    for number in 0..2 {
        lie(&mut bench, number);
        contradict(&mut bench, number);
    }
    assert_eq!(bench.state(EDGE), Some(PathState::Live));
    lie(&mut bench, 2);
    bench.forget();
    contradict(&mut bench, 2);
    assert_eq!(bench.path_closed_with(EDGE), Some(ErrorCode::DataConflict));
    let told = bench.sent(PathId::PRIMARY).into_iter().find_map(|frame| match frame {
        ControlFrame::PathStatus(status) if status.path == EDGE => Some(*status),
        _ => None,
    });
    let told = told.map(|status| (status.state, status.reason));
    assert_eq!(told, Some((PathState::Gone, Some(ErrorCode::DataConflict))));
    bench.wait(ms(100_000));
    assert_eq!(token_requests(&bench), 0);
    bench.forget();
    bench.primary(add_path(EDGE, 2));
    bench.wait(ms(2000));
    let answer = bench.sent(PathId::PRIMARY).into_iter().find_map(|frame| match frame {
        ControlFrame::AddPathResult(result) => Some((result.epoch, result.code)),
        _ => None,
    });
    assert_eq!(answer, Some((Epoch(2), ErrorCode::DataConflict)));
    let dialled = |output: &Output| matches!(output, Output::Dial { .. });
    assert!(!bench.asked.iter().any(dialled));
    bench.attach(OTHER, 1);
    assert_eq!(bench.state(OTHER), Some(PathState::Live), "another number is another chance");
}

#[test]
fn who_is_found_out_after_it_was_lost_is_not_asked_back() {
    let mut bench = reject();
    for number in 0..3 {
        lie(&mut bench, number);
    }
    for number in 0..2 {
        contradict(&mut bench, number);
    }
    bench.client.handle_lost(EDGE, Epoch(1), ErrorCode::Unreachable, "gone", bench.now);
    bench.drain();
    contradict(&mut bench, 2);
    bench.wait(ms(100_000));
    assert_eq!((bench.faults().len(), token_requests(&bench)), (3, 0));
}

#[test]
fn a_hash_that_does_not_hold_counts_under_any_policy() {
    let mut bench = Bench::attached(EDGE);
    for number in 0..3 {
        assert_eq!(bench.state(EDGE), Some(PathState::Live));
        if number > 0 {
            bench.client.open_stream(StreamKind::Bidirectional).unwrap();
            bench.drain();
        }
        let (id, carrier) = (stream(number * 4), number * 8 + 3);
        let Order::Delegation(order) = delegation(number, id, range(0, 1000)) else { panic!() };
        let order = Order::Delegation(Delegation { blake3: Some([1; 32]), ..order });
        bench.order(EDGE, 1, number + 1, vec![order]);
        bench.header(EDGE, carrier, contribution(id, number, range(0, 1000))).unwrap().unwrap();
        bench.content(EDGE, carrier, 0, vec![6; 1000]);
        assert_eq!(bench.read(id), 0);
    }
    assert_eq!(bench.path_closed_with(EDGE), Some(ErrorCode::DataConflict));
}

#[test]
fn who_is_only_accused_keeps_the_path() {
    let mut bench = reject();
    bench.attach(OTHER, 1);
    for number in 0..5 {
        lie(&mut bench, number);
        let (id, carrier) = (stream(number * 4), number * 8 + 3);
        let order = delegation(100 + number, id, range(0, 2000));
        bench.order(OTHER, 1, number + 1, vec![order]);
        let header = contribution(id, 100 + number, range(0, 2000));
        bench.header(OTHER, carrier, header).unwrap().unwrap();
        assert!(bench.content(OTHER, carrier, 500, vec![7; 100]));
    }
    assert_eq!(bench.faults(), []);
    assert_eq!(
        (bench.state(EDGE), bench.state(OTHER)),
        (Some(PathState::Live), Some(PathState::Live))
    );
}

#[test]
fn the_hash_of_an_order_that_is_refused_holds_nothing_back() {
    let mut bench = convicted();
    let Order::Delegation(mut order) = delegation(3, stream(0), range(600, 1000)) else { panic!() };
    order.blake3 = Some([0; 32]);
    bench.order(EDGE, 1, 2, vec![Order::Delegation(order)]);
    bench.attach(OTHER, 1);
    bench.order(OTHER, 1, 1, vec![delegation(4, stream(0), range(600, 1000))]);
    bench.header(OTHER, 3, contribution(stream(0), 4, range(600, 1000))).unwrap().unwrap();
    bench.content(OTHER, 3, 600, vec![7; 400]);
    bench.content(PathId::PRIMARY, 4, 0, vec![7; 400]);
    assert_eq!(bench.halves[&stream(0)].readable_end().value(), 1000);
}
