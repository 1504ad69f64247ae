//! A primary that falls silent, a server that says that it goes away, and what the application hears of it.

use super::*;
use crate::path::primary::PrimaryState;

impl Bench {
    /// What the application was told of its primary, and that it was forgotten.
    fn told(&mut self) -> Vec<PrimaryState> {
        let state = |output: &Output| match output {
            Output::Primary(state) => Some(*state),
            _ => None,
        };
        let told = self.asked.iter().filter_map(state).collect();
        self.forget();
        told
    }

    /// Time passes in the steps that the session asks for; nothing arrives.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.client.poll_timeout().filter(|due| *due <= until) {
            self.wait(due.since(self.now));
        }
        self.wait(until.since(self.now));
    }

    fn pings(&self) -> usize {
        let ping = |frame: &&&ControlFrame| matches!(frame, ControlFrame::Ping(_));
        self.sent(PathId::PRIMARY).iter().filter(ping).count()
    }
}

#[test]
fn a_silent_primary_is_asked_and_then_suspected_while_a_stream_is_open() {
    let mut bench = Bench::established();
    bench.client.handle_activity(PathId::PRIMARY, bench.now, bench.now);
    bench.pass(ms(249));
    assert_eq!((bench.pings(), bench.told()), (1, vec![]));
    bench.pass(ms(1));
    assert_eq!(bench.told(), [PrimaryState::Suspect]);
    assert_eq!(bench.client.primary_state(), PrimaryState::Suspect);
    bench.pass(ms(20_000));
    assert_eq!(bench.told(), [], "its connection is kept as long as QUIC keeps it");
    assert!(!bench.client.is_closed());
    bench.client.handle_activity(PathId::PRIMARY, bench.now, bench.now);
    bench.drain();
    assert_eq!(bench.told(), [PrimaryState::Live]);
}

#[test]
fn a_round_trip_across_our_own_standstill_makes_no_silence_longer() {
    let mut bench = Bench::established();
    bench.client.handle_activity(PathId::PRIMARY, bench.now, bench.now);
    bench.now = bench.now + ms(60_000);
    // The acknowledgement of what was sent before the stop.
    bench.client.handle_primary_rtt(ms(7_500), ms(3_000), bench.now);
    bench.client.handle_activity(PathId::PRIMARY, bench.now, bench.now);
    bench.drain();
    bench.pass(ms(750));
    assert_eq!(bench.told(), [PrimaryState::Suspect]);
}

#[test]
fn nothing_is_asked_of_a_primary_without_a_stream() {
    let mut bench = Bench::new();
    bench.primary(welcome());
    bench.forget();
    bench.pass(ms(60_000));
    assert_eq!((bench.pings(), bench.told()), (0, vec![]));
}

#[test]
fn a_primary_that_answers_is_not_suspected() {
    let mut bench = Bench::established();
    for _ in 0..100 {
        let due = bench.client.poll_timeout().unwrap();
        bench.wait(due.since(bench.now));
        bench.now = bench.now + ms(20);
        bench.client.handle_activity(PathId::PRIMARY, bench.now, bench.now);
        bench.drain();
    }
    assert_eq!(bench.told(), []);
    assert!(bench.now >= Instant::ZERO + ms(300_000), "it is asked ever more rarely");
}

#[test]
fn the_application_hears_that_its_primary_leaves_and_is_gone() {
    let mut bench = Bench::established();
    bench.primary(ControlFrame::GoAway(GoAway { grace_ms: 1000 }));
    assert_eq!(bench.told(), [PrimaryState::Leaving]);
    bench.primary(ControlFrame::GoAway(GoAway { grace_ms: 500 }));
    assert_eq!(bench.told(), [], "once");
    assert!(bench.client.open_stream(StreamKind::Bidirectional).is_some(), "what is open goes on");
    bench.client.handle_primary_lost("lost", bench.now);
    bench.drain();
    assert_eq!(bench.told(), [PrimaryState::Gone]);
}

#[test]
fn a_secondary_that_leaves_drains_what_it_accepted_and_is_dialled_again() {
    let mut bench = Bench::attached(EDGE);
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 1000))]);
    bench.header(EDGE, 3, contribution(stream(0), 1, range(0, 1000))).unwrap().unwrap();
    bench.secondary(EDGE, 1, ControlFrame::GoAway(GoAway { grace_ms: 5000 }));
    assert_eq!(bench.state(EDGE), Some(PathState::Draining));
    let statuses = bench.sent(PathId::PRIMARY);
    let said = statuses.iter().any(|frame| {
        matches!(frame, ControlFrame::PathStatus(status)
            if (status.state, status.reason) == (PathState::Draining, Some(ErrorCode::GoingAway)))
    });
    assert!(said, "{statuses:?}");
    assert_eq!(bench.path_closed_with(EDGE), None);
    assert!(bench.data(EDGE, 3, 0, 1000));
    assert_eq!(
        bench.path_closed_with(EDGE),
        None,
        "the server closes, when it has answered everything"
    );
    let code = ErrorCode::GoingAway;
    let close = SessionClose { code, application_code: None, reason: String::new() };
    bench.secondary(EDGE, 1, ControlFrame::SessionClose(close));
    assert_eq!(bench.path_closed_with(EDGE), None, "what has arrived is read to its end");
    bench.client.handle_lost(EDGE, Epoch(1), code, "closed", bench.now);
    bench.drain();
    assert_eq!(bench.path_closed_with(EDGE), Some(code));
    bench.forget();
    bench.pass(ms(60_000));
    let asked = bench.sent(PathId::PRIMARY);
    let token = |frame: &&ControlFrame| matches!(frame, ControlFrame::TokenRequest(_));
    assert!(asked.iter().any(token), "it may be back");
}
