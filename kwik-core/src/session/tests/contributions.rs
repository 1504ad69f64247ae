//! Who may contribute what, and what happens to the rest.

use super::*;
use crate::session::client::CarrierEnd;

fn open_ended(id: u64) -> StreamHeader {
    let (stream, kind) = (stream(id), CarrierKind::Contribution);
    StreamHeader { stream, kind, delegation: None, promised: None }
}

#[test]
fn a_contribution_needs_a_grant_that_covers_it() {
    let mut bench = Bench::attached(EDGE);
    let refused = Err(ErrorCode::NotGranted);
    assert_eq!(bench.header(EDGE, 3, contribution(stream(0), 1, range(0, 100))), refused);
    assert_eq!(bench.header(EDGE, 7, open_ended(0)), refused);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    assert_eq!(bench.header(EDGE, 11, contribution(stream(0), 1, range(0, 101))), refused);
    assert_eq!(bench.header(OTHER, 3, contribution(stream(0), 1, range(0, 100))), refused);
    let route = bench.header(EDGE, 15, contribution(stream(0), 1, range(0, 100))).unwrap();
    assert_eq!(route.unwrap().allowed, Some(range(0, 100).into()));
}

/// STREAM-12: a grant without an end is no word about delegations.
#[test]
fn a_delegation_that_nobody_gave_is_refused_under_a_grant_without_end() {
    let mut bench = Bench::attached(EDGE);
    let made_up = |promised| contribution(stream(0), 1 << 40, promised);
    let refused = Err(ErrorCode::NotGranted);
    bench.order(EDGE, 1, 1, vec![open_grant(stream(0))]);
    assert_eq!(bench.header(EDGE, 3, made_up(range(200, 300))), refused);
    bench.order(EDGE, 1, 2, vec![delegation(1, stream(0), range(0, 100))]);
    assert_eq!(bench.header(EDGE, 7, made_up(range(50, 101))), refused);
    // Nor does it widen a delegation that was given.
    assert_eq!(bench.header(EDGE, 11, contribution(stream(0), 1, range(0, 101))), refused);
    bench.header(EDGE, 15, contribution(stream(0), 1, range(0, 100))).unwrap().unwrap();
    bench.header(EDGE, 19, open_ended(0)).unwrap().unwrap();
    assert_eq!(bench.state(EDGE), Some(PathState::Live));
}

/// STREAM-12: what else the header of a public carrier says is ignored.
#[test]
fn a_public_carrier_that_names_a_delegation_is_its_streams() {
    let mut bench = Bench::established();
    for (carrier, delegation, promised) in
        [(1, Some(DelegationId(9)), None), (5, Some(DelegationId(9)), Some(range(3, 7)))]
    {
        let header = StreamHeader { delegation, promised, ..public(stream(carrier)) };
        let route = bench.header(PathId::PRIMARY, carrier, header).unwrap().unwrap();
        assert_eq!(route.allowed, None);
    }
}

/// STREAM-5, for the header of a supply as for one of a public carrier.
#[test]
fn a_supply_for_a_stream_beyond_all_limits_ends_the_session() {
    let mut bench = Bench::established();
    let header = contribution(stream(4 * 1000 + 1), 1, range(0, 100));
    assert_eq!(bench.header(PathId::PRIMARY, 3, header), Err(ErrorCode::LimitExceeded));
    assert_eq!(bench.closed_with(), Some(ErrorCode::LimitExceeded));
}

#[test]
fn bytes_outside_the_promise_are_not_taken() {
    let mut bench = Bench::attached(EDGE);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    bench.header(EDGE, 3, contribution(stream(0), 1, range(0, 100))).unwrap().unwrap();
    assert!(!bench.data(EDGE, 3, 50, 51));
    assert!(bench.data(EDGE, 3, 50, 50));
}

#[test]
fn a_grant_outlives_its_revocation_and_its_path() {
    let mut bench = Bench::attached(EDGE);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    let revoke = Revoke { stream: stream(0), delegation: Some(DelegationId(1)) };
    bench.order(EDGE, 1, 2, vec![Order::Revoke(revoke)]);
    bench.header(EDGE, 3, contribution(stream(0), 1, range(0, 100))).unwrap().unwrap();
    assert!(bench.data(EDGE, 3, 0, 100));
}

#[test]
fn a_stream_that_is_over_takes_nothing_without_blame() {
    let mut bench = Bench::attached(EDGE);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    let reset = StreamReset { stream: stream(0), error_code: 1, final_size: offset(100) };
    bench.primary(ControlFrame::StreamReset(reset));
    let late = bench.header(EDGE, 3, contribution(stream(0), 1, range(0, 100)));
    assert_eq!(late, Err(ErrorCode::StreamClosed));
    assert_eq!(bench.state(EDGE), Some(PathState::Live));
}

