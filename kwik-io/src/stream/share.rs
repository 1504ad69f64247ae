//! The memory that a server keeps for what it sends, shared among its sessions and their streams.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use kwik_core::window::{fair_part, stream_part};

/// Bytes that a server may hold for its peers: what applications wrote and the peers' QUIC has not acknowledged.
///
/// Whoever wants more than is there for it waits; nothing is refused. Clones are one account.
///
/// ```
/// use kwik_io::stream::SendMemory;
///
/// let memory = SendMemory::new(1 << 30);
/// let session = memory.share(64 << 20);
/// assert_eq!((memory.used(), session.used()), (0, 0));
/// ```
#[derive(Clone, Debug)]
pub struct SendMemory(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    total: AtomicU64,
    used: AtomicU64,
}

/// What one session holds of it. Clones are one account.
#[derive(Clone, Debug)]
pub struct SendShare(Arc<Share>);

#[derive(Debug)]
struct Share {
    memory: SendMemory,
    most: u64,
    used: AtomicU64,
    stakes: AtomicU64,
    /// Writers that wait for others of the session, at most one for each stream.
    waiting: Mutex<BTreeMap<u64, Waker>>,
}

/// What one stream holds of its session's share. It gives all back when it is dropped.
#[derive(Debug)]
pub(crate) struct Stake {
    share: SendShare,
    number: u64,
    held: u64,
    /// Bytes that were held and are not any more.
    released: u64,
}

/// Writers that may go on; to be woken outside of any lock.
#[must_use]
#[derive(Debug, Default)]
pub(crate) struct Freed(BTreeMap<u64, Waker>);

impl Freed {
    pub(crate) fn wake(self) {
        self.0.into_values().for_each(Waker::wake);
    }
}

impl SendMemory {
    /// That many bytes.
    pub fn new(total: u64) -> Self {
        Self(Arc::new(Pool { total: AtomicU64::new(total), used: AtomicU64::new(0) }))
    }

    /// From now on that many bytes. What is held beyond it stays until it is given back; nobody takes more before.
    pub fn set_total(&self, total: u64) {
        self.0.total.store(total, Ordering::Relaxed);
    }

    /// A session's part, of at most that many bytes.
    pub fn share(&self, most: u64) -> SendShare {
        SendShare(Arc::new(Share {
            memory: self.clone(),
            most,
            used: AtomicU64::new(0),
            stakes: AtomicU64::new(0),
            waiting: Mutex::default(),
        }))
    }

    /// Bytes that are held now, by all sessions.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }
}

impl SendShare {
    /// Bytes that the session holds now.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Bytes that the session may hold, as things stand.
    fn limit(&self) -> u64 {
        let Pool { total, used } = &*self.0.memory.0;
        fair_part(total.load(Ordering::Relaxed), used.load(Ordering::Relaxed)).min(self.0.most)
    }

    /// A stream of the session, which holds nothing yet.
    pub(crate) fn stake(&self) -> Stake {
        let number = self.0.stakes.fetch_add(1, Ordering::Relaxed);
        Stake { share: self.clone(), number, held: 0, released: 0 }
    }
}

impl Stake {
    /// Bytes that the stream may take more.
    pub(crate) fn room(&self) -> u64 {
        stream_part(self.share.limit(), self.share.used()).saturating_sub(self.held)
    }

    /// Bytes that the stream holds, and how many it held before them.
    pub(crate) fn account(&self) -> (u64, u64) {
        (self.held, self.released)
    }

    /// The stream holds that many bytes now.
    pub(crate) fn hold(&mut self, bytes: u64) -> Freed {
        let Share { used, memory, .. } = &*self.share.0;
        let (more, less) = (bytes.saturating_sub(self.held), self.held.saturating_sub(bytes));
        self.held = bytes;
        self.released += less;
        if more > 0 {
            used.fetch_add(more, Ordering::Relaxed);
            memory.0.used.fetch_add(more, Ordering::Relaxed);
        }
        if less == 0 {
            return Freed::default();
        }
        used.fetch_sub(less, Ordering::Relaxed);
        memory.0.used.fetch_sub(less, Ordering::Relaxed);
        let mut waiting = self.share.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        Freed(std::mem::take(&mut *waiting))
    }

    /// A writer waits, until some stream of the session holds less.
    pub(crate) fn wait(&self, cx: &Context<'_>) {
        let mut waiting = self.share.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(self.number, cx.waker().clone());
    }
}

impl Drop for Stake {
    fn drop(&mut self) {
        self.hold(0).wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Streams of one session that take all that they may.
    fn greedy(share: &SendShare, streams: usize) -> Vec<Stake> {
        let mut stakes: Vec<Stake> = (0..streams).map(|_| share.stake()).collect();
        for _ in 0..200 {
            for stake in &mut stakes {
                let more = stake.room().min(64 << 10);
                stake.hold(stake.held + more).wake();
            }
        }
        stakes
    }

    #[test]
    fn a_session_that_takes_all_it_may_leaves_the_others_theirs() {
        let memory = SendMemory::new(1024 * MIB);
        let shares: Vec<SendShare> = (0..40).map(|_| memory.share(64 * MIB)).collect();
        let _held: Vec<Vec<Stake>> = shares.iter().map(|share| greedy(share, 20)).collect();
        assert!(memory.used() <= 1024 * MIB, "{}", memory.used());
        let late = memory.share(64 * MIB);
        let _one = greedy(&late, 1);
        // Each of the later ones has left eight ninths of what was free: 8 MiB in the end, an eighth of it for the next.
        assert!(late.used() >= MIB / 2, "{} bytes for a session that came late", late.used());
    }

    #[test]
    fn a_memory_that_became_smaller_is_given_back_first() {
        let memory = SendMemory::new(8 * MIB);
        let share = memory.share(8 * MIB);
        let _held = greedy(&share, 4);
        let before = share.used();
        assert!(before > 512 << 10, "{before}");
        memory.set_total(0);
        let late = memory.share(8 * MIB);
        let _one = greedy(&late, 1);
        assert_eq!(late.used(), 64 << 10, "its floor and no more");
        memory.set_total(64 * MIB);
        let _two = greedy(&late, 1);
        assert!(late.used() > 2 * MIB, "{}", late.used());
    }

    #[test]
    fn streams_that_nobody_reads_leave_the_next_one_its_part() {
        let memory = SendMemory::new(1024 * MIB);
        let share = memory.share(64 * MIB);
        let _unread = greedy(&share, 100);
        assert!(share.used() <= 64 * MIB);
        assert!(share.stake().room() >= 512 << 10);
        // A thousand of them have their floor each, and so has the next.
        let _more = greedy(&share, 1000);
        assert!(share.stake().room() >= 64 << 10);
        assert!(share.used() <= (64 + 64) * MIB);
    }

    #[test]
    fn what_is_given_back_wakes_who_waits_and_is_there_again() {
        let memory = SendMemory::new(MIB);
        let share = memory.share(MIB);
        let (mut first, mut second) = (share.stake(), share.stake());
        first.hold(MIB).wake();
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(woken.clone());
        second.wait(&Context::from_waker(&waker));
        second.hold(10).wake();
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        first.hold(5).wake();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!((share.used(), first.account()), (15, (5, MIB - 5)));
        drop((first, second));
        assert_eq!((share.used(), memory.used()), (0, 0));
    }
}
