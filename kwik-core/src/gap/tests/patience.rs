//! Who has neither failed nor promised is waited for, but not for ever.

use super::*;

const SECOND: u64 = 1000;

/// Looks twenty times a second from `from` on; when the reader was given up.
fn given_up(bench: &mut Bench, from: u64, until: u64) -> Option<u64> {
    (from..=until).step_by(50).find(|&millis| {
        std::iter::from_fn(|| bench.poll(millis))
            .any(|action| matches!(action, GapAction::GiveUp { .. }))
    })
}

fn says(bench: &mut Bench, path: PathId, id: DelegationId, state: DelegationState, millis: u64) {
    assert!(bench.promises.handle_status(path, id, state, at(millis)));
}

#[test]
fn who_says_that_it_will_join_has_six_gap_timeouts() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 10_000), 0);
    says(&mut bench, P, D, DelegationState::Pending, 0);
    assert_eq!(given_up(&mut bench, 0, 100 * SECOND), Some(60 * SECOND));
}

#[test]
fn who_will_join_need_not_have_promised_the_head() {
    let mut bench = Bench::new();
    bench.record(P, D, range(20_000, 30_000), 0);
    says(&mut bench, P, D, DelegationState::Pending, 0);
    assert_eq!(given_up(&mut bench, 0, 100 * SECOND), Some(60 * SECOND));
}

#[test]
fn a_path_that_is_suspect_will_not_join() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 10_000), 0);
    says(&mut bench, P, D, DelegationState::Pending, 0);
    assert_eq!(given_up(&mut bench, 0, 30 * SECOND), None);
    bench.promises.path_suspect(P, at(30 * SECOND));
    assert_eq!(given_up(&mut bench, 30 * SECOND, 100 * SECOND), Some(40 * SECOND));
}

#[test]
fn announcements_do_not_add_up() {
    let mut bench = Bench::new();
    let mut found = None;
    for round in 0..10 {
        let (from, id) = (round * 9 * SECOND, DelegationId(100 + round));
        bench.record(P, id, range(0, 10_000), from);
        says(&mut bench, P, id, DelegationState::Pending, from);
        found = found.or(given_up(&mut bench, from, from + 8 * SECOND));
        let refused = DelegationState::Refused(GapReason::Busy);
        says(&mut bench, P, id, refused, from + 8 * SECOND);
        found = found.or(given_up(&mut bench, from + 8 * SECOND, from + 9 * SECOND));
    }
    // Eight seconds of patience and one without it in each round: ten of the latter would take longer.
    assert_eq!(found, Some(60 * SECOND));
}

#[test]
fn the_time_until_it_joined_is_not_held_against_it() {
    let mut bench = Bench::new();
    bench.record(P, D, range(0, 10_000), 0);
    bench.poll(0);
    assert_eq!(bench.poll(45), gap(range(0, 10_000), GapReason::Late, P, D));
    bench.record(Q, E, range(0, 10_000), 45);
    says(&mut bench, Q, E, DelegationState::Pending, 45);
    assert_eq!(given_up(&mut bench, 45, 40 * SECOND), None);
    says(&mut bench, Q, E, DelegationState::Accepted, 40 * SECOND);
    assert_eq!(given_up(&mut bench, 40 * SECOND, 49 * SECOND), None);
}

#[test]
fn an_open_contribution_may_pause() {
    let mut bench = Bench::new();
    bench.opened = true;
    assert_eq!(given_up(&mut bench, 0, 59 * SECOND), None);
    bench.head = 1;
    bench.missing = vec![range(1, 10_000)];
    assert_eq!(given_up(&mut bench, 59 * SECOND, 100 * SECOND), None, "a byte came");
    // Closed.
    bench.opened = false;
    assert_eq!(given_up(&mut bench, 100 * SECOND, 200 * SECOND), Some(110 * SECOND));
}

#[test]
fn nobody_replaces_the_primarys_copy() {
    let mut bench = Bench::new();
    bench.record(PathId::PRIMARY, D, range(0, 10_000), 0);
    // It is called late after 45 ms, and the look after that finds it so.
    assert_eq!(given_up(&mut bench, 0, 100 * SECOND), Some(60 * SECOND + 50));
}

/// P is asked for the head every 450 ms and is late each time; Q says at `joins` that it will send it later, and is not
/// heard of any more from `leaves` on. When the reader was given up.
fn breaker_beside(joins: u64, leaves: u64) -> Option<u64> {
    let mut bench = Bench::new();
    let mut id = 100;
    let (_, end) = until_given_up(&mut bench, 300 * SECOND, |bench, millis| {
        if millis == joins {
            bench.record(Q, E, range(0, 10_000), millis);
            says(bench, Q, E, DelegationState::Pending, millis);
        }
        if millis == leaves {
            bench.promises.path_suspect(Q, at(millis));
        }
        if millis % 450 == 0 {
            bench.promises.revoke(P, DelegationId(id), at(millis));
            id += 1;
            bench.record(P, DelegationId(id), range(0, 10_000), millis);
        }
    });
    end
}

#[test]
fn who_breaks_its_promises_does_not_lengthen_the_wait_for_who_will_join() {
    // It owes the head for most of the time.
    assert_eq!(breaker_beside(0, 300 * SECOND), Some(60 * SECOND + 45));
}

#[test]
fn who_breaks_its_promises_does_not_shorten_the_wait_for_who_will_join() {
    assert_eq!(breaker_beside(900, 300 * SECOND), Some(60 * SECOND + 45));
}

#[test]
fn the_wait_for_late_promises_goes_on_when_nobody_will_join_any_more() {
    // 1,765 ms before and 18,235 ms after: two gap timeouts.
    assert_eq!(breaker_beside(900, 30_150), Some(30_150 + 18_235));
}

#[test]
fn promises_that_end_before_they_are_late_end_too() {
    let mut bench = Bench::new();
    let (_, end) = until_given_up(&mut bench, 300 * SECOND, |bench, millis| {
        let id = DelegationId(100 + millis / 45);
        if millis % 45 == 0 {
            bench.record(P, id, range(0, 10_000), millis);
        } else if millis % 45 == 40 {
            says(bench, P, id, DelegationState::Failed(GapReason::Reset), millis);
        }
    });
    assert_eq!(end, Some(60 * SECOND + 40));
}

#[test]
fn what_may_take_any_time_uses_no_patience_up() {
    let mut bench = Bench::new();
    bench.record(PathId::PRIMARY, D, range(0, 10_000), 0);
    assert_eq!(given_up(&mut bench, 0, 30 * SECOND), None);
    // It took its copy back, and nobody else was ever asked.
    bench.promises.revoke(PathId::PRIMARY, D, at(30 * SECOND));
    bench.unwritten = true;
    assert_eq!(given_up(&mut bench, 30 * SECOND, 130 * SECOND), None);
    bench.record(PathId::PRIMARY, E, range(0, 10_000), 130 * SECOND);
    assert_eq!(given_up(&mut bench, 130 * SECOND, 200 * SECOND), Some(160 * SECOND + 50));
}
