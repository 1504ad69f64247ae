//! Frames about streams, at the client and at the primary: what is ignored, and what is the peer's error.

use super::*;
use crate::session::PrimarySession;
use crate::session::primary::Output as PrimaryOutput;

const CODE: u64 = 3;

fn reset(id: u64) -> ControlFrame {
    let (stream, final_size) = (stream(id), Offset::ZERO);
    ControlFrame::StreamReset(StreamReset { stream, error_code: CODE, final_size })
}

fn stop(id: u64) -> ControlFrame {
    ControlFrame::StreamStop(StreamStop { stream: stream(id), error_code: CODE })
}

fn closed(id: u64) -> ControlFrame {
    ControlFrame::StreamClosed(StreamClosed { stream: stream(id), complete: true })
}

fn window(id: u64) -> ControlFrame {
    ControlFrame::StreamWindow(StreamWindow { stream: stream(id), max_offset: offset(100_000) })
}

/// About the half that the receiver of the frame sends.
const OF_SENDERS: [fn(u64) -> ControlFrame; 3] = [stop, closed, window];

/// Streams 0 and 2 of the client are open, 4 is over in both halves.
fn client() -> Bench {
    let mut bench = Bench::established();
    bench.client.open_stream(StreamKind::Bidirectional).unwrap();
    bench.client.open_stream(StreamKind::Unidirectional).unwrap();
    bench.drain();
    bench.primary(reset(4));
    bench.primary(closed(4));
    bench.read(stream(4));
    assert!(!bench.halves.contains_key(&stream(4)));
    bench.forget();
    bench
}

fn client_after(frame: ControlFrame) -> (Option<ErrorCode>, usize) {
    let mut bench = client();
    bench.primary(frame);
    let streams = bench.asked.iter().filter(|output| matches!(output, Output::Stream(_))).count();
    (bench.closed_with(), streams)
}

#[test]
fn a_client_ignores_what_comes_for_a_stream_that_is_over() {
    for frame in [reset, stop, closed, window] {
        assert_eq!(client_after(frame(4)), (None, 0), "{:?}", frame(4));
    }
}

#[test]
fn a_client_obeys_frames_about_its_open_streams() {
    for frame in OF_SENDERS {
        assert!(client_after(frame(0)).1 > 0, "{:?}", frame(0));
        assert!(client_after(frame(2)).1 > 0, "{:?}", frame(2));
    }
    assert_eq!(client_after(reset(0)).0, None);
}

#[test]
fn a_client_closes_for_streams_of_its_own_that_it_never_opened() {
    for id in [8, 6, (1 << 62) - 4] {
        for frame in [reset, stop, closed, window] {
            assert_eq!(client_after(frame(id)).0, Some(ErrorCode::StreamState), "{:?}", frame(id));
        }
    }
}

#[test]
fn a_client_closes_for_a_half_that_does_not_exist() {
    assert_eq!(client_after(reset(2)).0, Some(ErrorCode::StreamState), "only the client sends");
    for frame in OF_SENDERS {
        assert_eq!(client_after(frame(3)).0, Some(ErrorCode::StreamState), "{:?}", frame(3));
    }
}

#[test]
fn a_frame_for_a_servers_stream_opens_it_within_the_limits() {
    for frame in [reset, stop, closed, window] {
        assert_eq!(client_after(frame(5)).0, None, "{:?}", frame(5));
        let far = frame((1 << 62) - 3);
        assert_eq!(client_after(far).0, Some(ErrorCode::LimitExceeded));
    }
}

fn primary_after(frames: Vec<ControlFrame>) -> Option<ErrorCode> {
    let (config, now) = (SessionConfig::default(), Instant::ZERO);
    let mut primary = PrimarySession::new(&config, &hello(), SESSION, 7, now).unwrap();
    assert_eq!(primary.open_stream(StreamKind::Unidirectional), Some(stream(3)));
    for frame in frames {
        primary.handle_control(frame, now);
    }
    std::iter::from_fn(|| primary.poll_output(now)).find_map(|output| match output {
        PrimaryOutput::Close(code, ..) => Some(code),
        _ => None,
    })
}