#[test]
fn only_what_the_primary_sends_can_be_contributed_to() {
    let mut bench = Bench::attached(EDGE);
    bench.client.open_stream(StreamKind::Unidirectional).unwrap();
    bench.drain();
    assert_eq!(bench.header(EDGE, 3, open_ended(2)), Err(ErrorCode::StreamState));
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(2), range(0, 100))]);
    assert_eq!(bench.closed_with(), Some(ErrorCode::StreamState));
}

#[test]
fn a_secondary_has_no_public_streams() {
    let mut bench = Bench::attached(EDGE);
    let header = StreamHeader { kind: CarrierKind::Public, ..open_ended(0) };
    assert_eq!(bench.header(EDGE, 3, header), Err(ErrorCode::NotGranted));
}

#[test]
fn the_primarys_supply_needs_no_grant() {
    let mut bench = Bench::established();
    let header = contribution(stream(0), 1, range(0, 100));
    let route = bench.header(PathId::PRIMARY, 3, header).unwrap().unwrap();
    assert_eq!(route.allowed, Some(range(0, 100).into()));
}

/// A stream that was never announced is asked about; returns the query's number.
fn doubt(bench: &mut Bench, carrier: u64) -> u64 {
    bench.forget();
    assert_eq!(bench.header(EDGE, carrier, open_ended(41)), Ok(Routed::Drain));
    match bench.sent(EDGE)[..] {
        [ControlFrame::MappingQuery(query)] => {
            assert_eq!(query.carriers, [carrier]);
            query.query
        }
        ref other => panic!("{other:?}"),
    }
}

fn explain(query: u64, carrier: u64, promised: Option<ByteRange>) -> ControlFrame {
    let (stream, delegation) = (stream(0), Some(DelegationId(1)));
    let mappings = vec![Mapping { carrier, stream, delegation, promised }];
    ControlFrame::MappingSnapshot(MappingSnapshot { query, mappings })
}

#[test]
fn a_snapshot_explains_only_what_was_granted() {
    let mut bench = Bench::attached(EDGE);
    for (carrier, promised) in [(3, Some(range(0, 100))), (7, None)] {
        let query = doubt(&mut bench, carrier);
        bench.secondary(EDGE, 1, explain(query, carrier, promised));
        let (path, code) = (EDGE, ErrorCode::Mapping);
        assert!(bench.asked.contains(&Output::StopCarrier { path, carrier, code }), "{promised:?}");
    }
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    let query = doubt(&mut bench, 11);
    bench.secondary(EDGE, 1, explain(query, 11, Some(range(0, 100))));
    let route = Route { stream: stream(0), allowed: Some(range(0, 100).into()) };
    assert!(bench.asked.contains(&Output::Reroute { path: EDGE, carrier: 11, route }));
    assert_eq!(bench.state(EDGE), Some(PathState::Live), "never the path");
}

#[test]
fn a_snapshot_that_nobody_asked_for_changes_nothing() {
    let mut bench = Bench::attached(EDGE);
    bench.secondary(EDGE, 1, explain(0, 3, None));
    bench.primary(explain(0, 3, None));
    assert!(bench.sent.is_empty() && bench.asked.is_empty());
}

#[test]
fn a_finished_contribution_is_no_gap() {
    let mut bench = Bench::attached(EDGE);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    bench.header(EDGE, 3, contribution(stream(0), 1, range(0, 100))).unwrap().unwrap();
    assert!(bench.data(EDGE, 3, 0, 100));
    bench.end(EDGE, 3, CarrierEnd::Finished);
    assert!(bench.gaps().is_empty());
}

#[test]
fn holders_of_open_ended_grants_hear_of_the_window() {
    let mut bench = Bench::attached(EDGE);
    bench.attach(OTHER, 1);
    bench.order(EDGE, 1, 1, vec![open_grant(stream(0))]);
    bench.order(OTHER, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    let window = bench.halves[&stream(0)].max_offset();
    assert_eq!(bench.windows.get(&(EDGE, stream(0))), Some(&window));
    assert_eq!(bench.windows.get(&(OTHER, stream(0))), None);
}

#[test]
fn what_lies_between_two_grants_was_never_granted() {
    let mut bench = Bench::attached(EDGE);
    let grant = |start: u64, end: u64| {
        let max_offset = offset(65_536);
        let (start, end) = (offset(start), Some(offset(end)));
        Order::Grant(Grant { stream: stream(0), start, end, max_offset })
    };
    bench.order(EDGE, 1, 1, vec![grant(0, 100), grant(1000, 1100)]);
    let header = StreamHeader { kind: CarrierKind::Contribution, ..public(stream(0)) };
    bench.header(EDGE, 3, header).unwrap().unwrap();
    assert!(bench.data(EDGE, 3, 0, 100));
    assert!(!bench.data(EDGE, 3, 500, 10));
    assert!(!bench.data(EDGE, 3, 990, 20), "not even in part");
    assert_eq!(bench.read(stream(0)), 100);
    assert!(bench.data(EDGE, 3, 50, 50), "what was read does no harm");
    assert!(bench.data(EDGE, 3, 1000, 100));
}
