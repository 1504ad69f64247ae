//! Who hears of a stream's window, and how large it becomes.

use super::*;
use crate::session::client::CarrierEnd;

fn bounded_grant(start: u64, end: u64) -> Order {
    let max_offset = offset(65_536);
    Order::Grant(Grant {
        stream: stream(0),
        start: offset(start),
        end: Some(offset(end)),
        max_offset,
    })
}

fn told(bench: &Bench, path: PathId) -> Vec<Offset> {
    let window = |frame: &&ControlFrame| match frame {
        ControlFrame::StreamWindow(window) => Some(window.max_offset),
        _ => None,
    };
    bench.sent(path).iter().filter_map(window).collect()
}

/// The primary delivers `length` bytes from `at` on, and the reader takes them.
fn deliver(bench: &mut Bench, carrier: u64, at: u64, length: u64) {
    let part = range(at, at + length);
    bench.header(PathId::PRIMARY, carrier, contribution(stream(0), carrier, part)).unwrap();
    assert!(bench.data(PathId::PRIMARY, carrier, at, length as usize));
    bench.end(PathId::PRIMARY, carrier, CarrierEnd::Finished);
    bench.read(stream(0));
}

#[test]
fn a_bounded_grant_hears_of_the_window_until_it_reaches_its_end() {
    let mut bench = Bench::attached(EDGE);
    let first = bench.halves[&stream(0)].max_offset().value();
    bench.order(EDGE, 1, 1, vec![bounded_grant(0, first + 1)]);
    assert_eq!(told(&bench, EDGE), [offset(first)], "with the grant");
    bench.order(EDGE, 1, 2, vec![bounded_grant(0, 100), delegation(1, stream(0), range(0, 9))]);
    assert_eq!(told(&bench, EDGE).len(), 1, "no news");
    bench.wait(ms(1000));
    deliver(&mut bench, 3, 0, first / 2);
    let after = told(&bench, EDGE);
    assert_eq!(after.len(), 2, "{after:?}");
    assert!(after[1] > offset(first));
    bench.wait(ms(1000));
    deliver(&mut bench, 7, first / 2, first / 2);
    assert_eq!(told(&bench, EDGE).len(), 2, "it can use no more");
    assert!(told(&bench, PathId::PRIMARY).len() >= 2);
}

#[test]
fn a_path_dialled_again_is_told_every_window_in_full() {
    let mut bench = Bench::attached(EDGE);
    bench.order(EDGE, 1, 1, vec![open_grant(stream(0))]);
    bench.client.handle_lost(EDGE, Epoch(1), ErrorCode::Unreachable, "lost", bench.now);
    bench.wait(ms(60_000));
    bench.forget();
    bench.attach(EDGE, 2);
    assert_eq!(told(&bench, EDGE), [bench.halves[&stream(0)].max_offset()]);
}

/// 100 MB/s over 200 ms and a primary as far away: nothing is read, so that only the demand can move the window.
fn far_and_fast(config: SessionConfig) -> Bench {
    let mut bench = Bench::with(config);
    bench.primary(welcome());
    bench.client.open_stream(StreamKind::Bidirectional).unwrap();
    bench.client.handle_primary_rtt(ms(200), ms(1), bench.now);
    bench.attach(EDGE, 1);
    bench.client.handle_path_rtt(EDGE, ms(200), ms(1), bench.now);
    let end = bench.halves[&stream(0)].max_offset().value();
    let whole = range(0, end);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), whole)]);
    bench.header(EDGE, 3, contribution(stream(0), 1, whole)).unwrap();
    let mut at = 0;
    while at + 100_000 < end / 2 {
        bench.now = bench.now + ms(1);
        assert!(bench.data(EDGE, 3, at, 100_000));
        at += 100_000;
    }
    bench
}

#[test]
fn the_window_follows_rates_and_control_loop() {
    let bench = far_and_fast(SessionConfig::default());
    let size = bench.halves[&stream(0)].max_offset().value();
    // 2 * 100 MB/s * 425 ms are more than the budget's 128 MiB / 1.5 less what is set aside.
    assert!(size > 40_000_000, "{size}");
}

#[test]
fn no_demand_overdraws_the_budget() {
    // `Bench` checks after each step that no more is promised than the budget has.
    let config = SessionConfig { session_budget: 80 << 20, ..SessionConfig::default() };
    let bench = far_and_fast(config);
    assert!(bench.halves[&stream(0)].max_offset().value() > 8 << 20);
    assert!(bench.client.promised_bytes() > 16 << 20);
}

#[test]
fn a_secondary_without_grants_may_send_nothing() {
    let mut bench = Bench::attached(EDGE);
    bench.order(EDGE, 1, 1, vec![open_grant(stream(0))]);
    let header = StreamHeader {
        stream: stream(0),
        kind: CarrierKind::Contribution,
        delegation: None,
        promised: None,
    };
    let route = bench.header(EDGE, 3, header).unwrap().unwrap();
    let all = ByteRange::new(Offset::ZERO, Offset::MAX);
    assert_eq!(route.allowed, all.map(Into::into));
}

#[test]
fn an_answer_concerns_its_stream_alone() {
    let mut bench = Bench::attached(EDGE);
    for id in 0..50 {
        bench.client.open_stream(StreamKind::Bidirectional);
        bench.order(EDGE, 1, id + 1, vec![delegation(id, stream(id * 4), range(0, 100))]);
    }
    bench.wait(ms(100));
    bench.forget();
    let (path, delegation, state) = (EDGE, DelegationId(7), DelegationState::Accepted);
    bench.client.handle_control(
        EDGE,
        Epoch(1),
        ControlFrame::DelegationStatus(DelegationStatus { path, delegation, state }),
        bench.now,
    );
    let serviced: Vec<Output> = std::iter::from_fn(|| bench.client.poll_output(bench.now))
        .filter(|output| matches!(output, Output::Service(_)))
        .collect();
    assert_eq!(serviced, [Output::Service(stream(28))]);
}
