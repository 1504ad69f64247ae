//! Random tests that can be repeated.

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// A generator from `KWIK_SEED`, or from a new seed; the seed is printed, which a test shows when it fails.
///
/// # Panics
/// If `KWIK_SEED` is no number.
pub fn seed() -> StdRng {
    let seed = match std::env::var("KWIK_SEED") {
        Ok(text) => text.parse().expect("KWIK_SEED is a number"),
        Err(_) => StdRng::from_os_rng().next_u64(),
    };
    println!("KWIK_SEED={seed}");
    StdRng::seed_from_u64(seed)
}
