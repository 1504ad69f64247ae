#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

fn armed() -> Deadline {
    let mut deadline = Deadline::unset();
    deadline.arm(at(0), Duration::from_millis(200));
    deadline
}

#[test]
fn unset_never_fires() {
    assert_eq!(Deadline::unset().handle_timeout(at(u64::MAX / 2_000_000)), Fired::NotYet);
    assert_eq!(Deadline::unset().poll_timeout(), None);
}

#[test]
fn fires_once_and_only_when_due() {
    let mut deadline = armed();
    assert_eq!(deadline.handle_timeout(at(199)), Fired::NotYet);
    assert_eq!(deadline.handle_timeout(at(200)), Fired::Yes);
    assert_eq!(deadline.handle_timeout(at(201)), Fired::NotYet);
}

#[test]
fn fifty_milliseconds_late_still_counts() {
    assert_eq!(armed().handle_timeout(at(250)), Fired::Yes);
}

#[test]
fn later_than_that_runs_once_more_with_full_length() {
    let mut deadline = armed();
    assert_eq!(deadline.handle_timeout(at(251)), Fired::Again);
    assert!(deadline.is_second_run());
    assert_eq!(deadline.poll_timeout(), Some(at(451)));
    assert_eq!(deadline.handle_timeout(at(450)), Fired::NotYet);
    assert_eq!(deadline.handle_timeout(at(451)), Fired::Yes);
}

#[test]
fn second_run_counts_however_late() {
    let mut deadline = armed();
    assert_eq!(deadline.handle_timeout(at(5_000)), Fired::Again);
    assert_eq!(deadline.handle_timeout(at(60_000)), Fired::Yes);
}

#[test]
fn arming_anew_gives_the_second_chance_back() {
    let mut deadline = armed();
    assert_eq!(deadline.handle_timeout(at(5_000)), Fired::Again);
    deadline.arm(at(5_000), Duration::from_millis(200));
    assert!(!deadline.is_second_run());
    assert_eq!(deadline.handle_timeout(at(9_000)), Fired::Again);
}

#[test]
fn disarmed_does_not_fire() {
    let mut deadline = armed();
    deadline.disarm();
    assert!(!deadline.is_armed());
    assert_eq!(deadline.handle_timeout(at(200)), Fired::NotYet);
}
