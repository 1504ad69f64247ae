//! What a path has brought, and how long it had work.

use std::time::Duration;

use crate::time::Instant;

/// Bytes that arrived on a path and the time during which it had work outstanding.
///
/// Only that time counts for a path's rate: a path that was given little would otherwise be measured as slow for ever.
/// Both add up over all epochs of the path.
///
/// ```
/// use std::time::Duration;
/// use kwik_core::path::account::Account;
/// use kwik_core::time::Instant;
///
/// let at = |ms| Instant::from_start(Duration::from_millis(ms));
/// let mut account = Account::default();
/// account.handle_outstanding(true, at(0));
/// account.handle_received(1_000);
/// account.handle_outstanding(false, at(10));
/// assert_eq!(account.busy(at(500)), Duration::from_millis(10));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    received_bytes: u64,
    busy: Duration,
    busy_since: Option<Instant>,
}

impl Account {
    /// Bytes of contributions arrived, duplicates included.
    pub fn handle_received(&mut self, bytes: u64) {
        self.received_bytes = self.received_bytes.saturating_add(bytes);
    }

    /// Whether work is outstanding from now on. Saying the same twice changes nothing.
    pub fn handle_outstanding(&mut self, outstanding: bool, now: Instant) {
        match (outstanding, self.busy_since) {
            (true, None) => self.busy_since = Some(now),
            (false, Some(since)) => {
                self.busy = self.busy.saturating_add(now.since(since));
                self.busy_since = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Bytes that arrived.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Whether work is outstanding.
    pub fn is_busy(&self) -> bool {
        self.busy_since.is_some()
    }

    /// Time with work outstanding, up to `now`.
    pub fn busy(&self, now: Instant) -> Duration {
        let running = self.busy_since.map_or(Duration::ZERO, |since| now.since(since));
        self.busy.saturating_add(running)
    }
}

#[cfg(test)]
mod tests;
