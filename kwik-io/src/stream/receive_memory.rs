//! The memory that a server promises to those that send to it, shared among its sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kwik_core::window::fair_part;

/// Bytes that a server lets its peers send, all together: what windows leave room for, and what was received and not read.
///
/// Promises are counted, not bytes that came. When it is full no window grows and new streams begin with their floor; nothing
/// is refused, and what was promised stays. Sessions that promise at the same moment may go beyond it by one
/// step of a window each. Clones are one account.
///
/// ```
/// use kwik_io::stream::ReceiveMemory;
///
/// let memory = ReceiveMemory::new(1 << 30);
/// let mut session = memory.share();
/// assert_eq!(session.limit(), 1 << 27);
/// session.hold(1 << 20);
/// assert_eq!(memory.used(), 1 << 20);
/// drop(session);
/// assert_eq!(memory.used(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct ReceiveMemory(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    total: AtomicU64,
    used: AtomicU64,
}

/// What one session has promised of it. It gives all back when it is dropped.
#[derive(Debug)]
pub struct ReceiveShare {
    memory: ReceiveMemory,
    held: u64,
}

impl ReceiveMemory {
    /// That many bytes.
    pub fn new(total: u64) -> Self {
        Self(Arc::new(Pool { total: AtomicU64::new(total), used: AtomicU64::new(0) }))
    }

    /// From now on that many bytes. What was promised beyond it stays; no window grows before it has come.
    pub fn set_total(&self, total: u64) {
        self.0.total.store(total, Ordering::Relaxed);
    }

    /// A session's part, which holds nothing yet.
    pub fn share(&self) -> ReceiveShare {
        ReceiveShare { memory: self.clone(), held: 0 }
    }

    /// Bytes that are promised now, by all sessions.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }
}

impl ReceiveShare {
    /// Bytes that the session may promise in all, as things stand: an eighth of what is free.
    pub fn limit(&self) -> u64 {
        fair_part(self.memory.0.total.load(Ordering::Relaxed), self.memory.used())
    }

    /// The session promises that many bytes now.
    pub fn hold(&mut self, bytes: u64) {
        let used = &self.memory.0.used;
        if bytes > self.held {
            used.fetch_add(bytes - self.held, Ordering::Relaxed);
        } else if bytes < self.held {
            used.fetch_sub(self.held - bytes, Ordering::Relaxed);
        }
        self.held = bytes;
    }
}

impl Drop for ReceiveShare {
    fn drop(&mut self) {
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kwik_core::time::Instant;
    use kwik_core::window::{Budget, ReceiveWindow};

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A session whose streams all ask for as much as they can get.
    fn greedy(memory: &ReceiveMemory, streams: usize) -> (ReceiveShare, u64) {
        let (mut share, mut budget) = (memory.share(), Budget::new(Budget::DEFAULT_TOTAL, 1_000));
        for _ in 0..streams {
            budget.set_limit(share.limit());
            let mut window = ReceiveWindow::new(Budget::FLOOR);
            assert!(window.admit(&mut budget));
            window.demand(64 * MIB);
            window.extended(Instant::ZERO, Duration::ZERO, &mut budget);
            share.hold(budget.promised());
        }
        (share, budget.promised())
    }

    #[test]
    fn sessions_that_take_all_they_may_leave_the_next_one_its_part() {
        let memory = ReceiveMemory::new(256 * MIB);
        let first = greedy(&memory, 20);
        // Its first stream takes the eighth; the others have their floors all the same.
        let floors = 19 * (Budget::FLOOR / 2 * 3);
        assert!(first.1 <= 32 * MIB + floors, "an eighth of it is all that one gets: {}", first.1);
        let held: Vec<_> = (0..20).map(|_| greedy(&memory, 1)).collect();
        assert!(memory.used() <= 256 * MIB, "{}", memory.used());
        let late = greedy(&memory, 1);
        assert!(late.1 >= MIB, "{} bytes for a session that came late", late.1);
        drop((first, held, late));
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn a_memory_that_became_smaller_promises_floors_alone() {
        let memory = ReceiveMemory::new(256 * MIB);
        let held = greedy(&memory, 1);
        memory.set_total(0);
        let (_share, promised) = greedy(&memory, 1);
        assert_eq!(promised, Budget::FLOOR / 2 * 3);
        memory.set_total(256 * MIB);
        assert!(greedy(&memory, 1).1 > MIB);
        drop(held);
    }

    #[test]
    fn when_all_is_promised_a_stream_has_its_floor_and_no_more() {
        let memory = ReceiveMemory::new(0);
        let (_share, promised) = greedy(&memory, 10);
        assert_eq!(promised, 10 * Budget::FLOOR / 2 * 3);
    }
}
