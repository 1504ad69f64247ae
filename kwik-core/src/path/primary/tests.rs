use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

/// A primary 10 ms away of which bytes are expected from the start.
fn expecting() -> PrimaryLiveness {
    let mut liveness = PrimaryLiveness::new(at(0));
    liveness.handle_rtt(Duration::from_millis(10));
    liveness.handle_expects(true, at(0));
    liveness
}

#[test]
fn a_stream_that_falls_silent_makes_it_suspect_after_250_ms() {
    let mut liveness = expecting();
    for ms in (10..1000).step_by(10) {
        assert_eq!(liveness.handle_timeout(at(ms)), Verdict::Nothing);
        liveness.handle_activity(at(ms));
    }
    assert_eq!(liveness.poll_timeout(), Some(at(990 + 125)));
    assert_eq!(liveness.handle_timeout(at(1115)), Verdict::Ping);
    assert_eq!(liveness.poll_timeout(), Some(at(1240)));
    assert_eq!(liveness.handle_timeout(at(1240)), Verdict::Suspect);
    assert!(liveness.is_suspect());
}

#[test]
fn a_far_primary_has_three_round_trips() {
    let mut liveness = expecting();
    liveness.handle_rtt(Duration::from_millis(400));
    liveness.handle_activity(at(100));
    assert_eq!(liveness.handle_timeout(at(700)), Verdict::Ping);
    assert_eq!(liveness.handle_timeout(at(1299)), Verdict::Nothing);
    assert_eq!(liveness.handle_timeout(at(1300)), Verdict::Suspect);
}

#[test]
fn one_that_answers_is_asked_ever_more_rarely_and_never_suspected() {
    let (mut liveness, mut now, mut pings) = (expecting(), 0, Vec::new());
    while now < 120_000 {
        let Some(due) = liveness.poll_timeout() else { panic!("the clock stopped") };
        now = u64::try_from(due.elapsed().as_millis()).unwrap_or(u64::MAX);
        assert_eq!(liveness.handle_timeout(at(now)), Verdict::Ping);
        pings.push(now);
        // The Pong, and an acknowledgement that comes late.
        assert_eq!(liveness.handle_activity(at(now + 10)), Heard::Usual);
        assert_eq!(liveness.handle_activity(at(now + 35)), Heard::Usual);
    }
    assert!(pings.len() < 32, "{pings:?}");
    let longest = pings.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(longest <= Some(5_100), "{pings:?}");
}

#[test]
fn bytes_after_a_long_wait_make_the_clock_strict_again() {
    let mut liveness = expecting();
    for ping in [125, 385, 895] {
        assert_eq!(liveness.handle_timeout(at(ping)), Verdict::Ping);
        liveness.handle_activity(at(ping + 10));
    }
    liveness.handle_activity(at(1500));
    assert_eq!(liveness.handle_timeout(at(1625)), Verdict::Ping);
    assert_eq!(liveness.handle_timeout(at(1750)), Verdict::Suspect);
}

#[test]
fn a_suspect_one_is_asked_on_and_healed_by_what_arrives_later() {
    let mut liveness = expecting();
    liveness.handle_timeout(at(125));
    assert_eq!(liveness.handle_timeout(at(250)), Verdict::Suspect);
    assert_eq!(liveness.handle_activity(at(0)), Heard::Usual, "older than the silence");
    assert_eq!(liveness.handle_timeout(at(500)), Verdict::Ping);
    assert_eq!(liveness.handle_timeout(at(750)), Verdict::Ping);
    assert_eq!(liveness.handle_activity(at(760)), Heard::Healed);
    assert!(!liveness.is_suspect());
    assert_eq!(liveness.poll_timeout(), Some(at(885)));
}

#[test]
fn nothing_runs_while_nothing_is_expected() {
    let mut liveness = expecting();
    liveness.handle_expects(false, at(50));
    assert_eq!(liveness.poll_timeout(), None);
    liveness.handle_expects(true, at(60_000));
    assert_eq!(liveness.poll_timeout(), Some(at(60_125)), "the silence before does not count");
}

#[test]
fn our_own_standstill_condemns_nobody() {
    let mut liveness = expecting();
    assert_eq!(liveness.handle_timeout(at(125)), Verdict::Ping);
    // Stopped for a minute, the answer still in the socket.
    assert_eq!(liveness.handle_timeout(at(60_000)), Verdict::Ping);
    liveness.handle_activity(at(60_001));
    assert!(!liveness.is_suspect());
    assert_eq!(liveness.handle_timeout(at(60_126)), Verdict::Nothing);
}
