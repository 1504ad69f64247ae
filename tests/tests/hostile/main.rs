//! Attacks by programs that speak QUIC and frames alone, or that run the program against hostile peers.
//!
//! Each attack runs against a process of its own, beside an honest session. The honest session's bytes must be right; the
//! process must not panic, must not grow beyond the attack's bound, must not fill its log, and must answer as the table
//! says. Each prints one row.
//!
//! - `cargo test -p kwik-tests --test hostile` runs all of them; words behind `--` pick those whose names have one of
//!   them, or a party.
//! - `KWIK_ATTACK_SCALE=10` multiplies the amounts.
//! - `KWIK_HOSTILE_TABLE=FILE` writes the table there.
//! - `-- --beside [WORDS]` compares what an attack costs the honest session with what an honest one does: see [`beside`].
//! - `-- --soak [SECONDS]` runs random load instead, with the attacks among it: see [`soak`].
#![allow(clippy::unwrap_used)]

mod attack;
mod beside;
mod client;
mod honest;
mod primary;
mod program;
mod secondary;
mod soak;
mod table;
mod victim;
mod wire;

use std::process::ExitCode;

use attack::{Arena, Attack};
use table::Table;

/// The first argument of a process that is attacked.
const VICTIM: &str = "--victim";

/// The argument that asks for the honest session's share.
const BESIDE: &str = "--beside";
/// The argument that asks for the soak.
const SOAK: &str = "--soak";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == VICTIM) {
        victim::child::run(&args[1..]);
        return ExitCode::SUCCESS;
    }
    // A row says what an assertion says.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(words) = args.iter().position(|it| it == BESIDE).map(|at| &args[at + 1..]) {
        return beside::main(words);
    }
    if let Some(words) = args.iter().position(|it| it == SOAK).map(|at| &args[at + 1..]) {
        return soak::main(words);
    }
    let filters: Vec<&str> =
        args.iter().map(String::as_str).filter(|it| !it.starts_with('-')).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut table = Table::open();
    runtime.block_on(async {
        for list in primary::LISTS {
            run(list, &filters, &mut table).await;
        }
        for list in secondary::LISTS {
            run(list, &filters, &mut table).await;
        }
        for list in client::BY_PRIMARIES {
            run(list, &filters, &mut table).await;
        }
        for list in client::BY_SECONDARIES {
            run(list, &filters, &mut table).await;
        }
        for list in program::LISTS {
            run(list, &filters, &mut table).await;
        }
    });
    // Endpoints that wait for their peers hold nobody up.
    runtime.shutdown_background();
    table.verdict()
}

async fn run<A: Arena>(list: &[Attack<A>], filters: &[&str], table: &mut Table) {
    for attack in list {
        let named = |it: &&str| attack.name.contains(it) || A::PARTY == *it;
        let chosen = filters.is_empty() || filters.iter().any(named);
        if chosen {
            table.add(attack.run().await);
        }
    }
}
