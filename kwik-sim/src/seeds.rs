//! Many runs.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Runs `test` with the seeds from 0 up to `count`, on all cores, until one fails, and lets its panic through with the
/// seed that caused it. Seeds that run meanwhile are brought to their end.
///
/// The environment chooses otherwise: `KWIK_SEEDS=5000` runs so many, `KWIK_SEED=17` runs seed 17 alone.
///
/// # Panics
/// When `test` does, with the same panic. When one of the variables is no number.
pub fn for_each_seed(count: u64, test: impl Fn(u64) + Sync) {
    match number("KWIK_SEED") {
        Some(seed) => test(seed),
        None => run(number("KWIK_SEEDS").unwrap_or(count), test),
    }
}

fn run(count: u64, test: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    let failed = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count {
                break;
            }
            if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| test(seed))) {
                eprintln!("seed {seed} failed; KWIK_SEED={seed} repeats it");
                next.store(count, Ordering::Relaxed);
                failed.lock().unwrap_or_else(|error| error.into_inner()).get_or_insert(panic);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap_or_else(|error| error.into_inner());
    if let Some(panic) = failed {
        panic::resume_unwind(panic);
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?;
    Some(parse(name, &text.to_string_lossy()))
}

fn parse(name: &str, text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn panic_of(job: impl FnOnce()) -> String {
        let panic = panic::catch_unwind(AssertUnwindSafe(job)).unwrap_err();
        panic.downcast_ref::<String>().cloned().unwrap_or_default()
    }

    #[test]
    fn the_panic_of_a_seed_comes_through_and_no_seed_is_begun_after_it() {
        // So many that the test would not end otherwise.
        let text = panic_of(|| run(u64::MAX / 2, |seed| assert!(seed != 3, "seed {seed} is bad")));
        assert_eq!(text, "seed 3 is bad");
    }

    #[test]
    fn all_seeds_run_once() {
        let sum = AtomicU64::new(0);
        run(100, |seed| {
            sum.fetch_add(seed, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 4950);
    }

    #[test]
    fn a_seed_that_is_no_number_is_named_with_its_variable() {
        assert_eq!(parse("KWIK_SEED", "17"), 17);
        let text = panic_of(|| {
            parse("KWIK_SEED", "seventeen");
        });
        assert_eq!(text, "KWIK_SEED is no number: \"seventeen\"");
    }
}
