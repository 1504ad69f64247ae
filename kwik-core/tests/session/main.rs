//! A client's core and its servers' cores, joined by channels in virtual time: delays, reordering between carriers,
//! contributions that break off, servers that refuse, hang or die. Whatever happens, every byte arrives once, in order.
#![allow(clippy::unwrap_used)]

mod world;

use world::{Plan, World};

/// Seeds in the gate; `KWIK_SEEDS` asks for others.
fn seeds() -> u64 {
    std::env::var("KWIK_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000)
}

fn run(plan: Plan) {
    let seed = plan.seed;
    let again = plan.clone();
    let outcome = std::panic::catch_unwind(|| {
        World::new(plan).run().or_else(|_| {
            let mut world = World::new(again);
            world.keep_log();
            world.run()
        })
    });
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(text)) => panic!("seed {seed}: {text}"),
        Err(_) => panic!("seed {seed}: a panic, see above"),
    }
}

#[test]
fn every_byte_arrives_once_in_order_whatever_the_secondaries_do() {
    let first = std::env::var("KWIK_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    match first {
        Some(seed) => run(Plan::random(seed)),
        None => (0..seeds()).for_each(|seed| run(Plan::random(seed))),
    }
}

#[test]
fn one_seed_run_twice_gives_the_same_events() {
    for seed in 0..20 {
        let (mut first, mut second) =
            (World::new(Plan::random(seed)), World::new(Plan::random(seed)));
        first.keep_log();
        second.keep_log();
        first.run().unwrap();
        second.run().unwrap();
        assert_eq!(first.log(), second.log(), "seed {seed}");
    }
}

#[test]
fn without_secondaries_the_primary_alone_delivers() {
    run(Plan { secondaries: Vec::new(), ..Plan::random(1) });
}
