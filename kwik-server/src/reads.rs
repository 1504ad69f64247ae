//! Places for reads of local copies, shared among the sessions of a server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kwik_io::env::Env;
use tokio::sync::oneshot;
use tokio::task::JoinError;

/// Reads of local copies that are under way, and those that wait: each takes a thread that may be blocked.
///
/// Sessions take turns, whatever each of them wants, and none has more than a quarter of the places: one whose disk hangs
/// leaves the others theirs.
#[derive(Debug)]
pub(crate) struct Reads {
    /// Places of one session at most.
    share: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    /// Sessions that have a place or wait for one. An entry goes with the last of both.
    sessions: BTreeMap<u64, Wants>,
    /// Who was given a place last: the next session comes first now.
    served: u64,
    /// Number of the next one that waits.
    numbers: u64,
}

#[derive(Debug, Default)]
struct Wants {
    reading: usize,
    /// By number, in the order in which they came.
    waiting: BTreeMap<u64, oneshot::Sender<Place>>,
}

/// One that waits. Dropped, it is forgotten: while disks hang nobody is served, and who left would stay in the queue.
struct Waiting<'a> {
    reader: &'a Reader,
    number: u64,
}

/// A place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    /// `None`: it was given back.
    reads: Option<Arc<Reads>>,
    session: u64,
}

/// A session's way to places.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) reads: Arc<Reads>,
    /// A number that no other session of the server has.
    pub(crate) session: u64,
}

impl Reader {
    /// Waits for a place. Cancel safe.
    pub(crate) async fn place(&self) -> Place {
        let (sender, place) = oneshot::channel();
        let number = self.reads.lock().push(self.session, sender);
        let _waiting = Waiting { reader: self, number };
        self.reads.serve();
        place.await.expect("a sender is only taken out to be given a place")
    }

    /// Reads on a thread that may be blocked, once there is a place. If the future is dropped, a read that has begun keeps its
    /// place until it is over: a thread can't be taken from the disk that it waits for.
    ///
    /// # Errors
    /// When `read` panicked.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        env: &Env,
        read: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, JoinError> {
        let place = self.place().await;
        let held = move || {
            let done = read();
            drop(place);
            done
        };
        env.run_blocking(held).await
    }
}

impl Reads {
    pub(crate) fn new(places: usize) -> Arc<Self> {
        let state = State { free: places.max(1), ..State::default() };
        Arc::new(Self { share: (places / 4).max(1), state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives free places to those that wait.
    fn serve(self: &Arc<Self>) {
        loop {
            let next = self.lock().next(self.share);
            let Some((session, sender)) = next else { return };
            let place = Place { reads: Some(self.clone()), session };
            if let Err(mut unwanted) = sender.send(place) {
                // Its drop would come back here, once for each that does not wait any more.
                unwanted.reads = None;
                self.lock().give_back(session);
            }
        }
    }
}

impl State {
    /// Who waits for a place gets a number.
    fn push(&mut self, session: u64, sender: oneshot::Sender<Place>) -> u64 {
        let number = self.numbers;
        self.numbers += 1;
        self.sessions.entry(session).or_default().waiting.insert(number, sender);
        number
    }

    /// Who gets the next place.
    fn next(&mut self, share: usize) -> Option<(u64, oneshot::Sender<Place>)> {
        if self.free == 0 {
            return None;
        }
        let wants =
            |(_, wants): &(&u64, &Wants)| wants.reading < share && !wants.waiting.is_empty();
        let after = self.sessions.range(self.served.saturating_add(1)..).find(wants);
        let session = *after.or_else(|| self.sessions.iter().find(wants))?.0;
        let wants = self.sessions.get_mut(&session)?;
        let (_, sender) = wants.waiting.pop_first()?;
        wants.reading += 1;
        self.free -= 1;
        self.served = session;
        Some((session, sender))
    }

    fn give_back(&mut self, session: u64) {
        self.free += 1;
        if let Some(wants) = self.sessions.get_mut(&session) {
            wants.reading -= 1;
        }
        self.forget_idle(session);
    }

    /// Who waited with that number does not any more.
    fn withdraw(&mut self, session: u64, number: u64) {
        if let Some(wants) = self.sessions.get_mut(&session) {
            wants.waiting.remove(&number);
        }
        self.forget_idle(session);
    }

    fn forget_idle(&mut self, session: u64) {
        let idle = |wants: &Wants| wants.reading == 0 && wants.waiting.is_empty();
        if self.sessions.get(&session).is_some_and(idle) {
            self.sessions.remove(&session);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.reader.reads.lock().withdraw(self.reader.session, self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(reads) = self.reads.take() {
            reads.lock().give_back(self.session);
            reads.serve();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn reader(reads: &Arc<Reads>, session: u64) -> Reader {
        Reader { reads: reads.clone(), session }
    }

    /// Whether the future has a place by now.
    async fn now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn one_session_has_a_quarter_of_the_places_and_leaves_the_rest() {
        let reads = Reads::new(8);
        let (greedy, other) = (reader(&reads, 1), reader(&reads, 2));
        let held = [greedy.place().await, greedy.place().await];
        let mut third = Box::pin(greedy.place());
        assert!(now(&mut third).await.is_none());
        let _others = [other.place().await, other.place().await];
        assert!(now(&mut third).await.is_none());
        drop(held);
        assert!(now(&mut third).await.is_some());
    }

    #[tokio::test]
    async fn sessions_take_turns_whatever_each_wants() {
        let reads = Reads::new(1);
        let first = reader(&reads, 9).place().await;
        let (greedy, other) = (reader(&reads, 1), reader(&reads, 2));
        let mut many: Vec<_> = (0..50).map(|_| Box::pin(greedy.place())).collect();
        for waits in &mut many {
            assert!(now(waits).await.is_none());
        }
        let mut one = Box::pin(other.place());
        assert!(now(&mut one).await.is_none());
        drop(first);
        let served = now(&mut many[0]).await;
        assert!(served.is_some() && now(&mut one).await.is_none());
        drop(served);
        assert!(now(&mut one).await.is_some(), "it had to wait for more than one of the others");
    }

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_keeps_its_place_until_it_is_over() {
        let reads = Reads::new(1);
        let first = reader(&reads, 1);
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = oneshot::channel();
        let hung = tokio::spawn(async move {
            let read = move || (begun.send(()), gate.recv());
            first.run(&Env::system(), read).await.map(drop)
        });
        begins.await.unwrap();
        hung.abort();
        assert!(hung.await.unwrap_err().is_cancelled());
        let second = reader(&reads, 2);
        let mut waits = Box::pin(second.place());
        assert!(now(&mut waits).await.is_none(), "the thread is at work, and counts as free");
        drop(open);
        waits.await;
    }

    #[tokio::test]
    async fn who_does_not_wait_any_more_takes_no_place() {
        let reads = Reads::new(1);
        let first = reader(&reads, 1).place().await;
        let (second, third) = (reader(&reads, 2), reader(&reads, 3));
        let mut gone: Vec<_> = (0..100_000).map(|_| Box::pin(second.place())).collect();
        for waits in &mut gone {
            assert!(now(waits).await.is_none());
        }
        let mut last = Box::pin(third.place());
        assert!(now(&mut last).await.is_none());
        drop(gone);
        assert_eq!(reads.lock().sessions.len(), 2, "kept, though nobody waits");
        drop(first);
        drop(now(&mut last).await);
        let state = reads.lock();
        assert_eq!((state.free, state.sessions.len()), (1, 0));
    }
}
