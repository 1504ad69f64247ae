#![allow(clippy::unwrap_used)]

use super::*;

fn targets(count: u16) -> Vec<Connect> {
    (1..=count).map(|port| Connect::new(([192, 0, 2, 1], port).into())).collect()
}

fn refused(connect: &Connect) -> ConnectError {
    DialError::Refused { target: connect.address(), reason: "no server there".into() }.into()
}

#[test]
fn an_empty_list_has_an_error_of_its_own() {
    assert!(matches!(ConnectError::of_all(&[], Vec::new()), ConnectError::NoTarget));
}

#[test]
fn the_error_of_a_single_server_is_its_own() {
    let targets = targets(1);
    let error = ConnectError::of_all(&targets, vec![refused(&targets[0])]);
    assert!(matches!(error, ConnectError::Dial(DialError::Refused { .. })), "{error}");
}

#[test]
fn the_text_names_every_server_once_with_its_cause() {
    let targets = targets(2);
    let ended = connection::Error::immediate_close("the worker ended").into();
    let error = ConnectError::of_all(&targets, vec![refused(&targets[0]), ended]);
    let text = error.to_string();
    for address in targets.iter().map(|target| target.address().to_string()) {
        assert_eq!(text.matches(&address).count(), 1, "{text}");
    }
    assert!(text.contains("192.0.2.1:1 refuses the connection"), "{text}");
    assert!(text.contains("192.0.2.1:2: "), "{text}");
}

#[test]
fn the_text_is_one_line_of_bounded_length() {
    let targets = targets(64);
    let wordy = |target: &Connect| {
        let reason = "a\nb\x1b".repeat(10_000);
        DialError::Failed { target: target.address(), reason }.into()
    };
    let error = ConnectError::of_all(&targets, targets.iter().map(wordy).collect());
    let text = error.to_string();
    assert!(!text.contains(char::is_control));
    assert!(text.chars().count() < 64 * (MAX_CAUSE + 32), "{}", text.len());
    let ConnectError::All(failures) = error else { panic!("{text}") };
    assert!(failures.iter().map(|(address, _)| address).eq(targets.iter().map(Connect::address)));
}
