#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

/// Clocks at an RTT of `rtt` ms, owing since 0.
fn owing(rtt: u64) -> Liveness {
    let mut liveness = Liveness::new(at(0));
    liveness.handle_rtt(ms(rtt), ms(1));
    liveness.handle_owes(true, at(0));
    liveness
}

/// Drives the clocks from one timer to the next and notes what they say, with times in ms.
fn run(liveness: &mut Liveness, until: u64) -> Vec<(u64, Verdict)> {
    let mut said = Vec::new();
    while let Some(due) = liveness.poll_timeout().filter(|due| *due <= at(until)) {
        let verdict = liveness.handle_timeout(due);
        said.push((due.elapsed().as_millis() as u64, verdict));
    }
    said
}

#[test]
fn a_silent_debtor_is_asked_then_suspect_then_gone() {
    let mut liveness = owing(10);
    let said = run(&mut liveness, 10_000);
    let pings = said.iter().filter(|(_, verdict)| *verdict == Verdict::Ping).count();
    assert_eq!(said[..2], [(125, Verdict::Ping), (250, Verdict::Suspect)]);
    assert_eq!(said.last(), Some(&(3_250, Verdict::Gone)));
    assert!(pings >= 10, "a suspect path is asked again and again: {said:?}");
    assert_eq!(liveness.poll_timeout(), None);
}

#[test]
fn a_far_path_has_three_and_twelve_round_trips() {
    let said = run(&mut owing(400), 20_000);
    assert_eq!(said[..2], [(600, Verdict::Ping), (1_200, Verdict::Suspect)]);
    assert_eq!(said.last(), Some(&(1_200 + 4_800, Verdict::Gone)));
}

#[test]
fn who_owes_nothing_may_be_silent() {
    let mut liveness = owing(10);
    liveness.handle_owes(false, at(100));
    assert_eq!(liveness.poll_timeout(), None);
    assert_eq!(liveness.handle_timeout(at(60_000)), Verdict::Nothing);
}

#[test]
fn silence_before_the_debt_does_not_count() {
    let mut liveness = owing(10);
    liveness.handle_owes(false, at(100));
    liveness.handle_owes(true, at(5_000));
    assert_eq!(run(&mut liveness, 5_260), [(5_125, Verdict::Ping), (5_250, Verdict::Suspect)]);
}

#[test]
fn saying_again_that_it_owes_does_not_restart_the_clock() {
    let mut liveness = owing(10);
    liveness.handle_owes(true, at(200));
    assert_eq!(run(&mut liveness, 260).last(), Some(&(250, Verdict::Suspect)));
}

#[test]
fn every_sign_of_life_restarts_the_clock() {
    let mut liveness = owing(10);
    for time in (100..1_000).step_by(100) {
        assert_eq!(liveness.handle_activity(at(time)), Heard::Usual);
        assert_eq!(run(&mut liveness, time + 99), []);
    }
    assert_eq!(run(&mut liveness, 1_150).last(), Some(&(1_150, Verdict::Suspect)));
}

#[test]
fn the_first_byte_heals() {
    let mut liveness = owing(10);
    run(&mut liveness, 1_000);
    assert!(liveness.is_suspect());
    assert_eq!(liveness.handle_activity(at(1_001)), Heard::Healed);
    assert_eq!(liveness.handle_activity(at(1_002)), Heard::Usual);
    assert_eq!(run(&mut liveness, 1_260).last(), Some(&(1_252, Verdict::Suspect)));
    assert_eq!(run(&mut liveness, 9_000).last(), Some(&(4_252, Verdict::Gone)));
}

#[test]
fn a_suspect_path_that_owes_nothing_any_more_is_given_up_all_the_same() {
    let mut liveness = owing(10);
    run(&mut liveness, 260);
    liveness.handle_owes(false, at(260));
    assert_eq!(run(&mut liveness, 9_000).last(), Some(&(3_250, Verdict::Gone)));
}

