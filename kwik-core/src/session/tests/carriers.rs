//! Public carriers that break the rules, sources that are gone, and questions about carriers.

use super::*;
use crate::session::client::CarrierEnd;

const PRIMARY: PathId = PathId::PRIMARY;

fn broken(code: ErrorCode) -> Option<Failure> {
    Some(Failure::Broken { code })
}

/// Stream 0 with its public carrier 4, which sent 100 bytes.
fn answered() -> Bench {
    let mut bench = Bench::attached(EDGE);
    bench.client.handle_opened(4, stream(0));
    bench.header(PRIMARY, 4, public(stream(0))).unwrap().unwrap();
    assert!(bench.data(PRIMARY, 4, 0, 100));
    bench.forget();
    bench
}

#[test]
fn a_public_carrier_that_breaks_a_rule_fails_its_stream() {
    for (end, code) in [
        (CarrierEnd::Faulty(ErrorCode::FrameEncoding), ErrorCode::FrameEncoding),
        (CarrierEnd::Faulty(ErrorCode::FinalSize), ErrorCode::FinalSize),
        (CarrierEnd::Finished, ErrorCode::FinalSize),
    ] {
        let mut bench = answered();
        bench.end(PRIMARY, 4, end);
        assert_eq!(bench.failed(stream(0)), broken(code), "{end:?}");
        let stopped = |frame: &&ControlFrame| matches!(frame, ControlFrame::StreamStop(stop) if stop.stream == stream(0));
        assert!(bench.sent(PRIMARY).iter().any(stopped));
        assert_eq!(bench.read(stream(0)), 100, "what came can be read");
        assert!(!bench.client.is_closed());
    }
}

#[test]
fn a_public_carrier_may_end_after_its_final_size_or_by_a_reset() {
    let mut bench = answered();
    bench.fin(4, 200);
    bench.end(PRIMARY, 4, CarrierEnd::Finished);
    assert_eq!(bench.failed(stream(0)), None, "the rest is delegated");
    for end in [CarrierEnd::Reset, CarrierEnd::Lost] {
        let mut bench = answered();
        bench.end(PRIMARY, 4, end);
        assert_eq!(bench.failed(stream(0)), None, "the control stream says why");
    }
}

#[test]
fn a_frame_for_another_stream_on_a_public_carrier_fails_its_stream() {
    let mut bench = answered();
    let (id, _) = bench.sources.remove(&(PRIMARY, 4)).unwrap();
    let half = bench.halves.get_mut(&id);
    bench.client.handle_mismatch(PRIMARY, 4, half, bench.now);
    bench.drain();
    assert_eq!(bench.failed(stream(0)), broken(ErrorCode::Mapping));
    assert_eq!(bench.stopped(PRIMARY, 4), Some(ErrorCode::Mapping));
}

#[test]
fn a_second_public_carrier_fails_the_stream() {
    let mut bench = answered();
    assert_eq!(bench.header(PRIMARY, 8, public(stream(0))), Err(ErrorCode::Mapping));
    assert_eq!(bench.failed(stream(0)), broken(ErrorCode::Mapping));
}

#[test]
fn an_answer_that_names_another_stream_fails_the_one_that_was_asked() {
    let mut bench = Bench::attached(EDGE);
    bench.client.open_stream(StreamKind::Bidirectional).unwrap();
    bench.drain();
    bench.client.handle_opened(4, stream(0));
    bench.client.handle_opened(8, stream(4));
    assert_eq!(bench.header(PRIMARY, 4, public(stream(4))), Err(ErrorCode::Mapping));
    assert_eq!(bench.failed(stream(0)), broken(ErrorCode::Mapping));
    assert_eq!(bench.failed(stream(4)), None);
    bench.header(PRIMARY, 8, public(stream(4))).unwrap().unwrap();
}

#[test]
fn an_answer_without_a_header_fails_its_stream() {
    for (end, code) in [
        (CarrierEnd::Faulty(ErrorCode::HeaderMissing), ErrorCode::HeaderMissing),
        (CarrierEnd::Finished, ErrorCode::FinalSize),
    ] {
        let mut bench = Bench::attached(EDGE);
        bench.client.handle_opened(4, stream(0));
        bench.end(PRIMARY, 4, end);
        assert_eq!(bench.failed(stream(0)), broken(code));
    }
}

#[test]
fn the_primarys_bytes_beyond_the_window_end_the_session_with_its_code() {
    let mut bench = answered();
    assert!(!bench.data(PRIMARY, 4, 1 << 40, 1));
    bench.end(PRIMARY, 4, CarrierEnd::Faulty(ErrorCode::FlowControl));
    assert_eq!(bench.closed_with(), Some(ErrorCode::FlowControl));
}

fn query(carriers: Vec<u64>) -> ControlFrame {
    ControlFrame::MappingQuery(MappingQuery { query: 7, carriers })
}

fn snapshot(mappings: &[(u64, u64)]) -> ControlFrame {
    let entry = |&(carrier, id): &(u64, u64)| Mapping {
        carrier,
        stream: stream(id),
        delegation: None,
        promised: None,
    };
    let mappings = mappings.iter().map(entry).collect();
    ControlFrame::MappingSnapshot(MappingSnapshot { query: 7, mappings })
}

