//! Bytes that the primary can ask nobody for: the client is told, and its reader does not wait for ever.

use super::*;
use crate::delegation::{Candidates, Local};
use crate::interval::RangeSet;
use crate::session::PrimarySession;
use crate::session::primary::{Event, Output as PrimaryOutput, PathSpec};

fn told(part: ByteRange, reason: GapReason) -> ControlFrame {
    ControlFrame::Gap(Gap { stream: stream(0), range: part, reason, path: None, delegation: None })
}

/// A client with the first 100 bytes of a stream that has no end yet.
fn begun(mut bench: Bench) -> Bench {
    bench.header(PathId::PRIMARY, 0, public(stream(0))).unwrap().unwrap();
    assert!(bench.data(PathId::PRIMARY, 0, 0, 100));
    assert_eq!(bench.read(stream(0)), 100);
    bench
}

fn waited(bench: &mut Bench, seconds: u64) -> Option<Failure> {
    for _ in 0..seconds * 2 {
        bench.wait(ms(500));
    }
    bench.failed(stream(0))
}

#[test]
fn what_nobody_can_be_asked_for_is_missing_after_the_gap_timeout() {
    let mut bench = begun(Bench::established());
    assert_eq!(waited(&mut bench, 100), None, "it may not be written yet");
    bench.primary(told(range(100, 300), GapReason::PathGone));
    assert_eq!(waited(&mut bench, 9), None);
    let missing = Failure::Missing { offset: offset(100), len: 200 };
    assert_eq!(waited(&mut bench, 2), Some(missing));
    assert_eq!(bench.closed_with(), None);
}

#[test]
fn who_comes_back_is_waited_for() {
    let mut bench = begun(Bench::attached(EDGE));
    bench.primary(told(range(100, 300), GapReason::PathGone));
    assert_eq!(waited(&mut bench, 9), None);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(100, 300))]);
    bench.header(EDGE, 3, contribution(stream(0), 1, range(100, 300))).unwrap().unwrap();
    assert!(bench.data(EDGE, 3, 100, 200));
    assert_eq!(bench.read(stream(0)), 200);
    assert_eq!(waited(&mut bench, 100), None);
}

#[test]
fn an_outage_is_noted_however_many_there_were() {
    let mut bench = begun(Bench::attached(EDGE));
    for outage in 0..100 {
        bench.primary(told(range(101 + 2 * outage, 102 + 2 * outage), GapReason::PathGone));
    }
    assert!(bench.data(PathId::PRIMARY, 0, 100, 200));
    assert_eq!(bench.read(stream(0)), 200);
    bench.primary(told(range(300, 301), GapReason::PathGone));
    assert_eq!(waited(&mut bench, 11), Some(Failure::Missing { offset: offset(300), len: 1 }));
}

#[test]
fn an_outage_is_noted_while_others_that_ended_are_unread() {
    let mut bench = begun(Bench::attached(EDGE));
    for outage in 0..100 {
        let part = range(102 + 2 * outage, 103 + 2 * outage);
        bench.primary(told(part, GapReason::PathGone));
        bench.order(EDGE, 1, outage + 1, vec![delegation(outage + 1, stream(0), part)]);
        bench
            .header(EDGE, 3 + 4 * outage, contribution(stream(0), outage + 1, part))
            .unwrap()
            .unwrap();
        assert!(bench.data(EDGE, 3 + 4 * outage, 102 + 2 * outage, 1));
    }
    bench.primary(told(range(100, 101), GapReason::PathGone));
    assert_eq!(waited(&mut bench, 11), Some(Failure::Missing { offset: offset(100), len: 2 }));
}

/// A writer may think for long, whoever else has died meanwhile.
#[test]
fn a_dead_path_says_nothing_about_what_it_was_never_asked_for() {
    let mut bench = begun(Bench::attached(EDGE));
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(200, 300))]);
    bench.header(EDGE, 3, contribution(stream(0), 1, range(200, 300))).unwrap().unwrap();
    assert!(bench.data(EDGE, 3, 200, 100));
    bench.client.handle_lost(EDGE, Epoch(1), ErrorCode::Unreachable, "lost", bench.now);
    bench.drain();
    assert_eq!(bench.state(EDGE), Some(PathState::Gone));
    assert_eq!(waited(&mut bench, 100), None);
}