#[test]
fn a_primary_judges_frames_in_the_same_way() {
    let wrong = Some(ErrorCode::StreamState);
    for frame in OF_SENDERS {
        assert_eq!(primary_after(vec![frame(3)]), None, "open");
        assert_eq!(primary_after(vec![closed(3), frame(3)]), None, "over");
        assert_eq!(primary_after(vec![frame(0)]), None, "ahead of the client's header");
        assert_eq!(primary_after(vec![frame(7)]), wrong, "never opened");
        assert_eq!(primary_after(vec![frame(2)]), wrong, "only the client sends");
        let far = frame((1 << 62) - 4);
        assert_eq!(primary_after(vec![far]), Some(ErrorCode::LimitExceeded));
    }
    assert_eq!(primary_after(vec![reset(0)]), None);
    assert_eq!(primary_after(vec![reset(2)]), None);
    assert_eq!(primary_after(vec![reset(3)]), wrong, "only the primary sends");
    assert_eq!(primary_after(vec![reset(7)]), wrong, "never opened");
}

#[test]
fn what_only_a_primary_may_send_closes_the_secondary_that_sends_it() {
    let frames = [
        add_path(OTHER, 1),
        ControlFrame::RemovePath(RemovePath { path: OTHER, drain_ms: 0 }),
        ControlFrame::Orders(signed(EDGE, 1, 1, vec![open_grant(stream(0))])),
        reset(0),
        stop(0),
        closed(0),
        window(0),
    ];
    for frame in frames {
        let mut bench = Bench::attached(EDGE);
        bench.attach(OTHER, 1);
        bench.forget();
        bench.secondary(EDGE, 1, frame.clone());
        let code = Some(ErrorCode::ProtocolViolation);
        assert_eq!(bench.path_closed_with(EDGE), code, "{frame:?}");
        assert_eq!(bench.state(EDGE), Some(PathState::Gone));
        assert_eq!(bench.state(OTHER), Some(PathState::Live));
        assert!(!bench.client.is_closed());
        assert!(bench.halves.contains_key(&stream(0)));
    }
}

#[test]
fn what_only_a_client_may_send_closes_the_session() {
    for frame in [
        ControlFrame::Hello(hello()),
        ControlFrame::TokenRequest(TokenRequest { path: EDGE, epoch: Epoch::FIRST }),
        welcome(),
    ] {
        assert_eq!(client_after(frame).0, Some(ErrorCode::ProtocolViolation));
    }
}

#[test]
fn stopping_a_stream_tells_every_path_with_a_grant_and_no_other() {
    let mut bench = Bench::attached(EDGE);
    let third = PathId::new(3);
    bench.attach(OTHER, 1);
    bench.attach(third, 1);
    bench.order(EDGE, 1, 1, vec![open_grant(stream(0))]);
    bench.order(OTHER, 1, 1, vec![delegation(1, stream(0), range(0, 10_000))]);
    bench.header(OTHER, 3, contribution(stream(0), 1, range(0, 10_000))).unwrap().unwrap();
    bench.forget();
    bench.client.stop_stream(stream(0), CODE);
    bench.drain();
    let told = ControlFrame::StreamClosed(StreamClosed { stream: stream(0), complete: false });
    assert_eq!(bench.sent(EDGE), [&told]);
    assert_eq!(bench.sent(OTHER), [&told]);
    assert!(bench.sent(third).is_empty());
    assert!(bench.sent(PathId::PRIMARY).contains(&&stop(0)));
    let (path, carrier, code) = (OTHER, 3, ErrorCode::StreamClosed);
    assert!(bench.asked.contains(&Output::StopCarrier { path, carrier, code }));
}
