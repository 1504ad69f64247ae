//! How many lines alike are written.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tracing::callsite::Identifier;

/// Time in which at most [`BURST`] lines alike are written.
const INTERVAL: Duration = Duration::from_secs(10);
/// Lines of one kind and client in an [`INTERVAL`]: 8. A session may have several secondaries that fail at once.
const BURST: u32 = 8;
/// Kinds and clients that are told apart. Those that find no room share one budget.
const MOST_KEYS: usize = 1_024;

/// Least time between two searches for room.
const PRUNING: Duration = Duration::from_secs(1);

/// Where a line comes from: the place in the program, and the network of the client that it is about.
pub(super) type Key = (Identifier, Option<IpAddr>);

/// Whether a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Write {
        /// Lines alike that were not, since the last that was.
        suppressed: u64,
    },
    Suppress,
}

/// Lines that were written a moment ago.
#[derive(Debug, Default)]
pub(super) struct LogLimit {
    budgets: HashMap<Key, Budget>,
    /// Of all for which there is no room.
    others: Budget,
    /// When room was made last.
    pruned: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    since: Duration,
    written: u32,
    suppressed: u64,
}

impl Budget {
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.since) >= INTERVAL
    }

    fn admit(&mut self, now: Duration) -> Verdict {
        if self.is_over(now) {
            (self.since, self.written) = (now, 0);
        }
        if self.written >= BURST {
            self.suppressed = self.suppressed.saturating_add(1);
            return Verdict::Suppress;
        }
        self.written += 1;
        Verdict::Write { suppressed: std::mem::take(&mut self.suppressed) }
    }
}

impl LogLimit {
    /// A line is about to be written at `now`, in the time since any start.
    pub(super) fn admit(&mut self, key: Key, now: Duration) -> Verdict {
        if let Some(budget) = self.budgets.get_mut(&key) {
            return budget.admit(now);
        }
        // Not for each line: it looks at all of them.
        if self.budgets.len() >= MOST_KEYS && now.saturating_sub(self.pruned) >= PRUNING {
            self.pruned = now;
            self.budgets.retain(|_, budget| !budget.is_over(now));
        }
        if self.budgets.len() >= MOST_KEYS {
            return self.others.admit(now);
        }
        let budget = self.budgets.entry(key).or_insert(Budget { since: now, ..Budget::default() });
        budget.admit(now)
    }
}

/// A client may have any address of its network: with IPv6, of 64 bits.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use tracing::callsite::DefaultCallsite;
    use tracing::metadata::Kind;
    use tracing::{Level, Metadata};

    use super::*;

    static CALLSITE: DefaultCallsite = DefaultCallsite::new(&METADATA);
    static METADATA: Metadata<'static> = tracing::metadata! {
        name: "a test", target: "test", level: Level::WARN, fields: &[], callsite: &CALLSITE,
        kind: Kind::EVENT
    };

    fn key(client: u32) -> Key {
        (METADATA.callsite(), Some(IpAddr::from(client.to_be_bytes())))
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn written(limit: &mut LogLimit, key: &Key, now: Duration) -> usize {
        let write = |_: &u32| matches!(limit.admit(key.clone(), now), Verdict::Write { .. });
        (0..100).filter(write).count()
    }

    #[test]
    fn a_flood_of_one_client_hides_no_other_and_is_counted() {
        let mut limit = LogLimit::default();
        assert_eq!(written(&mut limit, &key(1), at(0)), BURST as usize);
        assert_eq!(limit.admit(key(2), at(1)), Verdict::Write { suppressed: 0 });
        assert_eq!(limit.admit(key(1), at(9)), Verdict::Suppress);
        let left_out = 100 - u64::from(BURST) + 1;
        assert_eq!(limit.admit(key(1), at(10)), Verdict::Write { suppressed: left_out });
        assert_eq!(limit.admit(key(1), at(10)), Verdict::Write { suppressed: 0 });
    }

    #[test]
    fn clients_without_number_are_bounded_together() {
        let mut limit = LogLimit::default();
        let lines: usize = (0..5_000).map(|client| written(&mut limit, &key(client), at(0))).sum();
        assert_eq!(lines, BURST as usize * (MOST_KEYS + 1));
        assert_eq!(limit.budgets.len(), MOST_KEYS);
        assert_eq!(written(&mut limit, &key(60_000), at(10)), BURST as usize, "room comes back");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let network_of = |text: &str| text.parse().map(network);
        assert_eq!(network_of("2001:db8:1:2::1"), network_of("2001:db8:1:2:ffff::9"));
        assert_ne!(network_of("2001:db8:1:2::1"), network_of("2001:db8:1:3::1"));
        assert_eq!(network_of("::ffff:192.0.2.1"), network_of("192.0.2.1"));
    }
}