#[test]
fn an_open_contribution_without_an_order_may_pause_for_longer() {
    let mut bench = begun(Bench::attached(EDGE));
    let order = Grant {
        stream: stream(0),
        start: offset(100),
        end: Some(offset(300)),
        max_offset: offset(65_536),
    };
    bench.order(EDGE, 1, 1, vec![Order::Grant(order)]);
    let (kind, delegation, promised) = (CarrierKind::Contribution, None, None);
    let header = StreamHeader { stream: stream(0), kind, delegation, promised };
    bench.header(EDGE, 3, header).unwrap().unwrap();
    assert!(bench.data(EDGE, 3, 100, 50));
    assert_eq!(bench.read(stream(0)), 50);
    assert_eq!(waited(&mut bench, 59), None);
    let missing = Failure::Missing { offset: offset(150), len: 150 };
    assert_eq!(waited(&mut bench, 2), Some(missing));
}

#[test]
fn a_primary_does_not_blame_a_path() {
    for (path, code) in [(None, None), (Some(EDGE), Some(ErrorCode::ProtocolViolation))] {
        let mut bench = begun(Bench::attached(EDGE));
        let (stream, range, reason) = (stream(0), range(100, 300), GapReason::PathGone);
        bench.primary(ControlFrame::Gap(Gap { stream, range, reason, path, delegation: None }));
        assert_eq!(bench.closed_with(), code);
    }
}

/// What a secondary was asked for first and lost.
#[test]
fn a_contribution_of_the_primary_that_names_no_order_may_pause_for_longer() {
    for (promised, patience) in
        [(None, 59), (Some(range(100, 300)), 59), (Some(range(100, 150)), 9)]
    {
        let mut bench = begun(Bench::attached(EDGE));
        bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(100, 300))]);
        bench.client.handle_lost(EDGE, Epoch(1), ErrorCode::Unreachable, "lost", bench.now);
        bench.drain();
        let (kind, delegation) = (CarrierKind::Contribution, None);
        let header = StreamHeader { stream: stream(0), kind, delegation, promised };
        bench.header(PathId::PRIMARY, 3, header).unwrap().unwrap();
        assert!(bench.data(PathId::PRIMARY, 3, 100, 50));
        assert_eq!(bench.read(stream(0)), 50);
        assert_eq!(waited(&mut bench, patience), None, "{promised:?}");
        let missing = Failure::Missing { offset: offset(150), len: 150 };
        assert_eq!(waited(&mut bench, 2), Some(missing), "{promised:?}");
    }
}

struct Desk {
    primary: PrimarySession,
    paths: Vec<PathId>,
}

impl Desk {
    /// A primary with a stream and two Live paths, of which the second may be asked for the first 60,000 bytes.
    fn new() -> Self {
        let (config, now) = (SessionConfig::default(), Instant::ZERO);
        let mut primary = PrimarySession::new(&config, &hello(), SESSION, 7, now).unwrap();
        primary.handle_header(4, stream(0)).unwrap();
        let spec = |server: u8| PathSpec {
            addresses: vec![format!("198.51.100.{server}:443").parse().unwrap()],
            identity: ServerIdentity::Pin([server; 32]),
            grant_all: false,
        };
        let paths = (1..=2).map(|server| primary.add_path(spec(server), now).unwrap()).collect();
        let mut desk = Self { primary, paths };
        desk.state(0, PathState::Live);
        desk.state(1, PathState::Live);
        desk
    }

    fn delegate(&mut self) {
        let only = Candidates::List(vec![self.paths[1]]);
        let (part, resource) = (range(0, 60_000), Bytes::from_static(b"x"));
        let now = Instant::ZERO;
        self.primary.delegate(stream(0), part, resource, only, Local::None, now).unwrap();
    }

