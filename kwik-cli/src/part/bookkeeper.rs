//! The thread that keeps a ledger while the part file is written: the disk's pauses are not the writer's.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::ledger::{Ledger, Point};

/// A [`Ledger`] on a thread of its own. It takes the newest point that was offered, syncs the part file and records the point.
#[derive(Debug)]
pub(crate) struct Bookkeeper {
    shared: Arc<Shared>,
    thread: JoinHandle<(Ledger, io::Result<()>)>,
}

/// The thread takes no more points: it was stopped, or the disk has failed, and [`Bookkeeper::end`] says how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended;

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The newest point that the thread has not taken yet. A newer one replaces it.
    newest: Option<Point>,
    /// Bytes from the start of the part file that are on disk, recorded or not.
    synced: u64,
    ended: bool,
}

impl Bookkeeper {
    pub(crate) fn start(mut ledger: Ledger) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.lock().synced = ledger.record.durable;
        let of_thread = Arc::clone(&shared);
        let keep = move || {
            let shared = OfThread(of_thread);
            let outcome = keep(&shared.0, &mut ledger);
            (ledger, outcome)
        };
        let thread = std::thread::Builder::new().name("kwik-part".to_owned()).spawn(keep)?;
        Ok(Self { shared, thread })
    }

    /// Has the thread sync and record up to `point`, once it is done with the one before.
    pub(crate) fn offer(&self, point: Point) -> Result<(), Ended> {
        let mut state = self.shared.lock();
        if state.ended {
            return Err(Ended);
        }
        state.newest = Some(point);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Waits until that many bytes are on disk; how many are. They must have been offered.
    pub(crate) fn wait(&self, bytes: u64) -> Result<u64, Ended> {
        let waits = |state: &mut State| state.synced < bytes && !state.ended;
        let state = self.shared.changed.wait_while(self.shared.lock(), waits);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        if state.synced < bytes { Err(Ended) } else { Ok(state.synced) }
    }

    /// Has the thread end after what it is at. A point that it has not taken is forgotten.
    pub(crate) fn stop(&self) {
        self.shared.end();
    }

    /// Stops the thread and waits for it.
    pub(crate) fn end(self) -> io::Result<(Ledger, io::Result<()>)> {
        self.stop();
        self.thread.join().map_err(|_| io::Error::other("the thread that keeps the record failed"))
    }
}

fn keep(shared: &Shared, ledger: &mut Ledger) -> io::Result<()> {
    while let Some(point) = shared.next() {
        ledger.sync()?;
        shared.synced(point.written);
        ledger.record(point)?;
    }
    Ok(())
}

/// Whoever waits for the thread hears of its end, also if it panics.
struct OfThread(Arc<Shared>);

impl Drop for OfThread {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a point; `None` at the end.
    fn next(&self) -> Option<Point> {
        let waits = |state: &mut State| state.newest.is_none() && !state.ended;
        let state = self.changed.wait_while(self.lock(), waits);
        state.unwrap_or_else(PoisonError::into_inner).newest.take()
    }

    fn synced(&self, bytes: u64) {
        self.lock().synced = bytes;
        self.changed.notify_all();
    }

    fn end(&self) {
        let mut state = self.lock();
        (state.newest, state.ended) = (None, true);
        self.changed.notify_all();
    }
}
