#![allow(clippy::unwrap_used)]

use kwik_proto::frame::{Ping, Pong, RelayCredit, TokenRequest};
use kwik_proto::{Epoch, PathId};

use super::*;

fn usual(peer: Peer) -> Throttle {
    Throttle::new(Arc::new(Rates::of(peer)))
}

fn ping() -> ControlFrame {
    ControlFrame::Ping(Ping { nonce: 1 })
}

/// Bytes of a frame that counts once.
const SMALL: usize = 20;

fn pong() -> ControlFrame {
    ControlFrame::Pong(Pong { nonce: 1 })
}

fn token() -> ControlFrame {
    ControlFrame::TokenRequest(TokenRequest { path: PathId::new(1), epoch: Epoch::FIRST })
}

/// Frames that pass at once, and when the next one may.
fn flood(throttle: &mut Throttle, frame: &ControlFrame, now: Instant) -> (u32, Instant) {
    for passed in 0.. {
        if let Pace::Wait(wait) = throttle.charge(Some(frame), SMALL, now).unwrap() {
            return (passed, wait.until);
        }
    }
    unreachable!("some frame waits")
}

#[test]
fn a_second_s_frames_pass_at_once_and_the_next_one_waits() {
    let mut throttle = usual(Peer::Client);
    let (passed, at) = flood(&mut throttle, &token(), Instant::ZERO);
    assert_eq!(passed, 200);
    assert_eq!(at, Instant::ZERO + PAUSE + Duration::from_millis(5));
    let mut any = usual(Peer::Secondary);
    assert_eq!(flood(&mut any, &pong(), Instant::ZERO).0, 200_000);
}

#[test]
fn a_class_that_is_slowed_leaves_the_others_their_rate() {
    let mut throttle = usual(Peer::Client);
    let (_, now) = flood(&mut throttle, &token(), Instant::ZERO);
    assert_eq!(throttle.charge(Some(&ping()), SMALL, now), Ok(Pace::Now));
    assert_eq!(throttle.charge(Some(&pong()), SMALL, now), Ok(Pace::Now));
}

/// Sends as fast as it is read. Frames until the peer is cut off, and when that is.
fn cut_off(frame: &ControlFrame, peer: Peer) -> (u32, Duration, RateExceeded) {
    let (mut throttle, mut now, mut told) = (usual(peer), Instant::ZERO, 0);
    for frames in 0.. {
        match throttle.charge(Some(frame), SMALL, now) {
            Ok(Pace::Now) => {}
            Ok(Pace::Wait(wait)) => {
                told += u32::from(wait.is_first);
                now = wait.until;
            }
            Err(error) => {
                assert_eq!(told, 1);
                return (frames, now.elapsed(), error);
            }
        }
    }
    unreachable!("it is cut off")
}

#[test]
fn who_keeps_on_gets_no_more_than_the_rate_and_is_cut_off() {
    let (frames, after, error) = cut_off(&token(), Peer::Client);
    assert!((2200..=2210).contains(&frames), "{frames}");
    assert!((10_000..10_100).contains(&after.as_millis()), "{after:?}");
    assert_eq!(error, RateExceeded(Class::Token));
    let (frames, _, error) = cut_off(&ping(), Peer::Secondary);
    assert!((22_000..=22_100).contains(&frames), "{frames}");
    assert_eq!(error, RateExceeded(Class::Probe));
}

#[test]
fn who_pauses_in_between_is_slowed_and_never_cut_off() {
    let (mut throttle, mut now) = (usual(Peer::Client), Instant::ZERO);
    for _ in 0..1000 {
        let (_, at) = flood(&mut throttle, &token(), now);
        now = at + Duration::from_millis(600);
    }
}

#[test]
fn a_peer_at_its_rate_is_never_slowed() {
    for peer in [Peer::Client, Peer::Primary, Peer::Secondary] {
        let (mut throttle, mut now) = (usual(peer), Instant::ZERO);
        for _ in 0..100_000 {
            assert_eq!(throttle.charge(Some(&ping()), SMALL, now), Ok(Pace::Now));
            now = now + Duration::from_secs(1) / Rates::of(peer).rate(Class::Probe);
        }
    }
}

/// Paths to secondaries that a client has, at most.
const SECONDARIES: u32 = 16;
/// Answers that a client passes on for one order, at most: Pending, Accepted, Sent, Failed.
const ANSWERS: u32 = 4;

#[test]
fn what_secondaries_may_send_a_client_may_pass_on() {
    let (client, server) = (Rates::of(Peer::Client), Rates::of(Peer::Secondary));
    assert!(client.rate(Class::Message) >= SECONDARIES * server.rate(Class::Message));
    assert!(client.rate(Class::Probe) >= server.rate(Class::Probe));
    let orders = Rates::of(Peer::Primary).rate(Class::Orders);
    assert!(client.rate(Class::Answer) >= ANSWERS * orders + server.rate(Class::Answer));
}

#[test]
fn a_rate_can_be_set_and_is_never_nothing() {
    let rates = Rates::of(Peer::Client).with(Class::Token, 7).with(Class::Probe, 0);
    let mut throttle = Throttle::new(Arc::new(rates));
    assert_eq!(flood(&mut throttle, &token(), Instant::ZERO).0, 7);
    assert_eq!(flood(&mut throttle, &ping(), Instant::ZERO).0, 1);
    assert_eq!(rates.rate(Class::Path), 400);
}

/// Bytes of frames of that size that pass at once.
fn bytes_at_once(peer: Peer, frame: Option<&ControlFrame>, size: usize) -> u64 {
    let mut throttle = usual(peer);
    let passed =
        (0..).take_while(|_: &u64| throttle.charge(frame, size, Instant::ZERO) == Ok(Pace::Now));
    passed.count() as u64 * size as u64
}

#[test]
fn bytes_have_the_rate_of_so_many_frames_whatever_their_size() {
    let most = 200_000 * UNIT as u64;
    for size in [1, UNIT - 1, UNIT, UNIT + 1, 5_000, 64 << 10] {
        // One that is passed over counts as one that is not.
        for frame in [Some(&pong()), None] {
            let bytes = bytes_at_once(Peer::Client, frame, size);
            assert!(bytes <= most, "{bytes} bytes of {size}");
        }
    }
    assert_eq!(bytes_at_once(Peer::Client, Some(&pong()), UNIT), most);
}

#[test]
fn a_peer_that_keeps_on_sending_large_frames_is_cut_off() {
    let (mut throttle, mut now) = (usual(Peer::Secondary), Instant::ZERO);
    let error = loop {
        match throttle.charge(None, 64 << 10, now) {
            Ok(Pace::Now) => {}
            Ok(Pace::Wait(wait)) => now = wait.until,
            Err(error) => break error,
        }
    };
    assert_eq!(error, RateExceeded(Class::Any));
    assert!((10_000..10_100).contains(&now.elapsed().as_millis()), "{now:?}");
}

/// A relay's piece counts by its size among messages too, so that pieces of the largest size fit where small ones do.
#[test]
fn messages_of_all_secondaries_fit_whatever_their_size() {
    let relay = ControlFrame::RelayCredit(RelayCredit { path: PathId::new(1), max_bytes: 1 });
    for size in [SMALL, 4_200, 64 << 10] {
        let of_secondary = bytes_at_once(Peer::Secondary, Some(&relay), size);
        let of_client = bytes_at_once(Peer::Client, Some(&relay), size);
        assert!(of_client >= u64::from(SECONDARIES) * of_secondary, "{size}");
    }
}
