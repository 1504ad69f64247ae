//! The rules without which a session can stand still, as far as they live in the session.

use super::*;
use crate::session::client::CarrierEnd;
use crate::session::config::INITIAL_WINDOW;
use crate::session::{PrimarySession, SecondarySession};

/// A reader at the head of stream 0, which `EDGE` was ordered to send.
fn waiting_for_the_edge() -> Bench {
    let mut bench = Bench::attached(EDGE);
    bench.read(stream(0));
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 10_000))]);
    bench.forget();
    bench
}

/// Rule 5: whether the primary was told, or the client wakes up to tell it.
fn somebody_answers(bench: &mut Bench, within: Duration) -> bool {
    let until = bench.now + within;
    while bench.gaps().is_empty() {
        let Some(due) = bench.client.poll_timeout().filter(|due| *due <= until) else {
            return false;
        };
        let pause = due.since(bench.now);
        bench.wait(pause + Duration::from_micros(1));
    }
    bench.gaps()[0].range.contains(Offset::ZERO)
}

#[test]
fn rule_1_a_secondary_may_send_up_to_its_window_and_no_further() {
    let config = SessionConfig::default();
    let mut edge = SecondarySession::new(&config, &hello(), SESSION, EDGE, Epoch::FIRST).unwrap();
    let (session, path, epoch, orders) = (SESSION, EDGE, Epoch::FIRST, vec![open_grant(stream(0))]);
    edge.handle_orders(Orders { session, path, epoch, number: 1, orders });
    assert_eq!(edge.open(stream(0)).unwrap().max_offset, offset(65_536));
    for told in [100_000, 90_000] {
        let window = StreamWindow { stream: stream(0), max_offset: offset(told) };
        edge.handle_control(ControlFrame::StreamWindow(window));
    }
    assert_eq!(edge.open(stream(0)).unwrap().max_offset, offset(100_000));
}

#[test]
fn rule_2_every_source_of_a_stream_is_taken_however_far_behind_the_reader_is() {
    let mut bench = Bench::attached(EDGE);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(20_000, 40_000))]);
    bench.header(EDGE, 3, contribution(stream(0), 1, range(20_000, 40_000))).unwrap().unwrap();
    let public = StreamHeader {
        stream: stream(0),
        kind: CarrierKind::Public,
        delegation: None,
        promised: None,
    };
    bench.header(PathId::PRIMARY, 4, public).unwrap().unwrap();
    assert!(bench.data(EDGE, 3, 20_000, 20_000), "the far end, before the head");
    assert!(bench.data(PathId::PRIMARY, 4, 0, 20_000));
    assert_eq!(bench.read(stream(0)), 40_000);
}

#[test]
fn rule_3_a_byte_beyond_the_window_ends_its_contribution_alone() {
    let mut bench = Bench::attached(EDGE);
    let beyond = range(0, 1 << 40);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), beyond)]);
    bench.header(EDGE, 3, contribution(stream(0), 1, beyond)).unwrap().unwrap();
    assert!(!bench.data(EDGE, 3, (1 << 40) - 10, 10));
    bench.forget();
    bench.end(EDGE, 3, CarrierEnd::Faulty(ErrorCode::FlowControl));
    let (path, carrier, code) = (EDGE, 3, ErrorCode::FlowControl);
    assert!(bench.asked.contains(&Output::StopCarrier { path, carrier, code }));
    assert_eq!(bench.state(EDGE), Some(PathState::Live));
    assert!(!bench.client.is_closed());
    assert_eq!(bench.gaps()[0].reason, GapReason::Corrupt);
}

#[test]
fn rule_4_every_half_that_can_be_open_has_its_first_window_set_aside() {
    let mut bench = Bench::new();
    let mut limits = SessionConfig::default().limits();
    (limits.max_bidirectional_streams, limits.max_unidirectional_streams) = (1000, 1000);
    let welcome = Welcome { version: 1, features: Vec::new(), limits, session: SESSION };
    bench.primary(ControlFrame::Welcome(welcome));
    while bench.client.open_stream(StreamKind::Bidirectional).is_some() {}
    bench.drain();
    for id in [397, 399] {
        let reset = StreamReset { stream: stream(id), error_code: 1, final_size: offset(1) };
        bench.primary(ControlFrame::StreamReset(reset));
    }
    bench.read(stream(399));
    let halves = bench.halves.len() as u64;
    assert_eq!(halves, 300 - 1, "the unidirectional one is over, the other still sends");
    assert!(bench.client.promised_bytes() >= (halves - 1) * INITIAL_WINDOW * 3 / 2);
}