#[test]
fn a_client_that_was_stopped_asks_before_it_condemns() {
    let mut liveness = owing(10);
    assert_eq!(liveness.handle_timeout(at(5_000)), Verdict::Ping);
    assert!(!liveness.is_suspect());
    assert_eq!(liveness.handle_activity(at(5_010)), Heard::Usual);

    let mut dead = owing(10);
    assert_eq!(dead.handle_timeout(at(5_000)), Verdict::Ping);
    assert_eq!(run(&mut dead, 5_250).last(), Some(&(5_250, Verdict::Suspect)));
}

#[test]
fn a_stop_does_not_end_the_time_to_heal() {
    let mut liveness = owing(10);
    run(&mut liveness, 260);
    assert_eq!(liveness.handle_timeout(at(60_000)), Verdict::Ping);
    assert!(liveness.is_suspect());
    assert_eq!(run(&mut liveness, 70_000).last(), Some(&(63_000, Verdict::Gone)));
}

#[test]
fn a_new_rtt_measures_the_silence_that_runs() {
    let mut liveness = owing(10);
    liveness.handle_rtt(ms(200), ms(5));
    assert_eq!(run(&mut liveness, 700).last(), Some(&(600, Verdict::Suspect)));
}

#[test]
fn a_new_rtt_does_not_give_a_second_second_chance() {
    let mut liveness = owing(10);
    assert_eq!(liveness.handle_timeout(at(5_000)), Verdict::Ping);
    liveness.handle_rtt(ms(20), ms(5));
    assert_eq!(liveness.handle_timeout(at(5_250)), Verdict::Suspect);
}

#[test]
fn before_the_first_sample_a_path_across_the_world_is_not_suspected() {
    let mut liveness = Liveness::new(at(0));
    liveness.handle_owes(true, at(0));
    assert_eq!(run(&mut liveness, 2_000)[1], (999, Verdict::Suspect));
}

#[test]
fn what_is_gone_stays_gone() {
    let mut liveness = owing(10);
    run(&mut liveness, 10_000);
    assert_eq!(liveness.handle_activity(at(10_001)), Heard::Usual);
    liveness.handle_owes(false, at(10_002));
    liveness.handle_owes(true, at(10_003));
    liveness.handle_rtt(ms(1), ms(1));
    assert_eq!(liveness.poll_timeout(), None);
}

#[derive(Clone, Debug)]
enum Step {
    Activity,
    Owes(bool),
    Rtt(u32),
    Timeout,
}

fn step() -> impl proptest::strategy::Strategy<Value = (u32, Step)> {
    use proptest::prelude::*;
    let step = prop_oneof![
        Just(Step::Activity),
        any::<bool>().prop_map(Step::Owes),
        any::<u32>().prop_map(Step::Rtt),
        Just(Step::Timeout),
    ];
    (0_u32..2_000, step)
}

proptest::proptest! {
    #[test]
    fn any_history_settles_and_never_condemns_who_was_just_heard(
        steps in proptest::collection::vec(step(), 0..80),
    ) {
        let mut liveness = Liveness::new(at(0));
        let (mut now, mut heard) = (0, 0);
        for (pause, step) in steps {
            now += u64::from(pause);
            match step {
                Step::Activity => {
                    liveness.handle_activity(at(now));
                    heard = now;
                }
                Step::Owes(owes) => liveness.handle_owes(owes, at(now)),
                Step::Rtt(micros) => {
                    let rtt = Duration::from_micros(micros.into());
                    liveness.handle_rtt(rtt, rtt / 4);
                }
                Step::Timeout => {
                    let mut rounds = 0;
                    while liveness.poll_timeout().is_some_and(|due| due <= at(now)) {
                        let verdict = liveness.handle_timeout(at(now));
                        if verdict == Verdict::Suspect {
                            assert!(now - heard >= 250, "heard {} ms ago", now - heard);
                        }
                        rounds += 1;
                        assert!(rounds < 4, "the clocks do not settle");
                    }
                }
            }
        }
    }
}
