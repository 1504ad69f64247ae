//! Threads that wait for the file system, shared out among clients.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;
use tokio::task::JoinError;

use crate::tag_cache::Client;

/// Threads that read, open or look at files at a time. Each costs some hundred KiB, and the runtime has no more than 512 for
/// everything: without a limit a few clients that ask for a hundred files each take them all.
const MOST: usize = 64;
/// One client's part: a disk that hangs keeps as many, and leaves the others theirs.
const PART: usize = 16;

/// Turns at a thread. Who finds none free waits, each client behind its own.
#[derive(Debug)]
pub(crate) struct Threads {
    all: Arc<Semaphore>,
    part: usize,
    /// Clients that have a thread or wait for one.
    clients: Mutex<BTreeMap<Client, Weak<Semaphore>>>,
}

impl Default for Threads {
    fn default() -> Self {
        Self::new(MOST, PART)
    }
}

impl Threads {
    fn new(most: usize, part: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(most)), part, clients: Mutex::default() }
    }

    /// Does on a thread what may block. If the future is dropped, what has not begun is not done.
    ///
    /// Fails if it panicked, or the runtime ends.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        client: Client,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        // First among the client's own, so that never more than its part of them wait for one of all.
        let own = self.of(client).acquire_owned().await.expect("nobody closes it");
        let one = Arc::clone(&self.all).acquire_owned().await.expect("nobody closes it");
        let held = move || {
            let done = work();
            drop((own, one));
            done
        };
        tokio::task::spawn_blocking(held).await
    }

    fn of(&self, client: Client) -> Arc<Semaphore> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = clients.get(&client).and_then(Weak::upgrade) {
            return own;
        }
        clients.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.part));
        clients.insert(client, Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn client(n: u8) -> Client {
        Some([192, 0, 2, n].into())
    }

    /// Work that goes on until the sender is dropped, and tells when it has begun.
    fn work(
        gate: &Arc<Mutex<mpsc::Receiver<()>>>,
        begun: &mpsc::Sender<()>,
    ) -> impl FnOnce() + use<> {
        let (gate, begun) = (Arc::clone(gate), begun.clone());
        move || {
            let _ = begun.send(());
            let _ = gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
        }
    }

    #[tokio::test]
    async fn a_client_that_wants_many_threads_has_its_part_and_leaves_the_rest() {
        let threads = Arc::new(Threads::new(3, 2));
        let (open, gate) = mpsc::channel();
        let gate = Arc::new(Mutex::new(gate));
        let (begun, seen) = mpsc::channel();
        let mut greedy = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (threads, work) = (Arc::clone(&threads), work(&gate, &begun));
            greedy.spawn(async move { threads.run(client(1), work).await });
        }
        tokio::task::spawn_blocking(move || {
            assert!(seen.recv().is_ok() && seen.recv().is_ok());
            assert!(seen.try_recv().is_err(), "a third thread");
        })
        .await
        .unwrap();
        // Another one's turn comes, although many wait before it.
        assert_eq!(threads.run(client(2), || 7).await.unwrap(), 7);
        drop(open);
        while let Some(done) = greedy.join_next().await {
            done.unwrap().unwrap();
        }
        threads.run(client(3), || ()).await.unwrap();
        assert_eq!(threads.clients.lock().unwrap().len(), 1, "clients that are gone are kept");
    }

    #[tokio::test]
    async fn all_clients_together_have_no_more_than_there_are() {
        let threads = Arc::new(Threads::new(3, 2));
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let (begun, seen) = mpsc::channel();
        let mut all = tokio::task::JoinSet::new();
        for n in 0..100 {
            let (threads, work) = (Arc::clone(&threads), work(&gate, &begun));
            all.spawn(async move { threads.run(client(n), work).await });
        }
        let seen = tokio::task::spawn_blocking(move || {
            assert!((0..3).all(|_| seen.recv().is_ok()));
            seen
        })
        .await
        .unwrap();
        assert_eq!(threads.all.available_permits(), 0);
        assert!(seen.try_recv().is_err(), "a fourth thread");
        drop(open);
        while let Some(done) = all.join_next().await {
            done.unwrap().unwrap();
        }
        assert_eq!((threads.all.available_permits(), seen.iter().take(97).count()), (3, 97));
    }
}