    fn state(&mut self, path: usize, state: PathState) {
        let status = PathStatus {
            path: self.paths[path],
            epoch: Epoch::FIRST,
            state,
            reason: None,
            smoothed_rtt_us: 20_000,
            rtt_variation_us: 1000,
            received_bytes: 0,
            busy_us: 0,
        };
        self.primary.handle_control(ControlFrame::PathStatus(status), Instant::ZERO);
    }

    /// The gaps that the client is told, and whether the application was.
    fn told(&mut self) -> (Vec<ControlFrame>, bool) {
        let outputs: Vec<_> =
            std::iter::from_fn(|| self.primary.poll_output(Instant::ZERO)).collect();
        let told = |output: &PrimaryOutput| match output {
            PrimaryOutput::Send(frame @ ControlFrame::Gap(_)) => Some(frame.clone()),
            _ => None,
        };
        let given_up =
            |output: &PrimaryOutput| matches!(output, PrimaryOutput::Event(Event::Unavailable(..)));
        (outputs.iter().filter_map(told).collect(), outputs.iter().any(given_up))
    }
}

#[test]
fn the_client_is_told_once_when_all_candidates_are_gone() {
    let mut desk = Desk::new();
    desk.state(1, PathState::Gone);
    // Before it is delegated, and after.
    desk.delegate();
    let gone = |reason| (vec![told(range(0, 60_000), reason)], false);
    assert_eq!(desk.told(), gone(GapReason::Unassigned));
    desk.state(0, PathState::Gone);
    assert_eq!(desk.told(), (vec![], false));
    desk.state(1, PathState::Live);
    assert_eq!(desk.told(), (vec![], false), "it is asked");
    desk.state(1, PathState::Gone);
    assert_eq!(desk.told(), gone(GapReason::PathGone));
}

#[test]
fn the_application_hears_it_too_when_they_were_taken_out() {
    let mut desk = Desk::new();
    desk.state(1, PathState::Gone);
    desk.delegate();
    desk.told();
    assert!(desk.primary.remove_path(desk.paths[1], Instant::ZERO));
    assert_eq!(desk.told(), (vec![told(range(0, 60_000), GapReason::PathGone)], true));
    assert_eq!(desk.told(), (vec![], false));
}

#[test]
fn a_stream_that_is_delegated_after_the_last_path_left_is_not_waited_for_for_ever() {
    let mut desk = Desk::new();
    for path in desk.paths.clone() {
        desk.primary.remove_path(path, Instant::ZERO);
    }
    let delegate = |desk: &mut Desk, part| {
        let (resource, now) = (Bytes::from_static(b"x"), Instant::ZERO);
        let all = Candidates::All;
        desk.primary.delegate(stream(0), part, resource, all, Local::None, now).unwrap();
    };
    delegate(&mut desk, range(0, 20_000));
    assert_eq!(desk.told(), (vec![], false), "they may still be up");
    let drained = Instant::from_start(Duration::from_secs(10));
    desk.primary.handle_timeout(drained);
    let told_of = |part, reason, all| (vec![told(part, reason)], all);
    assert_eq!(desk.told(), told_of(range(0, 20_000), GapReason::PathGone, true));
    delegate(&mut desk, range(20_000, 60_000));
    assert_eq!(desk.told(), told_of(range(20_000, 60_000), GapReason::Unassigned, false));
    assert_eq!(desk.told(), (vec![], false), "once");
    // Who joins is asked, for both.
    let spec = PathSpec {
        addresses: vec!["198.51.100.9:443".parse().unwrap()],
        identity: ServerIdentity::Pin([9; 32]),
        grant_all: false,
    };
    desk.primary.add_path(spec, drained).unwrap();
    let outputs = std::iter::from_fn(|| desk.primary.poll_output(drained));
    let asked = outputs.filter_map(|output| match output {
        PrimaryOutput::Sign(orders) => Some(orders.orders),
        _ => None,
    });
    let asked: RangeSet = asked
        .flatten()
        .filter_map(|order| match order {
            Order::Delegation(delegation) => Some(delegation.range),
            _ => None,
        })
        .collect();
    assert_eq!(asked.total_len(), 60_000);
}
