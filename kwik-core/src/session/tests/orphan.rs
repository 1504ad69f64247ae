//! The primary is gone: what still arrives, what is still told to whom, and when it is over.

use super::*;
use crate::session::client::CarrierEnd;

const LOST: Option<Failure> = Some(Failure::SessionEnded);

/// The edge was ordered 1000..3000 of stream 0, accepted it and began; the primary sent 0..1000 and the final size.
fn under_way() -> Bench {
    let mut bench = Bench::attached(EDGE);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(1000, 3000))]);
    bench.header(PathId::PRIMARY, 4, public(stream(0))).unwrap().unwrap();
    bench.header(EDGE, 3, contribution(stream(0), 1, range(1000, 3000))).unwrap().unwrap();
    assert!(bench.data(PathId::PRIMARY, 4, 0, 1000));
    assert!(bench.data(EDGE, 3, 1000, 500));
    bench
}

fn lose_the_primary(bench: &mut Bench) {
    bench.forget();
    bench.client.handle_primary_lost("lost", bench.now);
    bench.drain();
    bench.end(PathId::PRIMARY, 4, CarrierEnd::Lost);
}

#[test]
fn a_stream_that_is_under_way_is_completed() {
    let mut bench = under_way();
    bench.fin(4, 3000);
    lose_the_primary(&mut bench);
    assert!(!bench.client.is_closed());
    for step in 0..15 {
        bench.wait(ms(5000));
        assert!(bench.data(EDGE, 3, 1500 + step * 100, 100), "it progresses");
    }
    assert_eq!(bench.failed(stream(0)), LOST, "of no effect: every byte is here");
    assert!(bench.client.is_closed());
    assert_eq!(bench.read(stream(0)), 3000);
    assert_eq!(
        bench.halves.get_mut(&stream(0)).map(|half| half.read(1, bench.now)),
        Some(Read::Finished)
    );
}

#[test]
fn without_a_final_size_the_error_comes_after_the_last_contiguous_byte() {
    let mut bench = under_way();
    lose_the_primary(&mut bench);
    assert!(bench.data(EDGE, 3, 1500, 1500));
    assert_eq!(bench.failed(stream(0)), None);
    bench.end(EDGE, 3, CarrierEnd::Finished);
    assert_eq!(bench.failed(stream(0)), LOST);
    assert_eq!(bench.closed_with(), Some(ErrorCode::SessionClosed));
    assert_eq!(bench.read(stream(0)), 3000);
}

#[test]
fn a_delegation_that_stands_still_ends_the_wait() {
    let mut bench = under_way();
    lose_the_primary(&mut bench);
    let wait = |bench: &mut Bench, pause| {
        // Its connection lives: only the bytes do not come.
        bench.client.handle_activity(EDGE, bench.now + pause, bench.now + pause);
        bench.wait(pause);
    };
    wait(&mut bench, ms(9_999));
    assert!(bench.data(EDGE, 3, 1500, 1));
    let until = bench.now + ms(10_000);
    while let Some(due) = bench.client.poll_timeout() {
        let pause = due.since(bench.now);
        wait(&mut bench, pause);
        assert_eq!(bench.client.is_closed(), bench.now >= until, "{:?}", bench.now);
    }
    assert_eq!(bench.failed(stream(0)), LOST);
    assert_eq!(bench.read(stream(0)), 1501);
}

#[test]
fn a_stream_that_nobody_can_continue_fails_at_once_and_others_live_on() {
    let mut bench = under_way();
    bench.client.open_stream(StreamKind::Bidirectional).unwrap();
    bench.drain();
    bench.order(EDGE, 1, 2, vec![delegation(2, stream(4), range(100, 200))]);
    lose_the_primary(&mut bench);
    assert_eq!(bench.failed(stream(4)), LOST, "its first byte was the primary's");
    assert_eq!(bench.failed(stream(0)), None);
    assert!(!bench.client.is_closed());
}

#[test]
fn with_nothing_under_way_the_session_ends_at_once() {
    let mut bench = Bench::attached(EDGE);
    bench.client.handle_primary_lost("lost", bench.now);
    bench.drain();
    assert_eq!(bench.closed_with(), Some(ErrorCode::SessionClosed));
    assert_eq!(bench.failed(stream(0)), LOST);
}

#[test]
fn an_end_of_the_secondary_is_the_end() {
    for lost in [true, false] {
        let mut bench = under_way();
        lose_the_primary(&mut bench);
        if lost {
            bench.client.handle_lost(EDGE, Epoch(1), ErrorCode::Unreachable, "lost", bench.now);
            bench.drain();
        } else {
            bench.end(EDGE, 3, CarrierEnd::Reset);
        }
        assert_eq!((bench.failed(stream(0)), bench.client.is_closed()), (LOST, true));
        assert_eq!(bench.read(stream(0)), 1500);
    }
}

#[test]
fn an_orphaned_session_opens_forwards_and_dials_nothing() {
    let mut bench = under_way();
    bench.primary(add_path(OTHER, 1));
    bench.order(OTHER, 1, 1, vec![delegation(9, stream(0), range(3000, 4000))]);
    lose_the_primary(&mut bench);
    let path = OTHER;
    let closes =
        |output: &Output| matches!(output, Output::ClosePath { path: of, .. } if *of == path);
    assert!(bench.asked.iter().any(closes), "a path that has no connection gets none");
    assert_eq!(bench.client.open_stream(StreamKind::Bidirectional), None);
    bench.order(EDGE, 1, 2, vec![delegation(2, stream(0), range(3000, 4000))]);
    bench.primary(add_path(PathId::new(3), 1));
    bench.secondary(
        EDGE,
        1,
        ControlFrame::RelayCredit(RelayCredit { path: EDGE, max_bytes: 1 << 30 }),
    );
    bench.wait(ms(100));
    assert!(bench.sent.is_empty(), "{:?}", bench.sent);
    assert!(!bench.asked.iter().any(|output| matches!(output, Output::Dial { .. })));
    bench.secondary(EDGE, 1, ControlFrame::Ping(Ping { nonce: 1 }));
    assert_eq!(
        bench.sent(EDGE),
        [&ControlFrame::Pong(Pong { nonce: 1 })],
        "secondaries are served"
    );
}
