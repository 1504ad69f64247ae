#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn at(secs: u64) -> Instant {
    Instant::from_start(Duration::from_secs(secs))
}

#[test]
fn pauses_double_up_to_the_cap() {
    let mut backoff = Backoff::new(1);
    let mut ceiling = Backoff::FIRST;
    for _ in 0..100 {
        let pause = backoff.next_pause();
        assert!(pause >= ceiling / 2 && pause <= ceiling, "{pause:?} of {ceiling:?}");
        ceiling = (ceiling * 2).min(Backoff::LONGEST);
    }
    assert_eq!(ceiling, Backoff::LONGEST);
}

#[test]
fn the_same_seed_pauses_the_same() {
    let pauses = |seed| {
        let mut backoff = Backoff::new(seed);
        std::array::from_fn::<_, 8, _>(|_| backoff.next_pause())
    };
    assert_eq!(pauses(42), pauses(42));
    assert_ne!(pauses(42), pauses(43));
}

#[test]
fn clients_of_a_dead_server_spread() {
    let firsts: Vec<_> = (0..1_000).map(|seed| Backoff::new(seed).next_pause()).collect();
    let quarter = Backoff::FIRST / 8;
    for part in 0..4 {
        let low = Backoff::FIRST / 2 + quarter * part;
        let within = firsts.iter().filter(|pause| **pause >= low && **pause < low + quarter);
        assert!(within.count() > 150, "part {part} of the range is thin");
    }
}

#[test]
fn a_path_that_lasted_starts_over() {
    let mut backoff = Backoff::new(1);
    for _ in 0..5 {
        backoff.next_pause();
    }
    backoff.handle_live(at(100));
    backoff.handle_lost(at(110));
    assert_eq!(backoff.tries(), 0);
    assert!(backoff.next_pause() <= Backoff::FIRST);
}

#[test]
fn a_path_that_dies_after_each_admission_does_not() {
    let mut backoff = Backoff::new(1);
    for time in 0..5 {
        backoff.next_pause();
        backoff.handle_live(at(100 * time));
        backoff.handle_lost(at(100 * time + 9));
    }
    assert_eq!(backoff.tries(), 5);
}

#[test]
fn a_loss_without_a_life_changes_nothing() {
    let mut backoff = Backoff::new(1);
    backoff.next_pause();
    backoff.handle_lost(at(1_000));
    assert_eq!(backoff.tries(), 1);
}
