//! The order in which the pumps of one connection hand their bytes to QUIC.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kwik_core::send_order::SendOrder;
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
}

impl Lane {
    /// A place for the carrier with that QUIC stream id, which brings bytes of `stream`.
    pub fn place(self: &Arc<Self>, carrier: u64, stream: StreamId) -> Place {
        self.lock().order.open(carrier, stream);
        self.places.fetch_add(1, Ordering::Relaxed);
        Place { lane: self.clone(), carrier, told: 0 }
    }

    /// Bytes that QUIC took and has not sent yet.
    pub fn unsent(&self) -> u64 {
        self.lock().order.unsent()
    }

    /// QUIC has sent bytes of a stream of its own, up to `end`.
    pub(crate) fn sent(&self, carrier: u64, end: u64) {
        if self.places.load(Ordering::Relaxed) > 0 {
            self.change(|order| order.sent(carrier, end));
        }
    }

    /// See [`SendOrder::set_pace`].
    pub(crate) fn set_pace(&self, congestion_window: u64, round_trip: Duration) {
        self.change(|order| order.set_pace(congestion_window, round_trip));
    }

    /// Changes something, and wakes whoever's turn it is then.
    fn change(&self, change: impl FnOnce(&mut SendOrder)) {
        let mut state = self.lock();
        change(&mut state.order);
        let waker = state.next();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
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
}

/// A pump's place in its connection's [`Lane`]. Dropped, the carrier is over.
#[derive(Debug)]
pub struct Place {
    lane: Arc<Lane>,
    carrier: u64,
    /// What the lane was told that QUIC took.
    told: u64,
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

    /// There is nothing to hand over, or QUIC takes nothing.
    pub(crate) fn idle(&self) {
        self.lane.change(|order| order.idle(self.carrier));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lane.places.fetch_sub(1, Ordering::Relaxed);
        self.lane.lock().wakers.remove(&self.carrier);
        self.lane.change(|order| order.close(self.carrier));
    }
}

#[cfg(test)]
mod tests;
