//! The threads that endpoints and pumps run on.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

/// Threads of a worker for what may block: as many as a server reads local copies at a time. Further work waits for one.
const MAX_BLOCKING: usize = 64;

/// Where workers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// That many threads of their own, each with a current-thread runtime; 0 counts as 1. Default: one per core, at
    /// least two. Fewer: a secondary's cryptography takes time from the primary's socket. More: wake-ups across cores.
    Threads(usize),
    /// The runtime that is current at the start, for all: what a simulation needs, where a host is one runtime.
    Current,
}

impl Default for Placement {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(2, NonZeroUsize::get);
        Self::Threads(cores.max(2))
    }
}

/// A small pool of workers, shared by all sessions of a client or server.
///
/// Endpoints, the pumps of their carriers and session tasks live on workers, never on the application's runtime, so
/// that an application that blocks stops nothing but itself. A thread ends when the last handle to it (this pool, a
/// [`Worker`], or a task on it that holds one) is dropped; that never blocks, and may happen inside any runtime.
///
/// ```
/// use kwik_io::worker::{Placement, Workers};
///
/// let workers = Workers::start(Placement::Threads(2))?;
/// let worker = workers.next();
/// let (answer, asked) = std::sync::mpsc::channel();
/// worker.spawn(async move { answer.send(6 * 7) });
/// assert_eq!(asked.recv(), Ok(42));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Workers {
    workers: Arc<[Worker]>,
    turn: Arc<AtomicUsize>,
}

/// A handle to one worker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Worker(Arc<Home>);

/// A way to a worker that does not keep its thread alive: for what lives on the worker itself, and would keep it for
/// ever.
#[derive(Clone, Debug)]
pub struct WeakWorker(Weak<Home>);

impl WeakWorker {
    /// The worker; `None` once its last handle was dropped.
    pub fn upgrade(&self) -> Option<Worker> {
        self.0.upgrade().map(Worker)
    }
}

#[derive(Debug)]
struct Home {
    index: usize,
    runtime: Handle,
    /// Its drop ends the thread.
    _stop: Option<oneshot::Sender<()>>,
}

impl Workers {
    /// Starts the workers and warms up their cryptography (about 60 ms on the worker's own thread, which the first
    /// handshake would otherwise wait for).
    ///
    /// # Errors
    /// When the system gives no thread or no event queue; with [`Placement::Current`] outside a runtime.
    pub fn start(placement: Placement) -> io::Result<Self> {
        let workers: io::Result<Arc<[Worker]>> = match placement {
            Placement::Threads(count) => (0..count.max(1)).map(Worker::start).collect(),
            Placement::Current => Worker::current().map(|worker| [worker].into()),
        };
        Ok(Self { workers: workers?, turn: Arc::default() })
    }

    /// The next worker, in turn.
    pub fn next(&self) -> Worker {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.workers[turn % self.workers.len()].clone()
    }

    /// All workers, in the order of their index.
    pub fn iter(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter()
    }
}

impl Worker {
    fn start(index: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(MAX_BLOCKING)
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        thread::Builder::new().name(format!("kwik-worker-{index}")).spawn(move || {
            crate::tls::warm_up();
            // Ends with an error when every handle is gone: that is the signal.
            let _ = runtime.block_on(stopped);
            // Tasks are dropped here, on their own thread; a blocking call of one must not keep the thread.
            runtime.shutdown_background();
        })?;
        Ok(Self(Arc::new(Home { index, runtime: handle, _stop: Some(stop) })))
    }

    fn current() -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        crate::tls::warm_up();
        Ok(Self(Arc::new(Home { index: 0, runtime, _stop: None })))
    }

    /// Runs `future` on this worker. The task goes on if the handle that this returns is dropped.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.runtime.spawn(future)
    }

    /// Runs `future` on this worker for as long as somebody waits for it: aborted when the future that this returns is
    /// dropped.
    ///
    /// ```
    /// use kwik_io::worker::{Placement, Workers};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let worker = Workers::start(Placement::Threads(1))?.next();
    /// assert_eq!(worker.run(async { 6 * 7 }).await?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// When `future` panicked, or the worker ended before it.
    pub async fn run<F>(&self, future: F) -> Result<F::Output, JoinError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let mut task = Attended(self.spawn(future));
        (&mut task.0).await
    }

    /// See [`WeakWorker`].
    pub fn downgrade(&self) -> WeakWorker {
        WeakWorker(Arc::downgrade(&self.0))
    }

    /// Position in its pool, from 0.
    pub fn index(&self) -> usize {
        self.0.index
    }

    /// Tasks on it that have not ended.
    pub fn tasks(&self) -> usize {
        self.0.runtime.metrics().num_alive_tasks()
    }

    /// The worker's runtime, to start endpoints on.
    pub fn runtime(&self) -> &Handle {
        &self.0.runtime
    }
}

/// A task that ends when nobody waits for it.
struct Attended<T>(JoinHandle<T>);

impl<T> Drop for Attended<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
