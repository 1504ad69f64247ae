//! Windows of a client's streams: who gets one, and when it grows.

use super::*;
use crate::session::PrimarySession;
use crate::session::primary::Output as PrimaryOutput;
use crate::stream::ReceiveConfig;

const PRIMARY: PathId = PathId::PRIMARY;

/// A client at 20 ms from its primary, with a secondary at `far` that is not Live, and stream 0 of the primary.
fn client(far: Duration, budget: u64) -> Bench {
    let mut bench = Bench::with(SessionConfig { session_budget: budget, ..Default::default() });
    bench.primary(welcome());
    bench.client.handle_primary_rtt(ms(20), ms(1), bench.now);
    bench.primary(add_path(EDGE, 1));
    bench.wait(ms(2000));
    bench.connect(EDGE, 1);
    bench.client.handle_path_rtt(EDGE, far, ms(1), bench.now);
    bench.client.open_stream(StreamKind::Bidirectional).unwrap();
    bench.drain();
    bench.header(PRIMARY, 4, public(stream(0))).unwrap().unwrap();
    bench
}

/// Reads windows of stream 0, each half of one `pace` after the other; by how much the window grew.
fn growth(bench: &mut Bench, pace: Duration) -> u64 {
    let mut size = bench.halves[&stream(0)].max_offset().value();
    let (first, mut at) = (size, 0);
    for _ in 0..2 {
        let half = size / 2;
        assert!(bench.data(PRIMARY, 4, at, half as usize));
        at += half;
        bench.now = bench.now + pace;
        bench.read(stream(0));
        size = bench.halves[&stream(0)].max_offset().value() - at;
    }
    size / first
}

#[test]
fn a_window_doubles_for_a_reader_faster_than_two_of_the_longest_live_loops() {
    let budget = 1 << 30;
    // The loop of the primary alone: 20 ms, and 5 ms between reports.
    assert!(growth(&mut client(ms(400), budget), ms(49)) >= 2);
    assert_eq!(growth(&mut client(ms(400), budget), ms(50)), 1, "the far path is not Live");
    let mut bench = client(ms(400), budget);
    bench.secondary(EDGE, 1, welcome());
    assert!(growth(&mut bench, ms(849)) >= 2);
    let mut bench = client(ms(400), budget);
    bench.secondary(EDGE, 1, welcome());
    assert_eq!(growth(&mut bench, ms(850)), 1);
}

#[test]
fn every_stream_that_the_primary_can_open_moves_its_window() {
    let mut bench = Bench::established();
    // Twice the limit: it may have counted as many as closed that the client has not.
    let last = 4 * 199 + 1;
    bench.header(PRIMARY, last, public(stream(last))).unwrap().unwrap();
    while bench.client.open_stream(StreamKind::Bidirectional).is_some() {}
    bench.drain();
    assert_eq!(bench.halves.len(), 300);
    let uni = 4 * 199 + 3;
    bench.header(PRIMARY, uni, public(stream(uni))).unwrap().unwrap();
    assert_eq!(bench.halves.len(), 500);
    let start = bench.halves[&stream(uni)].max_offset().value();
    assert!(bench.data(PRIMARY, uni, 0, start as usize));
    bench.read(stream(uni));
    assert!(bench.halves[&stream(uni)].max_offset().value() > start);
}

/// Without another read.
#[test]
fn a_slow_reader_is_heard_of_between_its_reads() {
    let mut bench = client(ms(400), 1 << 30);
    assert!(bench.data(PRIMARY, 4, 0, 2));
    let (told, start) = (bench.windows[&(PRIMARY, stream(0))], bench.now);
    let half = bench.halves.get_mut(&stream(0)).unwrap();
    half.read(1, start);
    assert!(half.wants_window(start), "the driver lends it");
    bench.client.service_stream(stream(0), half, start);
    bench.drain();
    while bench.now.since(start) < ms(30_000) && bench.windows[&(PRIMARY, stream(0))] == told {
        assert!(bench.client.poll_timeout().is_some());
        bench.wait(ms(100));
    }
    assert_eq!(bench.windows[&(PRIMARY, stream(0))], told.saturating_add(1));
    assert!(bench.now.since(start) <= ms(10_000), "{:?}", bench.now.since(start));
}

#[test]
fn a_slow_reader_of_an_upload_is_heard_of_too() {
    let (config, now, id) = (SessionConfig::default(), Instant::ZERO, stream(2));
    let mut primary = PrimarySession::new(&config, &hello(), SESSION, 7, now).unwrap();
    primary.handle_header(6, id).unwrap();
    let mut half = ReceiveHalf::new(ReceiveConfig::default());
    primary.service_stream(id, &mut half, now);
    let source = half.add_source(PRIMARY, None);
    half.insert(source, Offset::ZERO, Bytes::from_static(b"be"), 2, now).unwrap();
    half.read(1, now);
    primary.service_stream(id, &mut half, now);
    while primary.poll_output(now).is_some() {}
    let due = now + ms(10_000);
    assert_eq!(primary.poll_timeout(), Some(due));
    primary.handle_timeout(due);
    assert_eq!(primary.poll_output(due), Some(PrimaryOutput::Service(id)));
    let max_offset = half.max_offset().saturating_add(1);
    primary.service_stream(id, &mut half, due);
    let window = ControlFrame::StreamWindow(StreamWindow { stream: id, max_offset });
    assert_eq!(primary.poll_output(due), Some(PrimaryOutput::Send(window)));
}

/// WINDOW-5: a reset names no byte that nobody may have sent.
#[test]
fn a_reset_beyond_the_window_ends_the_session() {
    let reset = |final_size| {
        let (stream, error_code) = (stream(0), 1);
        ControlFrame::StreamReset(StreamReset { stream, error_code, final_size })
    };
    let mut bench = Bench::established();
    let window = bench.windows[&(PathId::PRIMARY, stream(0))];
    bench.primary(reset(window));
    assert_eq!(bench.closed_with(), None);
    for beyond in [window.saturating_add(1), Offset::MAX] {
        let mut bench = Bench::established();
        bench.primary(reset(beyond));
        assert_eq!(bench.closed_with(), Some(ErrorCode::FlowControl), "{beyond}");
    }
}
