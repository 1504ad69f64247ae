//! The order in which the pumps of one connection hand their bytes to QUIC.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kwik_core::send_order::SendOrder;
use kwik_proto::frame::Rank;
use kwik_proto::{Offset, StreamId};

/// What a connection's pumps share: [`SendOrder`] behind a short lock, never held across a poll of QUIC, and who is to be
/// woken when it is a pump's turn.
///
/// The endpoint tells it what QUIC has sent. A path's pumps each hold a [`Place`].
#[derive(Debug, Default)]
pub struct Lane {
    state: Mutex<State>,
    /// Places that are held: most connections of a client have none, and the endpoint asks with each packet.
    places: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    order: SendOrder,
    wakers: BTreeMap<u64, Waker>,
    /// Of carriers whose writers wait.
    writers: BTreeMap<u64, Waker>,
}

impl Lane {
    /// A place for the carrier with that QUIC stream id, which brings bytes of `stream`.
    pub fn place(self: &Arc<Self>, carrier: u64, stream: StreamId) -> Place {
        self.lock().order.open(carrier, stream);
        self.places.fetch_add(1, Ordering::Relaxed);
        Place { lane: self.clone(), carrier, stream, told: 0, priority: 0 }
    }

    /// The desk of the writer of a carrier that has a place.
    pub(crate) fn desk(self: &Arc<Self>, carrier: u64) -> Desk {
        Desk { lane: self.clone(), carrier }
    }

    /// Bytes that are written on carriers and were not handed over, and those that their applications are reading.
    pub fn written(&self) -> u64 {
        self.lock().order.written()
    }

    /// Bytes that QUIC took and has not sent yet.
    pub fn unsent(&self) -> u64 {
        self.lock().order.unsent()
    }

    /// QUIC has sent bytes of a stream of its own, up to `end`.
    pub(crate) fn sent(&self, carrier: u64, end: u64) {
        if self.places.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut state = self.lock();
        state.order.sent(carrier, end);
        // Writers wait for what is handed over, not for this: it is done for each packet.
        let next = state.next();
        drop(state);
        next.into_iter().for_each(Waker::wake);
    }

    /// See [`SendOrder::set_pace`].
    pub(crate) fn set_pace(&self, congestion_window: u64, round_trip: Duration) {
        self.change(|order| order.set_pace(congestion_window, round_trip));
    }

    /// Changes something, and wakes whoever's turn it is then.
    fn change(&self, change: impl FnOnce(&mut SendOrder)) {
        self.changed(change).wake();
    }

    /// The same, for who holds a lock.
    fn changed(&self, change: impl FnOnce(&mut SendOrder)) -> Woken {
        let mut state = self.lock();
        change(&mut state.order);
        let mut woken = state.admitted();
        woken.extend(state.next());
        Woken(woken)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who is to be woken; once, until it asks again.
    fn next(&mut self) -> Option<Waker> {
        let carrier = self.order.next()?;
        self.wakers.remove(&carrier)
    }

    /// The writers that may write now and waited for that.
    fn admitted(&mut self) -> Vec<Waker> {
        let admitted = std::iter::from_fn(|| self.order.admit());
        admitted.filter_map(|carrier| self.writers.remove(&carrier)).collect()
    }
}

/// What the endpoint has sent of the carrier that it sends of at the moment: the lane is told of some packets at once, since each
/// word takes its lock.
///
/// What it does not know is less than [`Sent::STEP`] of one carrier, and far less than what QUIC may have when the next carrier has its
/// turn: nobody waits for that.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    carrier: u64,
    end: u64,
    told: u64,
}

impl Sent {
    /// Bytes after which the lane is told: 8 KiB.
    const STEP: u64 = 8 << 10;

    /// The bytes of the carrier up to `end` are sent, or sent again.
    pub(crate) fn tell(&mut self, lane: &Lane, carrier: u64, end: u64) {
        if carrier != self.carrier {
            if self.end > self.told {
                lane.sent(self.carrier, self.end);
            }
            *self = Self { carrier, end: 0, told: 0 };
        }
        self.end = self.end.max(end);
        if self.end - self.told >= Self::STEP {
            self.told = self.end;
            lane.sent(carrier, self.end);
        }
    }
}

