//! Many sources, most of which are capped, and other ones every ten seconds: as where a provider limits what is popular.

use super::dice::Dice;
use super::net::*;

const SOURCES: u64 = 20;
const CAPPED: usize = 14;
/// Mbit/s, and what is left of them.
const RATE: u64 = 40;
const CAP: u64 = 8;
/// For how long, and how often caps are redrawn.
const SECONDS: u64 = 35;
const REDRAWN: u64 = 10;

/// Which sources are capped.
fn draw(dice: &mut Dice) -> Vec<usize> {
    let mut left: Vec<usize> = (1..=SOURCES as usize).collect();
    (0..CAPPED).map(|_| left.swap_remove(dice.roll(left.len() as u64) as usize)).collect()
}

fn rate(path: usize, capped: &[usize]) -> u64 {
    RATE * MBIT / if capped.contains(&path) { CAP } else { 1 }
}

/// What all have together.
fn sum() -> u64 {
    let free = SOURCES - CAPPED as u64;
    RATE * MBIT * free + RATE * MBIT / CAP * CAPPED as u64
}

fn lab(seed: u64) -> Lab {
    let mut dice = Dice::new(seed);
    let capped = draw(&mut dice);
    let of = |path| Link { rate: rate(path, &capped), rtt: ms(20) };
    let links: Vec<Link> = (1..=SOURCES as usize).map(of).collect();
    let mut lab = Lab::new(20, &links, sum() * SECONDS);
    lab.seed = seed;
    lab.window = 64 << 20;
    for at in (REDRAWN..SECONDS).step_by(REDRAWN as usize) {
        let capped = draw(&mut dice);
        for path in 1..=SOURCES as usize {
            lab = lab.fault(ms(at * 1_000), Fault::Rate(path, rate(path, &capped)));
        }
    }
    lab
}

/// `KWIK_SEEDS=1000` runs so many.
#[test]
fn capped_sources_are_used_for_what_they_have() {
    let (mut worst, mut longest) = ((1.0f64, 0), (ms(0), 0));
    for seed in super::faults::seeds(5) {
        let outcome = lab(seed).run();
        assert!(outcome.complete, "KWIK_SEED={seed}: {outcome}");
        for five in outcome.by_second.windows(6) {
            let share = (five[5] - five[0]) as f64 / (5 * sum()) as f64;
            if share < worst.0 {
                worst = (share, seed);
            }
        }
        longest = longest.max((outcome.stall, seed));
        assert!(outcome.redundancy() <= 0.03, "KWIK_SEED={seed}: {outcome}");
    }
    println!("least share of the sum in five seconds {worst:?}, longest stall {longest:?}");
    assert!(worst.0 >= 0.95 && longest.0 <= ms(250), "{worst:?} {longest:?}");
}
