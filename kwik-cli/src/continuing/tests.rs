use super::*;

const PATIENCE: Patience =
    Patience { connect: Duration::from_secs(10), silence: Duration::from_secs(60), rate: 100 };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn machine(servers: usize) -> Continuing {
    Continuing::new(servers, PATIENCE, ms(0), 7)
}

/// What it does at that time.
fn actions(machine: &mut Continuing, now: u64) -> Vec<Action> {
    std::iter::from_fn(|| machine.poll_action(ms(now))).collect()
}

/// What it does until then, with the times.
fn run(machine: &mut Continuing, from: u64, to: u64) -> Vec<(u64, Action)> {
    let mut done = Vec::new();
    let mut now = from;
    while now <= to {
        done.extend(actions(machine, now).into_iter().map(|action| (now, action)));
        now = (machine.deadline().as_millis() as u64).max(now + 1);
    }
    done
}

fn starts(done: &[(u64, Action)]) -> Vec<(u64, usize)> {
    let start = |(now, action): &(u64, Action)| match action {
        Action::Start(_, server) => Some((*now, *server)),
        _ => None,
    };
    done.iter().filter_map(start).collect()
}

/// One that reads from server 0.
fn reading(servers: usize) -> Continuing {
    let mut machine = machine(servers);
    assert_eq!(actions(&mut machine, 0), [Action::Start(AttemptId(0), 0)]);
    machine.handle_connected(AttemptId(0));
    assert!(machine.handle_ready(AttemptId(0), ms(0)));
    assert_eq!(actions(&mut machine, 0), []);
    machine
}

#[test]
fn servers_are_tried_250_ms_apart_at_first() {
    let done = run(&mut machine(3), 0, 9000);
    assert_eq!(starts(&done), [(0, 0), (250, 1), (500, 2)]);
}

#[test]
fn a_server_that_refuses_is_followed_by_the_next_at_once() {
    let mut machine = machine(3);
    actions(&mut machine, 0);
    machine.handle_failed(AttemptId(0), Verdict::Again, ms(3));
    assert_eq!(actions(&mut machine, 3), [Action::Start(AttemptId(1), 1)]);
    machine.handle_failed(AttemptId(1), Verdict::Again, ms(4));
    assert_eq!(actions(&mut machine, 4), [Action::Start(AttemptId(2), 2)]);
    machine.handle_failed(AttemptId(2), Verdict::Again, ms(5));
    assert_eq!(actions(&mut machine, 5), [Action::GiveUp(Reason::NoneLeft)]);
}

#[test]
fn one_that_serves_later_is_tried_again_until_the_first_connection_is_overdue() {
    let mut machine = machine(2);
    let mut served = 0;
    let mut last = None;
    let mut now = 0;
    while last.is_none() && now < 60_000 {
        for action in actions(&mut machine, now) {
            match action {
                Action::Start(id, 0) => {
                    served += 1;
                    machine.handle_connected(id);
                    machine.handle_failed(id, Verdict::Later, ms(now));
                }
                // A closed port is no server at first.
                Action::Start(id, 1) => machine.handle_failed(id, Verdict::Again, ms(now)),
                Action::GiveUp(reason) => last = Some((now, reason)),
                _ => {}
            }
        }
        now = (machine.deadline().as_millis() as u64).max(now + 1);
    }
    let (end, reason) = last.expect("it ends");
    assert_eq!(reason, Reason::Unconnected);
    assert!((9_900..10_600).contains(&end), "{end}");
    assert!((20..45).contains(&served), "{served}");
}

#[test]
fn a_server_that_closes_its_port_after_it_said_that_it_returns_is_waited_for() {
    let mut machine = machine(1);
    actions(&mut machine, 0);
    machine.handle_failed(AttemptId(0), Verdict::Later, ms(1));
    let done = run(&mut machine, 1, 300);
    assert_eq!(starts(&done).len(), 1);
    machine.handle_failed(AttemptId(1), Verdict::Again, ms(300));
    let done = run(&mut machine, 300, 1_000);
    assert_eq!(starts(&done).len(), 1, "{done:?}");
    machine.handle_connected(AttemptId(2));
    assert!(machine.handle_ready(AttemptId(2), ms(1_000)));
}

#[test]
fn the_first_connection_has_a_time_limit_and_the_answer_another() {
    let mut one = machine(1);
    let done = run(&mut one, 0, 20_000);
    assert_eq!(
        done[1..],
        [(10_000, Action::Abandon(AttemptId(0))), (10_000, Action::GiveUp(Reason::Unconnected)),]
    );
    let mut one = machine(1);
    run(&mut one, 0, 9000);
    one.handle_connected(AttemptId(0));
    let done = run(&mut one, 9001, 80_000);
    let (end, last) = done.last().copied().expect("it ends");
    assert_eq!(last, Action::GiveUp(Reason::Unanswered));
    assert!((69_000..69_600).contains(&end), "{end}");
}

