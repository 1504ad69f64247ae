//! How a stream half asks the session's task to look at it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kwik_proto::StreamId;
use tokio::sync::Notify;

/// One half of one stream, as the session's task finds it in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamHalf {
    /// The half that this end receives.
    Receive(StreamId),
    /// The half that this end sends.
    Send(StreamId),
}

/// The stream halves of one session that wait for its task.
///
/// Pumps and applications change a half on their own threads; what follows from the change (a window to announce,
/// progress to report, a stream to close) is the session's business. The half is then entered here, once, however
/// often it changes before the task comes round, and the task is woken once for all of them. Never longer than the
/// number of halves that are open.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use kwik_io::stream::{ServiceList, StreamHalf};
/// use kwik_proto::StreamId;
///
/// let list = ServiceList::default();
/// let half = StreamHalf::Receive(StreamId::from_wire(0).unwrap());
/// let bell = list.bell(half);
/// bell.ring();
/// bell.ring();
/// let mut due = Vec::new();
/// list.wait(&mut due).await;
/// assert_eq!(due, [half]);
/// # });
/// ```
#[derive(Clone, Debug, Default)]
pub struct ServiceList(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    halves: Mutex<Vec<StreamHalf>>,
    task: Notify,
}

impl ServiceList {
    /// A bell for one half. Made once per half, when the half is.
    pub fn bell(&self, half: StreamHalf) -> ServiceBell {
        ServiceBell { list: self.clone(), half, rung: AtomicBool::new(false) }
    }

    /// Waits until a half wants service, then appends all that do to `due`. Cancel safe.
    pub async fn wait(&self, due: &mut Vec<StreamHalf>) {
        loop {
            self.take(due);
            if !due.is_empty() {
                return;
            }
            self.0.task.notified().await;
        }
    }

    /// Appends the halves that want service now to `due`.
    pub fn take(&self, due: &mut Vec<StreamHalf>) {
        due.append(&mut self.halves());
    }

    fn halves(&self) -> MutexGuard<'_, Vec<StreamHalf>> {
        self.0.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Enters one half in its session's [`ServiceList`].
#[derive(Debug)]
pub struct ServiceBell {
    list: ServiceList,
    half: StreamHalf,
    rung: AtomicBool,
}

impl ServiceBell {
    /// Asks for service; nothing happens if it was asked for already and not given yet.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.list.halves().push(self.half);
            self.list.0.task.notify_one();
        }
    }

    /// Service begins: what changes from here on rings again. Called before the half is locked, so that no change
    /// falls between the look and the next ring.
    pub fn answer(&self) {
        self.rung.store(false, Ordering::Release);
    }
}
