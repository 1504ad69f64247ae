//! The price of impatience: how many redundant bytes may be ordered.

use super::config::DelegationConfig;

/// Redundant bytes that may still be ordered: an opening balance and a share of what was delivered, less what was spent.
///
/// Every copy that races its original draws on it: hedges and the end game. Repair does not, since a dead source sends
/// nothing twice.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    opening: u64,
    share: f64,
    spent: u64,
}

impl Bucket {
    pub(super) fn new(config: &DelegationConfig) -> Self {
        Self { opening: config.redundancy_opening, share: config.redundancy_share, spent: 0 }
    }

    /// What may be spent after `delivered` bytes.
    pub(super) fn balance(&self, delivered: u64) -> u64 {
        let earned = (delivered as f64 * self.share) as u64;
        self.opening.saturating_add(earned).saturating_sub(self.spent)
    }

    /// Takes `bytes` out; the caller asked for the balance before.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.spent = self.spent.saturating_add(bytes);
    }

    /// Puts back what a copy did not cost after all.
    pub(super) fn refund(&mut self, bytes: u64) {
        self.spent = self.spent.saturating_sub(bytes);
    }

    pub(super) fn spent(&self) -> u64 {
        self.spent
    }
}
