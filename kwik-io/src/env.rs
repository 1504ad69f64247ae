//! Clock and entropy, in one value, so that the same code runs for real and in a simulation.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use kwik_core::delegation::Switches;
use kwik_core::time::{Instant, WallTime};

use crate::worker::Placement;

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
    /// What a simulated host sends through; `None` for the system's sockets.
    #[cfg(feature = "sim")]
    network: Option<Arc<dyn crate::sim::Network>>,
    /// What a laboratory lets primaries do. All, in the real world.
    switches: Switches,
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

    /// As [`Env::seeded`], on a simulated network. To be made inside the runtime of the simulated host, on the thread
    /// that runs all hosts of its world: TLS takes its entropy from there.
    #[cfg(feature = "sim")]
    pub fn simulated(
        seed: u64,
        epoch: WallTime,
        network: Arc<dyn crate::sim::Network>,
        switches: Switches,
    ) -> Self {
        crate::sim::seed(!seed);
        let source = Source::Seeded { epoch, stream: Mutex::new(Keystream::new(seed)) };
        let start = tokio::time::Instant::now();
        Self(Arc::new(World { start, source, network: Some(network), switches }))
    }

    /// The simulated network; `None` in the real world.
    #[cfg(feature = "sim")]
    pub(crate) fn network(&self) -> Option<&Arc<dyn crate::sim::Network>> {
        self.0.network.as_ref()
    }

    fn with(source: Source) -> Self {
        Self(Arc::new(World {
            start: tokio::time::Instant::now(),
            source,
            #[cfg(feature = "sim")]
            network: None,
            switches: Switches::default(),
        }))
    }

    /// Which of the scheduler's mechanisms run in this world.
    pub fn switches(&self) -> Switches {
        self.0.switches
    }

    /// The checksum that a contribution of this host sends for a payload with this one: another where the laboratory
    /// has the host's memory spoil bytes, as if they had changed after they were summed up.
    pub(crate) fn checksum_sent(&self, checksum: u32) -> u32 {
        #[cfg(feature = "sim")]
        if self.0.network.as_ref().is_some_and(|network| network.spoils()) {
            return !checksum;
        }
        checksum
    }

    /// Where workers run in this world, if it can't be chosen: a simulated host is one runtime.
    pub fn placement(&self) -> Option<Placement> {
        #[cfg(feature = "sim")]
        if self.0.network.is_some() {
            return Some(Placement::Current);
        }
        None
    }

    /// Runs what may block its thread, on a thread that may be blocked. In a simulated world in place, as soon as the
    /// host's disk answers: a thread would end at a moment that no seed decides.
    ///
    /// # Errors
    /// When `work` panicked.
    pub async fn run_blocking<F, R>(&self, work: F) -> Result<R, tokio::task::JoinError>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        #[cfg(feature = "sim")]
        if let Some(network) = self.network() {
            network.disk().await;
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await
    }

    /// Wakes the event loop of an endpoint of this process with a byte that is no QUIC packet.
    ///
    /// s2n-quic notices only at its next wake-up that nobody holds an endpoint any more, and an idle one has none.
    pub(crate) fn nudge(&self, address: SocketAddr) {
        #[cfg(feature = "sim")]
        if let Some(network) = self.network() {
            return network.send(address, address, &[0]);
        }
        nudge(address);
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

fn nudge(mut address: SocketAddr) {
    let (loopback, any) = match address {
        SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST.into(), IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST.into(), IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    if address.ip().is_unspecified() {
        address.set_ip(loopback);
    }
    // Where it fails, the endpoint goes with its worker at the latest.
    if let Ok(socket) = UdpSocket::bind((any, 0)) {
        let _ = socket.send_to(&[0], address);
    }
}

/// Bytes from a seed: SHA-256 of (seed, counter), block after block. The same on every machine and in every version
/// of every library, which a stock generator does not promise.
pub(crate) struct Keystream {
    seed: u64,
    counter: u64,
    block: [u8; SHA256_OUTPUT_LEN],
    used: usize,
}

impl Keystream {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, counter: 0, block: [0; SHA256_OUTPUT_LEN], used: SHA256_OUTPUT_LEN }
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
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
