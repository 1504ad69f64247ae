//! Sessions with many streams, in virtual time: uploads, resets and stops in the middle, messages, secondaries that
//! fall silent and come back, are removed or die, and a primary that is lost. Whatever happens, nobody reads a wrong byte,
//! nobody waits for ever, and nothing is left over.
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

fn run(seed: u64) {
    let plan = Plan::random(seed);
    let text = format!("{plan:#?}");
    match std::panic::catch_unwind(|| World::new(plan).run()) {
        Ok(Ok(())) => {}
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
        Some(seed) => run(seed),
        None => (0..seeds()).for_each(run),
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
