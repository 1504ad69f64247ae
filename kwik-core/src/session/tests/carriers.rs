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

/// Codes with which a receiver refuses a carrier of which it cannot tell the stream.
const REFUSALS: [ErrorCode; 3] =
    [ErrorCode::HeaderMissing, ErrorCode::FrameEncoding, ErrorCode::Mapping];

/// What the driver does for the half that is sent.
fn stopped_half(id: u64, code: ErrorCode) -> Output {
    Output::Stream(StreamAction::Stopped(stream(id), code.quic_code()))
}

#[test]
fn a_carrier_that_the_primary_refuses_fails_its_stream_in_both_directions() {
    for code in REFUSALS {
        let mut bench = Bench::attached(EDGE);
        bench.client.handle_opened(4, stream(0));
        bench.client.handle_refusal(4, code.quic_code());
        bench.drain();
        assert_eq!(bench.failed(stream(0)), broken(code));
        assert!(bench.asked.contains(&stopped_half(0, code)), "{:?}", bench.asked);
    }
}

#[test]
fn a_carrier_that_is_stopped_for_another_reason_ends_nothing() {
    for code in [ErrorCode::StreamClosed.quic_code(), ErrorCode::SessionClosed.quic_code(), 7] {
        let mut bench = Bench::attached(EDGE);
        bench.client.handle_opened(4, stream(0));
        bench.client.handle_refusal(4, code);
        bench.client.handle_refusal(8, ErrorCode::HeaderMissing.quic_code());
        bench.drain();
        assert_eq!(bench.failed(stream(0)), None);
        assert_eq!(bench.asked, []);
    }
}

#[test]
fn what_the_primary_sends_is_its_own_to_end_once_it_answered() {
    let mut bench = answered();
    bench.client.handle_refusal(4, ErrorCode::FrameEncoding.quic_code());
    bench.drain();
    assert_eq!(bench.failed(stream(0)), None);
    assert!(bench.asked.contains(&stopped_half(0, ErrorCode::FrameEncoding)));
}

mod of_the_primary {
    use super::*;
    use crate::session::PrimarySession;
    use crate::session::primary::{Admitted, Output as PrimaryOutput};

    /// With stream 1 of its own on carrier 1, which is not answered.
    fn primary() -> PrimarySession {
        let (config, now) = (SessionConfig::default(), Instant::ZERO);
        let mut primary = PrimarySession::new(&config, &hello(), SESSION, 7, now).unwrap();
        assert_eq!(primary.open_stream(StreamKind::Bidirectional), Some(stream(1)));
        primary.handle_opened(1, stream(1));
        outputs(&mut primary);
        primary
    }

    fn outputs(primary: &mut PrimarySession) -> Vec<PrimaryOutput> {
        std::iter::from_fn(|| primary.poll_output(Instant::ZERO)).collect()
    }

    fn failed(outputs: &[PrimaryOutput], id: u64, code: ErrorCode) -> bool {
        let failure = Failure::Broken { code };
        let stop = StreamStop { stream: stream(id), error_code: code.quic_code() };
        let read = PrimaryOutput::Stream(StreamAction::Fail(stream(id), failure));
        let told = PrimaryOutput::Send(ControlFrame::StreamStop(stop));
        assert_eq!(outputs.contains(&read), outputs.contains(&told));
        outputs.contains(&read)
    }

    fn stopped(outputs: &[PrimaryOutput], id: u64, code: ErrorCode) -> bool {
        let action = StreamAction::Stopped(stream(id), code.quic_code());
        outputs.contains(&PrimaryOutput::Stream(action))
    }

    #[test]
    fn a_carrier_that_the_client_refuses_fails_its_stream() {
        for code in REFUSALS {
            let mut primary = primary();
            primary.handle_refusal(1, code.quic_code());
            let outputs = outputs(&mut primary);
            assert!(failed(&outputs, 1, code) && stopped(&outputs, 1, code), "{outputs:?}");
        }
        let mut primary = primary();
        primary.handle_refusal(1, ErrorCode::StreamClosed.quic_code());
        primary.handle_refusal(5, ErrorCode::Mapping.quic_code());
        assert_eq!(outputs(&mut primary), []);
        assert_eq!(primary.handle_header(1, stream(1)), Ok(Admitted::Open));
        primary.handle_refusal(1, ErrorCode::Mapping.quic_code());
        let outputs = outputs(&mut primary);
        assert!(!failed(&outputs, 1, ErrorCode::Mapping), "it is answered");
        assert!(stopped(&outputs, 1, ErrorCode::Mapping));
    }

    #[test]
    fn an_answer_without_a_header_fails_its_stream() {
        let mut primary = primary();
        primary.handle_unanswered(1, ErrorCode::HeaderMissing);
        let outputs = outputs(&mut primary);
        assert!(failed(&outputs, 1, ErrorCode::HeaderMissing));
        assert!(!stopped(&outputs, 1, ErrorCode::HeaderMissing), "it still sends");
    }

    #[test]
    fn an_answer_that_names_another_stream_fails_the_one_that_was_asked() {
        let mut primary = primary();
        let refused = Ok(Admitted::Refused(ErrorCode::Mapping));
        assert_eq!(primary.handle_header(1, stream(0)), refused);
        assert!(failed(&outputs(&mut primary), 1, ErrorCode::Mapping));
    }

    #[test]
    fn a_second_public_carrier_fails_the_stream() {
        let mut primary = primary();
        for (first, second, id) in [(4, 8, 0), (6, 10, 2)] {
            assert_eq!(primary.handle_header(first, stream(id)), Ok(Admitted::Open));
            outputs(&mut primary);
            let refused = Ok(Admitted::Refused(ErrorCode::Mapping));
            assert_eq!(primary.handle_header(second, stream(id)), refused);
            assert!(failed(&outputs(&mut primary), id, ErrorCode::Mapping));
        }
    }

    #[test]
    fn a_carrier_of_the_client_is_none_for_a_stream_of_the_primary() {
        let mut primary = primary();
        let refused = Ok(Admitted::Refused(ErrorCode::StreamState));
        assert_eq!(primary.handle_header(4, stream(1)), refused);
        assert_eq!(primary.handle_header(6, stream(0)), refused);
        assert!(matches!(primary.poll_output(Instant::ZERO), Some(PrimaryOutput::Stream(_))));
    }

    #[test]
    fn the_client_is_told_what_the_primary_sends_on_public_carriers() {
        let mut primary = primary();
        primary.handle_header(4, stream(0)).unwrap();
        primary.handle_header(6, stream(2)).unwrap();
        outputs(&mut primary);
        primary.handle_control(query(Vec::new()), Instant::ZERO);
        let told = PrimaryOutput::Send(snapshot(&[(1, 1), (4, 0)]));
        assert_eq!(outputs(&mut primary), [told]);
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