#[test]
fn time_in_which_the_process_was_stopped_does_not_count() {
    let mut machine = reading(1);
    run(&mut machine, 0, 1000);
    assert_eq!(actions(&mut machine, 500_000), []);
    let done = run(&mut machine, 500_000, 600_000);
    let (end, last) = done.last().copied().expect("it ends");
    assert_eq!(last, Action::GiveUp(Reason::Silent));
    assert!(end > 558_000, "{end}");
}

#[test]
fn a_server_that_drips_is_as_good_as_silent() {
    for (bytes, every, ends) in
        [(1, 1_000, true), (99, 1_000, true), (101, 1_000, false), (1_500, 14_000, false)]
    {
        let mut machine = reading(1);
        let mut last = None;
        for now in (every..300_000).step_by(every as usize) {
            last = run(&mut machine, now - every, now - 1).last().copied();
            if last.is_some() {
                break;
            }
            machine.handle_progress(bytes, ms(now));
        }
        let gave_up = matches!(last, Some((_, Action::GiveUp(Reason::Slow))));
        assert_eq!(gave_up, ends, "{bytes} bytes every {every} ms: {last:?}");
    }
}

#[test]
fn a_server_that_is_silent_and_has_another_content_is_not_waited_for() {
    let mut machine = reading(1);
    machine.handle_standing(Standing::Suspect, ms(1000));
    let done = run(&mut machine, 1000, 1000);
    assert_eq!(starts(&done), [(1000, 0)]);
    machine.handle_connected(AttemptId(1));
    machine.handle_failed(AttemptId(1), Verdict::Never, ms(1100));
    let done = run(&mut machine, 1100, 10_000);
    let (end, last) = done.last().copied().expect("it ends");
    assert_eq!(last, Action::GiveUp(Reason::NoneLeft));
    assert!((2_000..3_500).contains(&end), "{end}");
}

#[test]
fn answers_without_a_byte_do_not_end_the_silence() {
    let mut machine = reading(1);
    machine.handle_lost(Verdict::Again, ms(0));
    let mut end = None;
    for now in (0..100_000).step_by(100) {
        for action in actions(&mut machine, now) {
            match action {
                Action::Start(id, 0) => {
                    machine.handle_connected(id);
                    assert!(machine.handle_ready(id, ms(now)));
                    machine.handle_lost(Verdict::Again, ms(now));
                }
                Action::GiveUp(reason) => end = end.or(Some((now, reason))),
                _ => {}
            }
        }
    }
    let (end, reason) = end.expect("it gives up");
    assert_eq!(reason, Reason::Silent);
    assert!((59_000..62_000).contains(&end), "{end}");
}

/// One that answers at once, sends bytes and is lost after `lasts` ms, for `time` ms: how often it was read from.
fn relapsing(servers: usize, lasts: u64, time: u64) -> usize {
    let mut machine = reading(servers);
    let (mut read, mut lost) = (1, Some(lasts));
    for now in 0..time {
        if lost == Some(now) {
            machine.handle_progress(1 << 20, ms(now));
            machine.handle_lost(Verdict::Again, ms(now));
            lost = None;
        }
        for action in actions(&mut machine, now) {
            if let Action::Start(id, _) = action
                && machine.handle_ready(id, ms(now))
            {
                (read, lost) = (read + 1, Some(now + lasts));
            }
        }
    }
    read
}

#[test]
fn a_server_that_is_lost_soon_after_each_answer_is_tried_after_pauses() {
    assert_eq!(relapsing(1, 2_500, 60_000), 24, "one that does well for a while: at once");
    let read = relapsing(1, 1, 60_000);
    assert!((120..260).contains(&read), "{read}");
    let read = relapsing(3, 1, 60_000);
    assert!((120..3 * 260).contains(&read), "{read}");
}

#[test]
fn a_server_that_is_restarted_is_tried_at_once() {
    let mut machine = reading(1);
    machine.handle_lost(Verdict::Again, ms(500));
    assert_eq!(starts(&run(&mut machine, 500, 501)), [(500, 0)]);
}

