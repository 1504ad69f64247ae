//! Random networks with random faults: every byte arrives, nothing hangs.

use std::time::Duration;

use kwik_core::delegation::Local;
use kwik_proto::frame::GapReason;

use super::dice::Dice;
use super::net::*;

fn random_lab(seed: u64) -> Lab {
    let mut dice = Dice::new(seed);
    let count = dice.between(1, 7);
    let links: Vec<Link> =
        (0..count).map(|_| link(dice.between(5, 200), dice.between(2, 120))).collect();
    let mut lab = Lab::new(dice.between(2, 150), &links, dice.between(1, 16) * MB + dice.roll(MB));
    lab.seed = seed;
    lab.window = [1 << 20, 4 << 20, 16 << 20][dice.roll(3) as usize];
    lab.order = if dice.roll(2) == 0 { Order::OneByOne } else { Order::InTurns };
    lab.dialled = dice.roll(2) == 0;
    lab.local = (if dice.roll(4) == 0 { Local::Share } else { Local::Fallback }, 50 * MBIT);
    if dice.roll(5) == 0 {
        lab.reader = Some(dice.between(5, 100) * MBIT);
    }
    for _ in 0..dice.roll(7) {
        let at = ms(dice.roll(1500));
        let path = dice.between(1, count + 1) as usize;
        let time = ms(dice.between(10, 4000));
        let fault = match dice.roll(10) {
            0 => Fault::Dies(path),
            1 => Fault::Freezes(path, time),
            2 => Fault::DiskHangs(path, time),
            3 => Fault::Refuses(path, [GapReason::Busy, GapReason::Stale][dice.roll(2) as usize]),
            4 => Fault::Rate(path, dice.between(10_000, 20_000_000)),
            5 | 6 => Fault::Resets(path),
            7 => Fault::Outage(time / 4),
            8 => Fault::Pending(path, time),
            _ => Fault::Removed(path),
        };
        lab = lab.fault(at, fault);
    }
    lab
}

/// `KWIK_SEED` alone, or as many as `KWIK_SEEDS` says.
pub(crate) fn seeds(usually: u64) -> std::ops::Range<u64> {
    match std::env::var("KWIK_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..std::env::var("KWIK_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(usually),
    }
}

#[test]
fn every_byte_arrives_whatever_fails() {
    let mut worst = (Duration::ZERO, 0);
    for seed in seeds(300) {
        let lab = random_lab(seed);
        let outcome = lab.run();
        let what = || {
            format!(
                "KWIK_SEED={seed}: {:?}\n{lab:?}",
                Outcome { told: Vec::new(), ..outcome.clone() }
            )
        };
        assert!(outcome.complete, "not complete, {}", what());
        // The slowest source alone would need this long; a second for each fault, and its own time.
        let reader = lab.reader.map_or(0.0, |rate| lab.size as f64 / rate as f64);
        let slowest = lab.faults.iter().filter_map(|(_, fault)| match fault {
            Fault::Rate(_, rate) => Some(*rate),
            _ => None,
        });
        let slowest = slowest.chain(lab.links.iter().map(|link| link.rate)).min().unwrap();
        let alone = lab.size as f64 / slowest.min(lab.local.1) as f64 + reader;
        let faults: f64 =
            lab.faults.iter().map(|(_, fault)| fault.cost().as_secs_f64() + 1.0).sum();
        assert!(outcome.seconds <= 2.0 + 1.5 * alone + faults, "too slow, {}", what());
        if outcome.stall > worst.0 {
            worst = (outcome.stall, seed);
        }
    }
    println!("longest stall {worst:?}");
}

#[test]
fn one_seed_is_one_run() {
    for seed in 0..20 {
        let (one, two) = (random_lab(seed).run(), random_lab(seed).run());
        assert_eq!(format!("{one:?}"), format!("{two:?}"), "seed {seed}");
    }
}
