//! Random honest load with hostile peers among it, for minutes or an hour: at its end the servers hold what they held after
//! its first minute.
//!
//! `cargo test -p kwik-tests --test hostile -- --soak [SECONDS]`, 120 by default. It prints its seed; `KWIK_SEED` repeats
//! what is chosen, not when. `KWIK_SOAK_PEERS` says how many peers there are at once (6), `KWIK_SOAK_CORES` how much
//! processor time the peers and the servers may take in all, in cores (1): above it no peer starts. `KWIK_SOAK_SAMPLES=FILE`
//! keeps every sample.
//!
//! A primary and two secondaries (`kwik serve`) serve files of 1 KiB to 64 MiB, some of which nobody has hashed yet. The
//! primary knows a third secondary, which is hostile. Honest peers are `kwik get`, which may be interrupted and resume, and the
//! sessions of a client in a process of its own, which lasts as long as the servers; every byte is checked. One peer in ten is an
//! attack of this suite. What the four processes hold is looked at each second, from outside and in the servers' own metrics.
//!
//! - Load for a quarter of the time, at most a minute, in which everything is used once.
//! - Load for as long: the first window. Then nothing begins, and what is left once everything has ended is the reference.
//! - Load for the rest, whose end is the last window; then what is left.

pub(crate) mod clients;
mod fleet;
mod honest;
mod hostile;
mod load;
mod sample;
mod verdict;

use std::process::ExitCode;
use std::time::Duration;

use rand::rngs::StdRng;

use fleet::Fleet;
use load::Load;
use verdict::Verdict;

/// What is run.
struct Plan {
    time: Duration,
    /// Peers at once.
    peers: usize,
    /// Cores that all of it may take.
    cores: f64,
}

impl Plan {
    fn of(words: &[String]) -> Self {
        let number =
            |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<f64>().ok());
        let seconds = words.first().and_then(|word| word.parse().ok()).unwrap_or(120);
        Self {
            time: Duration::from_secs(seconds),
            peers: number("KWIK_SOAK_PEERS").map_or(6, |peers| peers as usize).max(1),
            cores: number("KWIK_SOAK_CORES").unwrap_or(1.0).max(0.1),
        }
    }

    /// How long a window is.
    fn window(&self) -> Duration {
        (self.time / 4).min(Duration::from_secs(60))
    }
}

/// Runs it.
pub(crate) fn main(words: &[String]) -> ExitCode {
    let plan = Plan::of(words);
    let random = kwik_tests::seed();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let verdict = runtime.block_on(soak(&plan, random));
    runtime.shutdown_background();
    match verdict {
        Ok(verdict) => verdict.print(),
        Err(error) => {
            println!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn soak(plan: &Plan, random: StdRng) -> anyhow::Result<Verdict> {
    let fleet = Fleet::start().await?;
    let mut load = Load::new(fleet, plan, random);
    let window = plan.window();
    load.run(window).await?;
    let first = load.run(window).await?;
    let reference = load.rest().await?;
    load.run(plan.time.saturating_sub(window * 3)).await?;
    let last = load.run(window).await?;
    let left = load.rest().await?;
    Ok(Verdict::of(load.account().await?, [first, last], [reference, left]))
}