#[test]
fn rule_4_control_frames_do_not_wait_for_a_stream() {
    let mut bench = Bench::attached(EDGE);
    let public = StreamHeader {
        stream: stream(0),
        kind: CarrierKind::Public,
        delegation: None,
        promised: None,
    };
    bench.header(PathId::PRIMARY, 4, public).unwrap().unwrap();
    let window = bench.halves[&stream(0)].max_offset().value();
    assert!(bench.data(PathId::PRIMARY, 4, 0, window as usize), "the window is full, unread");
    bench.forget();
    bench.primary(ControlFrame::Ping(Ping { nonce: 5 }));
    bench.secondary(EDGE, 1, ControlFrame::Ping(Ping { nonce: 6 }));
    assert_eq!(bench.sent(PathId::PRIMARY), [&ControlFrame::Pong(Pong { nonce: 5 })]);
    assert_eq!(bench.sent(EDGE), [&ControlFrame::Pong(Pong { nonce: 6 })]);
}

#[test]
fn rule_4_the_primary_answers_while_a_stream_is_blocked() {
    let config = SessionConfig::default();
    let now = Instant::ZERO;
    let mut primary = PrimarySession::new(&config, &hello(), SESSION, 7, now).unwrap();
    let blocked = StreamBlocked { stream: stream(0), max_offset: offset(65_536) };
    primary.handle_header(4, stream(0)).unwrap();
    primary.handle_control(ControlFrame::StreamBlocked(blocked), now);
    primary.handle_control(ControlFrame::Ping(Ping { nonce: 5 }), now);
    let pong = crate::session::primary::Output::Send(ControlFrame::Pong(Pong { nonce: 5 }));
    assert!(std::iter::from_fn(|| primary.poll_output(now)).any(|output| output == pong));
}

#[test]
fn rule_5_a_contribution_that_ends_early_is_a_gap_at_once() {
    for end in [
        CarrierEnd::Finished,
        CarrierEnd::Reset,
        CarrierEnd::Lost,
        CarrierEnd::Faulty(ErrorCode::Checksum),
    ] {
        let mut bench = waiting_for_the_edge();
        bench.header(EDGE, 3, contribution(stream(0), 1, range(0, 10_000))).unwrap().unwrap();
        bench.data(EDGE, 3, 0, 4_000);
        bench.end(EDGE, 3, end);
        let gaps = bench.gaps();
        assert_eq!(gaps[0].range, range(4_000, 10_000), "{end:?}");
        assert_eq!((gaps[0].path, gaps[0].delegation), (Some(EDGE), Some(DelegationId(1))));
    }
}

#[test]
fn rule_5_silence_is_a_gap_in_time() {
    let mut bench = waiting_for_the_edge();
    assert!(somebody_answers(&mut bench, ms(500)));
    assert_eq!(bench.gaps()[0].reason, GapReason::Late);
}

#[test]
fn rule_5_a_refusal_goes_on_to_the_primary_and_a_timeout_stays_armed() {
    let mut bench = waiting_for_the_edge();
    let refused = DelegationStatus {
        path: PathId::PRIMARY,
        delegation: DelegationId(1),
        state: DelegationState::Refused(GapReason::NotFound),
    };
    bench.secondary(EDGE, 1, ControlFrame::DelegationStatus(refused));
    let told = DelegationStatus { path: EDGE, ..refused };
    assert!(bench.sent(PathId::PRIMARY).contains(&&ControlFrame::DelegationStatus(told)));
    assert!(somebody_answers(&mut bench, ms(2000)), "the primary never answered");
}

