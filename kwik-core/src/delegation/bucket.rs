//! The price of impatience: redundant bytes that may still be ordered.

use super::config::DelegationConfig;
use super::constants::END_GAME_PART;

/// Redundant bytes that may still be ordered: an opening balance and a share of what was delivered, less what was spent.
///
/// Every copy that races its original draws on it: hedges and the end game. So does a range that is taken from a source
/// which may have bytes of it under way: that can't be forbidden where the reader waits, but what it cost is not there for
/// copies any more. Repair of a dead source does not, since that one sends nothing twice.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    opening: u64,
    share: f64,
    spent: u64,
    /// What was taken out without asking.
    moved: u64,
    /// What copies at the end of plans cost.
    end_game: u64,
}

impl Bucket {
    pub(super) fn new(config: &DelegationConfig) -> Self {
        Self {
            opening: config.redundancy_opening,
            share: config.redundancy_share,
            spent: 0,
            moved: 0,
            end_game: 0,
        }
    }

    /// What may be spent after `delivered` bytes.
    pub(super) fn balance(&self, delivered: u64) -> u64 {
        self.earned(delivered).saturating_sub(self.spent)
    }

    /// What the end game may spend after `delivered` bytes.
    pub(super) fn end_game_balance(&self, delivered: u64) -> u64 {
        let part = (self.earned(delivered) as f64 * END_GAME_PART) as u64;
        let part = part.saturating_sub(self.end_game);
        part.min(self.balance(delivered))
    }

    fn earned(&self, delivered: u64) -> u64 {
        self.opening.saturating_add((delivered as f64 * self.share) as u64)
    }

    /// Whether more was spent than there was.
    pub(super) fn is_overdrawn(&self, delivered: u64) -> bool {
        self.spent > self.earned(delivered)
    }

    /// Takes `bytes` out; the caller asked for the balance before.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.spent = self.spent.saturating_add(bytes);
    }

    /// Takes out what a copy at the end of a plan costs.
    pub(super) fn spend_at_end(&mut self, bytes: u64) {
        self.spend(bytes);
        self.end_game = self.end_game.saturating_add(bytes);
    }

    /// Takes out what a source may have under way of what is taken from it, whether there is so much or not.
    pub(super) fn charge(&mut self, bytes: u64) {
        self.spend(bytes);
        self.moved = self.moved.saturating_add(bytes);
    }

    /// Puts back what a copy did not cost after all.
    pub(super) fn refund(&mut self, bytes: u64) {
        self.spent = self.spent.saturating_sub(bytes);
        self.end_game = self.end_game.min(self.spent);
    }

    pub(super) fn spent(&self) -> u64 {
        self.spent
    }

    /// What copies cost that were ordered.
    #[cfg(test)]
    pub(super) fn copied(&self) -> u64 {
        self.spent.saturating_sub(self.moved)
    }
}
