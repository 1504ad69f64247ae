//! Sessions with many streams, in virtual time: uploads, resets and stops in the middle, messages, secondaries that
//! fall silent and come back, are removed, lie or die, and a primary that is lost. Whatever happens, nobody reads a byte
//! that no server sent for that place, nobody waits for ever, and nothing is left over.
#![allow(clippy::unwrap_used)]

#[path = "sessions/client.rs"]
mod client;
#[path = "sessions/network.rs"]
mod network;
#[path = "sessions/plan.rs"]
mod plan;
#[path = "sessions/primary.rs"]
mod primary;
#[path = "sessions/secondary.rs"]
mod secondary;
#[path = "sessions/world.rs"]
mod world;

use plan::Plan;
use world::World;

/// Seeds in the gate; `KWIK_SEEDS` asks for others.
fn seeds() -> u64 {
    std::env::var("KWIK_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000)
}

/// Returns how many differences between copies the client found.
fn run(seed: u64) -> u64 {
    let plan = Plan::random(seed);
    let text = format!("{plan:#?}");
    let outcome = std::panic::catch_unwind(|| {
        let mut world = World::new(plan);
        world.run().map(|()| world.conflicts)
    });
    match outcome {
        Ok(Ok(conflicts)) => conflicts,
        Ok(Err(_)) => panic!("KWIK_SEED={seed}: {}\n{text}", retold(seed)),
        Err(_) => panic!("KWIK_SEED={seed}: a panic, see above\n{text}"),
    }
}

/// The same run once more, with its events.
fn retold(seed: u64) -> String {
    let mut world = World::new(Plan::random(seed));
    world.network.keep_log();
    world.run().err().unwrap_or_default()
}

#[test]
fn nobody_reads_a_wrong_byte_waits_for_ever_or_leaves_anything_behind() {
    match std::env::var("KWIK_SEED").ok().and_then(|text| text.parse::<u64>().ok()) {
        Some(seed) => drop(run(seed)),
        None => {
            let conflicts: u64 = (0..seeds()).map(run).sum();
            assert!(conflicts > 0 || seeds() < 1000, "no liar was ever contradicted");
        }
    }
}

#[test]
fn one_seed_run_twice_gives_the_same_events() {
    for seed in 0..30 {
        let mut first = World::new(Plan::random(seed));
        let mut second = World::new(Plan::random(seed));
        first.network.keep_log();
        second.network.keep_log();
        assert_eq!(first.run(), second.run(), "seed {seed}");
        assert_eq!(first.network.log(), second.network.log(), "seed {seed}");
    }
}