#[test]
fn rule_5_a_lost_path_leaves_no_range_without_a_deadline() {
    let mut bench = waiting_for_the_edge();
    bench.client.handle_lost(EDGE, Epoch(1), ErrorCode::Unreachable, "lost", bench.now);
    bench.drain();
    let gone = |frame: &&ControlFrame| matches!(frame, ControlFrame::PathStatus(status) if status.state == PathState::Gone);
    assert!(bench.sent(PathId::PRIMARY).iter().any(gone));
    assert!(somebody_answers(&mut bench, ms(2000)));
}

#[test]
fn rule_5_an_order_that_no_path_can_take_comes_back_at_once() {
    let mut bench = Bench::established();
    bench.read(stream(0));
    bench.primary(add_path(EDGE, 1));
    bench.order(EDGE, 9, 1, vec![delegation(1, stream(0), range(0, 10_000))]);
    bench.order(OTHER, 1, 1, vec![delegation(2, stream(0), range(10_000, 20_000))]);
    let told: Vec<_> = bench.gaps().iter().map(|gap| (gap.path, gap.range)).collect();
    assert_eq!(told, [(Some(EDGE), range(0, 10_000)), (Some(OTHER), range(10_000, 20_000))]);
}

#[test]
fn rule_5_orders_beyond_what_a_dialling_path_can_keep_come_back_as_busy() {
    let mut bench = Bench::established();
    bench.primary(add_path(EDGE, 1));
    for number in 1..=65 {
        let at = number * 100;
        bench.order(EDGE, 1, number, vec![delegation(number, stream(0), range(at, at + 100))]);
    }
    let gaps = bench.gaps();
    assert_eq!(
        (gaps.len(), gaps[0].reason, gaps[0].range),
        (1, GapReason::Busy, range(6500, 6600))
    );
}

#[test]
fn rule_5_a_reader_of_bytes_that_nobody_has_gets_an_error_in_the_end() {
    let mut bench = waiting_for_the_edge();
    for _ in 0..400 {
        bench.wait(ms(50));
    }
    let failed = |output: &Output| matches!(output, Output::Stream(StreamAction::Fail(..)));
    assert!(bench.asked.iter().any(failed));
}

/// Who is to blame for the pause of a reader that waits at the head until the session ends.
fn blamed(ordered: ByteRange) -> Option<PathId> {
    let mut bench = Bench::attached(EDGE);
    bench.read(stream(0));
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), ordered)]);
    bench.wait(ms(80));
    let reset = StreamReset { stream: stream(0), error_code: 1, final_size: offset(20_000) };
    bench.primary(ControlFrame::StreamReset(reset));
    let [stall] = bench.client.stalls() else { panic!("{:?}", bench.client.stalls()) };
    assert_eq!((stall.duration, stall.ended_by), (ms(80), None));
    stall.path
}

#[test]
fn a_pause_is_blamed_on_who_was_asked_and_else_on_the_primary() {
    assert_eq!(blamed(range(0, 10_000)), Some(EDGE));
    assert_eq!(blamed(range(5000, 10_000)), Some(PathId::PRIMARY));
}

/// Bytes that are there and can't be read before the rest of their range proves them.
#[test]
fn a_wait_for_a_proof_is_a_pause() {
    let mut bench = Bench::attached(EDGE);
    let Order::Delegation(order) = delegation(1, stream(0), range(0, 1000)) else { panic!() };
    let hash = Some(blake3::hash(&[0; 1000]).into());
    bench.order(EDGE, 1, 1, vec![Order::Delegation(Delegation { blake3: hash, ..order })]);
    bench.header(EDGE, 3, contribution(stream(0), 1, range(0, 1000))).unwrap().unwrap();
    assert_eq!(bench.read(stream(0)), 0);
    bench.data(EDGE, 3, 0, 600);
    assert_eq!(bench.read(stream(0)), 0, "not proven");
    bench.wait(ms(80));
    bench.data(EDGE, 3, 600, 400);
    assert_eq!(bench.read(stream(0)), 1000);
    let [stall] = bench.client.stalls() else { panic!("{:?}", bench.client.stalls()) };
    assert_eq!((stall.duration, stall.path, stall.ended_by), (ms(80), Some(EDGE), Some(EDGE)));
    assert_eq!(stall.range, range(0, 1000));
}
