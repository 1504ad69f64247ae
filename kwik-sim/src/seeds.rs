//! Many runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Runs `test` with the seeds from 0 up to `count`, on all cores, and lets its panic through with the seed that caused
/// it.
///
/// The environment chooses otherwise: `KWIK_SEEDS=5000` runs so many, `KWIK_SEED=17` runs seed 17 alone.
///
/// # Panics
/// When `test` does.
pub fn for_each_seed(count: u64, test: impl Fn(u64) + Sync) {
    if let Some(seed) = variable("KWIK_SEED") {
        return test(seed);
    }
    let count = variable("KWIK_SEEDS").unwrap_or(count);
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count {
                break;
            }
            let _told = TellSeed(seed);
            test(seed);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
}

/// Says the seed when its test panics.
struct TellSeed(u64);

impl Drop for TellSeed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("seed {0} failed; KWIK_SEED={0} repeats it", self.0);
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