#[test]
fn the_client_tells_both_kinds_of_servers_what_it_sends() {
    let mut bench = answered();
    bench.client.open_stream(StreamKind::Unidirectional).unwrap();
    bench.drain();
    bench.client.handle_opened(6, stream(2));
    bench.header(PRIMARY, 1, public(stream(1))).unwrap().unwrap();
    bench.header(PRIMARY, 3, public(stream(3))).unwrap().unwrap();
    bench.forget();
    bench.primary(query(Vec::new()));
    assert_eq!(bench.sent(PRIMARY), [&snapshot(&[(1, 1), (4, 0), (6, 2)])]);
    bench.forget();
    bench.primary(query(vec![6, 10]));
    assert_eq!(bench.sent(PRIMARY), [&snapshot(&[(6, 2)])]);
    bench.secondary(EDGE, 1, query(vec![3]));
    assert_eq!(bench.sent(EDGE), [&snapshot(&[])]);
    assert_eq!((bench.closed_with(), bench.state(EDGE)), (None, Some(PathState::Live)));
}

#[test]
fn a_header_that_names_a_delegation_alone_means_its_range() {
    let mut bench = Bench::attached(EDGE);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    let bare = |id| StreamHeader { promised: None, ..contribution(stream(0), id, range(0, 0)) };
    assert_eq!(bench.header(EDGE, 3, bare(2)), Err(ErrorCode::NotGranted), "nobody ordered it");
    let route = bench.header(EDGE, 7, bare(1)).unwrap().unwrap();
    assert_eq!(route.allowed, Some(range(0, 100).into()));
    bench.data(EDGE, 7, 0, 40);
    bench.end(EDGE, 7, CarrierEnd::Reset);
    assert_eq!(bench.gaps()[0].range, range(40, 100));
}

#[test]
fn a_header_that_promises_less_than_its_order_leaves_the_rest_a_gap() {
    let mut bench = Bench::attached(EDGE);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    bench.header(EDGE, 3, contribution(stream(0), 1, range(0, 10))).unwrap().unwrap();
    bench.data(EDGE, 3, 0, 10);
    bench.end(EDGE, 3, CarrierEnd::Finished);
    assert_eq!((bench.gaps()[0].range, bench.gaps()[0].reason), (range(10, 100), GapReason::Reset));
}

#[test]
fn a_contribution_whose_promise_was_taken_back_still_tells_what_is_missing() {
    let mut bench = Bench::attached(EDGE);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    bench.header(EDGE, 3, contribution(stream(0), 1, range(0, 100))).unwrap().unwrap();
    let revoke = Revoke { stream: stream(0), delegation: Some(DelegationId(1)) };
    bench.order(EDGE, 1, 2, vec![Order::Revoke(revoke)]);
    bench.end(EDGE, 3, CarrierEnd::Reset);
    assert_eq!(bench.gaps()[0].range, range(0, 100));
}

#[test]
fn an_explanation_that_contradicts_the_mapping_stops_the_carrier() {
    let mut bench = Bench::attached(EDGE);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    bench.header(EDGE, 3, contribution(stream(0), 1, range(0, 100))).unwrap().unwrap();
    bench.forget();
    assert_eq!(
        bench.header(EDGE, 7, contribution(stream(41), 1, range(0, 100))),
        Ok(Routed::Drain)
    );
    let [ControlFrame::MappingQuery(asked)] = bench.sent(EDGE)[..] else { panic!() };
    let query = asked.query;
    let (carrier, delegation) = (7, Some(DelegationId(1)));
    let entry = Mapping { carrier, stream: stream(0), delegation, promised: Some(range(0, 100)) };
    let snapshot = MappingSnapshot { query, mappings: vec![entry] };
    bench.secondary(EDGE, 1, ControlFrame::MappingSnapshot(snapshot));
    assert_eq!(bench.stopped(EDGE, 7), Some(ErrorCode::Mapping));
}

#[test]
fn the_sources_of_a_path_that_is_gone_are_freed() {
    for drained in [false, true] {
        let mut bench = Bench::attached(EDGE);
        bench.order(EDGE, 1, 1, vec![open_grant(stream(0))]);
        let header = StreamHeader { kind: CarrierKind::Contribution, ..public(stream(0)) };
        bench.header(EDGE, 3, header).unwrap().unwrap();
        assert_eq!(bench.halves[&stream(0)].source_count(), 1);
        if drained {
            bench.primary(ControlFrame::RemovePath(RemovePath { path: EDGE, drain_ms: 5000 }));
        } else {
            bench.client.handle_lost(EDGE, Epoch(1), ErrorCode::Unreachable, "lost", bench.now);
            bench.drain();
        }
        assert_eq!(bench.state(EDGE), Some(PathState::Gone));
        assert_eq!(bench.halves[&stream(0)].source_count(), 0, "drained: {drained}");
        let open = bench.client.paths().map(|report| report.contributions).sum::<usize>();
        assert_eq!(open, 0);
    }
}
