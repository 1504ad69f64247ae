#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write;

use super::*;

const STATES: [PathState; 6] = [
    PathState::Dialing,
    PathState::Proving,
    PathState::Live,
    PathState::Suspect,
    PathState::Draining,
    PathState::Gone,
];

fn every() -> impl Iterator<Item = (PathState, PathEvent, PathState, &'static [PathEffect])> {
    STATES.into_iter().flat_map(|from| {
        PathEvent::ALL.into_iter().map(move |event| {
            let (to, effects) = transition(from, event);
            (from, event, to, effects)
        })
    })
}

#[test]
fn every_state_and_event_is_as_written_down() {
    let mut table = String::new();
    for (from, event, to, effects) in every() {
        let row = format!("{from:?} + {event:?}");
        if from == to && effects.is_empty() {
            writeln!(table, "{row:28} -").unwrap();
        } else {
            writeln!(table, "{row:28} {to:?} {effects:?}").unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_change_of_state_is_reported_and_nothing_else_is() {
    for (from, event, to, effects) in every() {
        assert_eq!(from != to, effects.contains(&PathEffect::Report), "{from:?} + {event:?}");
    }
}

#[test]
fn nothing_but_a_new_epoch_leaves_gone() {
    for (from, event, to, _) in every() {
        if from == PathState::Gone && to != PathState::Gone {
            assert_eq!(event, PathEvent::Replaced);
        }
    }
}

#[test]
fn whoever_leaves_with_debts_hands_them_back() {
    for (from, event, to, effects) in every() {
        let ends = matches!(to, PathState::Gone | PathState::Suspect | PathState::Dialing);
        let owed = !matches!(from, PathState::Gone) && event != PathEvent::Drained;
        if from != to && ends && owed {
            assert!(effects.contains(&PathEffect::HandBack), "{from:?} + {event:?}");
        }
    }
}

#[test]
fn every_end_closes_the_connection_once() {
    for (from, event, to, effects) in every() {
        let ended =
            from != PathState::Gone && (to == PathState::Gone || event == PathEvent::Replaced);
        assert_eq!(ended, effects.contains(&PathEffect::Close), "{from:?} + {event:?}");
    }
}

proptest::proptest! {
    #[test]
    fn each_epoch_is_answered_exactly_once(
        events in proptest::collection::vec(proptest::sample::select(PathEvent::ALL.to_vec()), 0..60),
    ) {
        let (mut state, mut answered) = (PathState::Dialing, false);
        for event in events {
            let (to, effects) = transition(state, event);
            for effect in effects {
                if *effect == PathEffect::Answer {
                    assert!(!answered, "{state:?} + {event:?}");
                    answered = true;
                }
            }
            if event == PathEvent::Replaced {
                assert!(answered, "the old epoch has its answer");
                answered = false;
            }
            state = to;
            let waits = matches!(state, PathState::Dialing | PathState::Proving);
            assert_eq!(answered, !waits);
        }
    }
}
