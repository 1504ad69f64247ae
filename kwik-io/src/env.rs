//! Clock and entropy, in one value, so that the same code runs for real and in a simulation.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use kwik_core::time::{Instant, WallTime};

/// The world that drivers run in: monotonic time, wall-clock time and random bytes.
///
/// A client or server makes one at its start and hands clones to everything below. Clones share one start and one
/// entropy stream. [`Env::system`] is the real world; [`Env::seeded`] gives the same random bytes at every run and
/// derives the wall clock from the monotonic one. Both read tokio's clock, which a simulation pauses and moves.
///
/// ```
/// use kwik_core::time::WallTime;
/// use kwik_io::env::Env;
///
/// let env = Env::seeded(7, WallTime(1_000));
/// let mut bytes = [0; 16];
/// env.fill(&mut bytes);
/// let mut again = [0; 16];
/// Env::seeded(7, WallTime(1_000)).fill(&mut again);
/// assert_eq!(bytes, again);
/// ```
#[derive(Clone)]
pub struct Env(Arc<World>);

struct World {
    start: tokio::time::Instant,
    source: Source,
}

/// Where wall time and entropy come from. The one place that knows whether the world is simulated.
enum Source {
    System,
    Seeded { epoch: WallTime, stream: Mutex<Keystream> },
}

impl Env {
    /// The real world: the system's wall clock and the operating system's entropy.
    pub fn system() -> Self {
        Self::with(Source::System)
    }

    /// A repeatable world: random bytes from `seed` alone, and a wall clock that reads `epoch` at the start and then
    /// follows the monotonic one. Never for production: whoever knows the seed knows every key.
    pub fn seeded(seed: u64, epoch: WallTime) -> Self {
        Self::with(Source::Seeded { epoch, stream: Mutex::new(Keystream::new(seed)) })
    }

    fn with(source: Source) -> Self {
        Self(Arc::new(World { start: tokio::time::Instant::now(), source }))
    }

    /// Monotonic time since this world was made.
    pub fn now(&self) -> Instant {
        Instant::from_start(self.0.start.elapsed())
    }

    /// The point of tokio's clock that is `at` in this world, for timers.
    pub fn deadline(&self, at: Instant) -> tokio::time::Instant {
        // About 30 years: what tokio itself calls far away.
        const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);
        self.0.start + at.elapsed().min(FAR)
    }

    /// Wall-clock time, for the claims of tokens and the dates of certificates only. 0 if the system's clock is
    /// before 1970.
    pub fn wall(&self) -> WallTime {
        match &self.0.source {
            Source::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                WallTime(since.as_secs())
            }
            Source::Seeded { epoch, .. } => {
                WallTime(epoch.0.saturating_add(self.now().elapsed().as_secs()))
            }
        }
    }

    /// Fills `bytes` with random bytes fit for keys (in a seeded world: with the seed's next bytes).
    pub fn fill(&self, bytes: &mut [u8]) {
        match &self.0.source {
            Source::System => aws_lc_rs::rand::fill(bytes)
                .expect("the operating system gives random bytes from its start on"),
            Source::Seeded { stream, .. } => {
                stream.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
            }
        }
    }

    /// Random bytes in an array, as [`Env::fill`].
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// Runs `future` on the runtime that is current here. Drivers use [`crate::worker::Worker::spawn`] instead where
    /// it matters which thread it is.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(future)
    }
}

impl Default for Env {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.0.source {
            Source::System => "system",
            Source::Seeded { .. } => "seeded",
        };
        f.debug_tuple("Env").field(&source).finish()
    }
}

/// Bytes from a seed: SHA-256 of (seed, counter), block after block. The same on every machine and in every version
/// of every library, which a stock generator does not promise.
struct Keystream {
    seed: u64,
    counter: u64,
    block: [u8; SHA256_OUTPUT_LEN],
    used: usize,
}

impl Keystream {
    fn new(seed: u64) -> Self {
        Self { seed, counter: 0, block: [0; SHA256_OUTPUT_LEN], used: SHA256_OUTPUT_LEN }
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == self.block.len() {
                self.refill();
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }

    fn refill(&mut self) {
        let mut context = Context::new(&SHA256);
        context.update(&self.seed.to_le_bytes());
        context.update(&self.counter.to_le_bytes());
        self.block.copy_from_slice(context.finish().as_ref());
        self.counter += 1;
        self.used = 0;
    }
}

#[cfg(test)]
mod tests;
