#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

#[test]
fn only_time_with_work_counts() {
    let mut account = Account::default();
    account.handle_outstanding(true, at(100));
    account.handle_outstanding(true, at(150));
    assert_eq!(account.busy(at(160)), Duration::from_millis(60));
    account.handle_outstanding(false, at(200));
    account.handle_outstanding(false, at(900));
    account.handle_outstanding(true, at(1_000));
    assert!(account.is_busy());
    assert_eq!(account.busy(at(1_005)), Duration::from_millis(105));
}

#[test]
fn bytes_add_up_and_never_overflow() {
    let mut account = Account::default();
    account.handle_received(7);
    account.handle_received(u64::MAX);
    assert_eq!(account.received_bytes(), u64::MAX);
}
