#![allow(clippy::unwrap_used)]

use super::*;

fn server(cause: Option<Cause>) -> Server {
    Server {
        address: "127.0.0.1:4433".parse().unwrap(),
        role: Role::Secondary,
        state: "gone",
        bytes: 0,
        same_bytes: None,
        rtt_ms: None,
        rate: None,
        mtu: None,
        faults: Vec::new(),
        cause,
        advice: cause.map(|_| "do something"),
    }
}

fn checked(causes: &[Option<Cause>]) -> Checked {
    let servers = causes.iter().map(|cause| server(*cause)).collect();
    Checked { size: 1, blake3: "ab".to_owned(), compared: 1, servers }
}

#[test]
fn what_is_wrong_for_good_comes_before_what_may_pass() {
    let (lies, dead, slow) = (Cause::Integrity, Cause::Unreachable, Cause::Timeout);
    assert_eq!(checked(&[None, None]).cause(), None);
    assert_eq!(checked(&[None, Some(slow), Some(dead)]).cause(), Some(dead));
    assert_eq!(checked(&[Some(dead), Some(lies), Some(slow)]).cause(), Some(lies));
}

#[test]
fn every_code_has_a_cause_with_an_exit_status_and_an_order() {
    for number in 0..64 {
        let Some(code) = ErrorCode::from_wire(number) else { continue };
        let (cause, advice) = of_code(code);
        assert!(ORDER.contains(&cause), "{code:?}");
        assert!(!advice.is_empty() && !advice.ends_with('.'), "{code:?}");
    }
}

#[test]
fn the_object_ends_with_the_exit_status() {
    let object: serde_json::Value =
        serde_json::from_str(&checked(&[Some(Cause::Refused)]).to_json()).unwrap();
    assert_eq!((&object["status"], &object["servers"][0]["cause"]), (&5.into(), &"refused".into()));
}

#[test]
fn advice_stands_below_its_server() {
    let text = checked(&[Some(Cause::Refused)]).to_text();
    assert!(text.lines().any(|line| line.trim() == "-> do something"), "{text}");
}
