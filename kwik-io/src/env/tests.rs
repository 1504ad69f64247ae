#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_seed_gives_the_same_bytes_however_they_are_asked_for() {
    let whole: [u8; 100] = Env::seeded(1, WallTime(0)).random();
    let env = Env::seeded(1, WallTime(0));
    let mut pieces = [0; 100];
    for piece in pieces.chunks_mut(7) {
        env.fill(piece);
    }
    assert_eq!(whole, pieces);
}

#[test]
fn different_seeds_give_different_bytes() {
    let one: [u8; 32] = Env::seeded(1, WallTime(0)).random();
    let two: [u8; 32] = Env::seeded(2, WallTime(0)).random();
    assert_ne!(one, two);
}

#[test]
fn a_stream_does_not_repeat_itself() {
    let env = Env::seeded(1, WallTime(0));
    let one: [u8; 32] = env.random();
    let two: [u8; 32] = env.random();
    assert_ne!(one, two);
}

#[test]
fn the_system_gives_different_bytes_every_time() {
    let env = Env::system();
    let one: [u8; 32] = env.random();
    let two: [u8; 32] = env.random();
    assert_ne!(one, two);
}

#[test]
fn the_systems_wall_clock_is_after_2020() {
    assert!(Env::system().wall() > WallTime(1_577_836_800));
}

#[test]
fn a_seeded_wall_clock_follows_the_monotonic_one() {
    let env = Env::seeded(1, WallTime(1_000));
    let before = env.now().elapsed().as_secs();
    let wall = env.wall().0;
    let after = env.now().elapsed().as_secs();
    assert!((1_000 + before..=1_000 + after).contains(&wall), "{before} {wall} {after}");
}

#[test]
fn a_deadline_is_the_same_point_in_tokios_time() {
    let env = Env::system();
    let before = tokio::time::Instant::now();
    let now = env.deadline(env.now());
    assert!(before <= now && now <= tokio::time::Instant::now());
    let later = env.deadline(Instant::ZERO + Duration::from_secs(3));
    assert_eq!(later - env.deadline(Instant::ZERO), Duration::from_secs(3));
}

#[test]
fn the_last_instant_is_a_deadline_too() {
    let env = Env::system();
    let far = Instant::from_start(Duration::MAX);
    assert!(env.deadline(far) > tokio::time::Instant::now());
}