/// A pump's place in its connection's [`Lane`]. Dropped, the carrier is over.
#[derive(Debug)]
pub struct Place {
    lane: Arc<Lane>,
    carrier: u64,
    stream: StreamId,
    /// What the lane was told that QUIC took.
    told: u64,
    /// The stream's, as the lane was told last.
    priority: i32,
}

impl Place {
    /// There are bytes for that offset of the stream: how many may be handed over now. Pending until it is this carrier's turn.
    pub(crate) fn poll_turn(&self, offset: Offset, cx: &Context<'_>) -> Poll<usize> {
        let mut state = self.lane.lock();
        match state.order.ask(self.carrier, offset) {
            Some(room) => {
                state.wakers.remove(&self.carrier);
                Poll::Ready(usize::try_from(room).unwrap_or(usize::MAX))
            }
            None => {
                state.wakers.insert(self.carrier, cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// QUIC has taken that many bytes since the carrier was opened.
    pub(crate) fn handed(&mut self, total: u64) {
        if std::mem::replace(&mut self.told, total) == total {
            return;
        }
        self.lane.change(|order| order.handed(self.carrier, total));
    }

    /// The carrier's bytes go before others as its rank says.
    pub(crate) fn set_rank(&mut self, rank: Rank) {
        if rank.urgent {
            self.lane.change(|order| order.set_urgent(self.carrier));
        }
        // Also where it is the usual one: an earlier order of the stream may have had another.
        self.lane.change(|order| order.set_priority(self.stream, rank.priority));
        self.priority = rank.priority;
    }

    /// The stream's priority is this now.
    pub(crate) fn set_priority(&mut self, priority: i32) {
        if std::mem::replace(&mut self.priority, priority) != priority {
            self.lane.change(|order| order.set_priority(self.stream, priority));
        }
    }

    /// There is nothing to hand over.
    pub(crate) fn idle(&self) {
        self.lane.change(|order| order.idle(self.carrier));
    }

    /// QUIC takes nothing: others need not wait for it, to be sent or to be written.
    pub(crate) fn blocked(&self) {
        self.lane.change(|order| order.block(self.carrier));
    }
}

/// Pumps and writers whose turn has come.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Woken(Vec<Waker>);

impl Woken {
    pub(crate) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

/// Where a carrier's writer asks whether it may write.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    lane: Arc<Lane>,
    carrier: u64,
}

impl Desk {
    /// There are bytes for that offset, or will be once they may be read. Pending until it is the writer's turn; it may write
    /// once then, up to the next [`wrote`](Self::wrote).
    pub(crate) fn poll_may(&self, offset: Offset, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lane.lock();
        let may = state.order.may_write(self.carrier, offset);
        if may {
            state.writers.remove(&self.carrier);
        } else {
            state.writers.insert(self.carrier, cx.waker().clone());
        }
        drop(state);
        if may { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The writer has written; so much is on the carrier and not handed over. To be told under the lock that the number changes
    /// under, as [`left`](Self::left): the last word has to be the last state.
    pub(crate) fn wrote(&self, queued: u64) -> Woken {
        self.lane.changed(|order| order.wrote(self.carrier, queued))
    }

    /// There are no more writes.
    pub(crate) fn withdraw(&self) {
        self.lane.change(|order| order.withdraw(self.carrier));
    }

    /// So much is left of it.
    pub(crate) fn left(&self, queued: u64) -> Woken {
        self.lane.changed(|order| order.left(self.carrier, queued))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lane.places.fetch_sub(1, Ordering::Relaxed);
        let mut state = self.lane.lock();
        state.wakers.remove(&self.carrier);
        state.writers.remove(&self.carrier);
        drop(state);
        self.lane.change(|order| order.close(self.carrier));
    }
}

#[cfg(test)]
mod tests;
