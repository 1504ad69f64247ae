//! Who is the only one left is not given up.

use super::*;

fn only(path: u16) -> Candidates {
    Candidates::List(vec![PathId::new(path)])
}

/// The one source is late with its range, and silent for as long as that takes.
fn silence(bench: &mut Bench) -> Vec<Decision> {
    let [(path, id, range)] = bench.orders()[..] else { panic!() };
    bench.gap(path, id, range, GapReason::Late);
    let mut decisions = bench.decisions();
    let due = bench.scheduler.poll_timeout().expect("silence is looked at");
    assert_eq!(due, at(250));
    bench.now = due;
    decisions.extend(bench.decisions());
    decisions
}

#[test]
fn nothing_is_taken_from_the_only_source_for_its_silence() {
    let mut bench = Bench::new(64 * KIB, only(1), Local::None);
    bench.held(1, &[]);
    assert_eq!(silence(&mut bench), []);
    assert_eq!(bench.scheduler.poll_timeout(), Some(at(500)), "it is looked at again, later");
}

#[test]
fn what_a_silent_source_owes_goes_to_another() {
    let mut bench = Bench::new(64 * KIB, only(1), Local::Fallback);
    bench.held(1, &[]);
    let decisions = silence(&mut bench);
    let supplied = |decision: &Decision| matches!(decision, Decision::SupplyLocally { .. });
    assert!(decisions.iter().any(supplied), "{decisions:?}");
}

#[test]
fn the_primarys_own_copy_is_asked_again_however_often_it_fails() {
    let mut bench = Bench::new(64 * KIB, only(1), Local::Fallback);
    let [(path, id, range)] = bench.orders()[..] else { panic!() };
    bench.answer(path, id, DelegationState::Refused(GapReason::NotFound));
    for failures in 0..6 {
        let [Decision::SupplyLocally { id, .. }] = bench.decisions()[..] else {
            panic!("after {failures} failures")
        };
        bench.gap(PathId::PRIMARY, id, range, GapReason::SourceFailed);
        assert_eq!(bench.decisions(), []);
        bench.now = bench.scheduler.poll_timeout().expect("it is asked again");
    }
}

#[test]
fn what_breaks_off_at_once_counts_once() {
    let mut bench = Bench::new(8 * MIB, only(1), Local::None);
    let excluded = |bench: &mut Bench| {
        let mut events = std::iter::from_fn(|| bench.scheduler.poll_event());
        events.any(|event| matches!(event, Event::Excluded { .. }))
    };
    for failures in 1..=3 {
        let orders = bench.orders();
        assert!(orders.len() > 1 || failures > 1, "{orders:?}");
        for (path, id, _) in orders {
            bench.answer(path, id, DelegationState::Failed(GapReason::Reset));
        }
        assert_eq!(excluded(&mut bench), failures == 3, "after {failures} failures");
        assert_eq!(bench.decisions().len(), usize::from(failures == 3), "it pauses");
        let pause = |bench: &Bench| bench.scheduler.poll_timeout().expect("it is asked again");
        bench.now = if failures < 3 { pause(&bench) } else { bench.now };
    }
}
