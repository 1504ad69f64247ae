//! Clients that do not read, and streams that nobody accepts, at a primary.

use super::*;
use crate::session::PrimarySession;
use crate::session::primary::Output as PrimaryOutput;
use crate::stream::{ReceiveConfig, ReceiveHalf};

const PATIENCE: Duration = Duration::from_secs(60);

/// A primary with the client's streams 0 and 4.
fn primary() -> PrimarySession {
    let config = SessionConfig { reader_patience: PATIENCE, ..SessionConfig::default() };
    let mut primary = PrimarySession::new(&config, &hello(), SESSION, 7, Instant::ZERO).unwrap();
    primary.handle_header(4, stream(0)).unwrap();
    primary.handle_header(8, stream(4)).unwrap();
    outputs(&mut primary, Instant::ZERO);
    primary
}

fn outputs(primary: &mut PrimarySession, now: Instant) -> Vec<PrimaryOutput> {
    std::iter::from_fn(|| primary.poll_output(now)).collect()
}

fn at(seconds: u64) -> Instant {
    Instant::from_start(Duration::from_secs(seconds))
}

#[test]
fn a_stream_that_is_not_read_is_stopped_alone() {
    let mut primary = primary();
    let stopped = |done: &[PrimaryOutput]| {
        let code = ErrorCode::PathTimeout.quic_code();
        let stop = |id| PrimaryOutput::Stream(StreamAction::Stopped(id, code));
        [0, 4].map(|id| done.contains(&stop(stream(id))))
    };
    let mut read = 0;
    for seconds in (0..=60).step_by(15) {
        primary.handle_timeout(at(seconds));
        let asked = outputs(&mut primary, at(seconds));
        for id in [0, 4] {
            let asked = asked.contains(&PrimaryOutput::Stream(StreamAction::Weigh(stream(id))));
            assert_eq!(asked, seconds > 0, "stream {id} after {seconds} s");
        }
        read += 1;
        primary.watch_send(stream(0), 100, 0, at(seconds));
        primary.watch_send(stream(4), 100, read, at(seconds));
        let late = seconds >= 60;
        assert_eq!(stopped(&outputs(&mut primary, at(seconds))), [late, false]);
    }
}

#[test]
fn a_window_opens_when_the_stream_is_accepted() {
    let mut primary = primary();
    let mut half = ReceiveHalf::new(ReceiveConfig::default());
    half.await_accept();
    let windows = |primary: &mut PrimarySession| {
        let is_window = |output: &PrimaryOutput| {
            matches!(output, PrimaryOutput::Send(ControlFrame::StreamWindow(_)))
        };
        outputs(primary, Instant::ZERO).iter().filter(|output| is_window(output)).count()
    };
    for _ in 0..3 {
        primary.service_stream(stream(0), &mut half, Instant::ZERO);
        assert_eq!((windows(&mut primary), half.max_offset()), (0, offset(64 << 10)));
    }
    half.accept();
    primary.service_stream(stream(0), &mut half, Instant::ZERO);
    assert_eq!(windows(&mut primary), 1);
    assert!(half.max_offset() > offset(64 << 10));
}