#[test]
fn a_suspect_server_is_left_for_the_first_that_answers() {
    let mut machine = reading(3);
    machine.handle_standing(Standing::Suspect, ms(1000));
    let done = run(&mut machine, 1000, 1600);
    assert_eq!(starts(&done), [(1000, 1), (1250, 2), (1500, 0)]);
    machine.handle_connected(AttemptId(2));
    assert!(machine.handle_ready(AttemptId(2), ms(1600)));
    assert_eq!(
        actions(&mut machine, 1600),
        [Action::Abandon(AttemptId(1)), Action::Abandon(AttemptId(3)),]
    );
    assert!(!machine.handle_ready(AttemptId(1), ms(1600)), "too late");
    assert_eq!(starts(&run(&mut machine, 1600, 20_000)), []);
}

#[test]
fn a_server_that_delivers_again_is_kept() {
    let mut machine = reading(2);
    machine.handle_standing(Standing::Suspect, ms(1000));
    assert_eq!(actions(&mut machine, 1000), [Action::Start(AttemptId(1), 1)]);
    // Bytes of secondaries, while the primary is silent.
    machine.handle_progress(1 << 20, ms(1050));
    assert_eq!(actions(&mut machine, 1050), []);
    machine.handle_standing(Standing::Live, ms(1100));
    assert_eq!(actions(&mut machine, 1100), []);
    machine.handle_progress(1 << 20, ms(1101));
    assert_eq!(actions(&mut machine, 1101), [Action::Abandon(AttemptId(1))]);
    assert!(!machine.handle_ready(AttemptId(1), ms(1101)));
}

#[test]
fn the_only_server_is_tried_until_the_time_is_over() {
    let mut machine = reading(1);
    machine.handle_standing(Standing::Gone, ms(1000));
    machine.handle_lost(Verdict::Again, ms(1000));
    let mut now = 1000;
    let mut tries = Vec::new();
    let end = loop {
        match actions(&mut machine, now).first() {
            Some(Action::Start(id, 0)) => {
                tries.push(now);
                machine.handle_failed(*id, Verdict::Again, ms(now + 1));
            }
            Some(Action::GiveUp(reason)) => break *reason,
            Some(other) => panic!("{other:?}"),
            None => {}
        }
        now = machine.deadline().as_millis() as u64 + 1;
    };
    assert_eq!(end, Reason::Silent);
    assert!((60_000..64_000).contains(&now), "{now}");
    assert!(
        tries.windows(2).all(|two| two[1] - two[0] <= 510),
        "it returns within a second: {tries:?}"
    );
    assert!(tries.windows(2).skip(4).all(|two| two[1] - two[0] >= 240), "not too often: {tries:?}");
}

#[test]
fn swallowed_handshakes_are_joined_by_others() {
    let mut machine = reading(1);
    machine.handle_lost(Verdict::Again, ms(1000));
    let done = run(&mut machine, 1000, 7000);
    assert_eq!(starts(&done).len(), 9, "{done:?}");
    let abandoned: Vec<_> =
        done.iter().filter(|(_, action)| matches!(action, Action::Abandon(_))).collect();
    assert_eq!(abandoned.len(), 5, "at most four wait: {done:?}");
    // One has its connection: the others are of no use, and it has time for its answer.
    machine.handle_connected(AttemptId(9));
    assert_eq!(actions(&mut machine, 7001).len(), 3);
    assert_eq!(starts(&run(&mut machine, 7001, 30_000)), []);
}

#[test]
fn a_server_with_another_content_is_not_tried_again() {
    let mut machine = reading(2);
    machine.handle_lost(Verdict::Again, ms(0));
    run(&mut machine, 0, 300);
    machine.handle_failed(AttemptId(1), Verdict::Never, ms(300));
    machine.handle_failed(AttemptId(2), Verdict::Never, ms(300));
    assert_eq!(actions(&mut machine, 300), [Action::GiveUp(Reason::NoneLeft)]);
}

#[test]
fn a_leaving_server_is_read_while_others_are_tried() {
    let mut machine = reading(2);
    machine.handle_standing(Standing::Leaving, ms(10));
    assert_eq!(actions(&mut machine, 10), [Action::Start(AttemptId(1), 1)]);
    machine.handle_failed(AttemptId(1), Verdict::Again, ms(11));
    for now in [20, 30, 40] {
        machine.handle_progress(1 << 20, ms(now));
    }
    assert!(!starts(&run(&mut machine, 41, 1000)).is_empty(), "it is tried again");
}

#[test]
fn a_server_that_failed_at_first_may_come_back_later() {
    let mut machine = machine(2);
    actions(&mut machine, 0);
    machine.handle_failed(AttemptId(0), Verdict::Again, ms(1));
    actions(&mut machine, 1);
    assert!(machine.handle_ready(AttemptId(1), ms(1)));
    machine.handle_lost(Verdict::Again, ms(100));
    assert_eq!(starts(&run(&mut machine, 100, 400)), [(100, 0), (350, 1)]);
}
