//! What the session's task tells a pump, and reads off it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kwik_proto::frame::ErrorCode;
use tokio::sync::Notify;

use super::event::Route;
use crate::stream::application;

/// The session's hold on a [`ReceivePump`](super::ReceivePump).
///
/// Comes with the carrier's [`RouteRequest`](super::RouteRequest). Orders never wait: of each kind the pump keeps the
/// latest. Dropping it lets the pump run on.
#[derive(Clone, Debug, Default)]
pub struct CarrierControl(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    orders: Mutex<Orders>,
    news: Notify,
    received: AtomicU64,
}

/// What was ordered and not done yet.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) stop: Option<application::Error>,
    pub(super) route: Option<Route>,
}

impl CarrierControl {
    /// STOP_SENDING with that code on the carrier; the pump ends.
    pub fn stop(&self, code: ErrorCode) {
        self.stop_with(application::Error::of_kwik(code));
    }

    /// STOP_SENDING with the application's code.
    pub fn stop_with(&self, code: application::Error) {
        self.order(|orders| orders.stop = Some(code));
    }

    /// From the next frame on the carrier carries what the route says: the answer of a mapping snapshot.
    pub fn reroute(&self, route: Route) {
        self.order(|orders| orders.route = Some(route));
    }

    /// Bytes that came on the carrier, headers included.
    pub fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    pub(super) fn add_received(&self, bytes: u64) {
        self.0.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Waits for the next order. Cancel safe.
    pub(super) async fn ordered(&self) {
        self.0.news.notified().await;
    }

    pub(super) fn take(&self) -> Orders {
        std::mem::take(&mut *self.0.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.0.orders.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.news.notify_one();
    }
}
