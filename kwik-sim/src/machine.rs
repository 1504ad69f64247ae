//! One host that runs: a runtime whose clock the laboratory moves.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kwik_io::sim::{Network, Port};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::disk::Disk;
use crate::failure::{Cause, SoftwareError};
use crate::world::World;

/// What software becomes.
pub(crate) type Running<T> = JoinHandle<Result<T, SoftwareError>>;

/// A host's runtime. Its clock stands still but for [`Machine::run_until`].
pub(crate) struct Machine {
    runtime: Runtime,
    card: Arc<Card>,
    /// How far its clock has been moved, in the time of the laboratory.
    reached: Duration,
}

/// A host's network card, and the way to its disk.
pub(crate) struct Card {
    world: World,
    ip: IpAddr,
    disk: Disk,
    /// The same moment on two clocks, but for what the host slept since.
    start: (Duration, Instant),
    /// In nanoseconds.
    slept: AtomicU64,
    powered: AtomicBool,
}

impl Machine {
    /// A host that starts `now`.
    pub(crate) fn start(world: World, ip: IpAddr, disk: Disk, now: Duration) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let inside = runtime.enter();
        let start = (now, Instant::now());
        drop(inside);
        let card = Arc::new(Card {
            world,
            ip,
            disk,
            start,
            slept: AtomicU64::new(0),
            powered: AtomicBool::new(true),
        });
        Ok(Self { runtime, card, reached: now })
    }

    pub(crate) fn card(&self) -> Arc<Card> {
        self.card.clone()
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Runs everything that is ready or becomes ready until `then`. If the host had been frozen since `reached`, its
    /// clock first jumps to `now`.
    pub(crate) fn run_until(&mut self, now: Duration, then: Duration) {
        let slept = now.saturating_sub(self.reached);
        let (start, origin) = self.card.start();
        let end = origin + then.saturating_sub(start);
        self.runtime.block_on(async {
            if !slept.is_zero() {
                tokio::time::advance(slept).await;
            }
            tokio::time::sleep_until(end).await;
        });
        self.reached = then;
    }

    /// The time since its clock was moved last has passed for all but this host.
    pub(crate) fn sleep_until(&mut self, now: Duration) {
        let slept = now.saturating_sub(self.reached).as_nanos() as u64;
        self.card.slept.fetch_add(slept, Ordering::Relaxed);
        self.reached = now;
    }

    /// The end of software that has ended.
    pub(crate) fn join<T>(&self, host: &str, running: Running<T>) -> Result<T, Cause> {
        let host = host.to_owned();
        match self.runtime.block_on(running) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Cause::Software { host, error }),
            Err(panic) => Err(Cause::Panic { host, message: message(panic) }),
        }
    }
}

impl Drop for Machine {
    /// Without a word: nothing that a task does in its drop reaches the network.
    fn drop(&mut self) {
        self.card.powered.store(false, Ordering::Relaxed);
    }
}

fn message(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "cancelled".to_owned() };
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

impl Card {
    fn start(&self) -> (Duration, Instant) {
        let (start, origin) = self.start;
        (start + Duration::from_nanos(self.slept.load(Ordering::Relaxed)), origin)
    }

    /// The host's clock, in the time of the laboratory. Inside its runtime only.
    pub(crate) fn now(&self) -> Duration {
        let (start, origin) = self.start();
        start + origin.elapsed()
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Card").field(&self.ip).finish()
    }
}

impl Network for Card {
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<Port>> {
        let ip = Some(address.ip()).filter(|ip| !ip.is_unspecified()).unwrap_or(self.ip);
        if ip != self.ip {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        self.world.bind(SocketAddr::new(ip, address.port()))
    }

    fn send(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        if self.powered.load(Ordering::Relaxed) {
            self.world.send(self.now(), from, to, payload);
        }
    }

    fn disk(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let disk = self.disk.clone();
        Box::pin(async move { disk.answers().await })
    }

    fn spoils(&self) -> bool {
        self.world.spoils(self.ip)
    }
}
