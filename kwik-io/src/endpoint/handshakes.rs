//! How many handshakes a server's endpoint has under way, and what becomes of those beyond.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use s2n_quic::provider::endpoint_limits::{ConnectionAttempt, Default as Ports, Limiter, Outcome};
use s2n_quic::provider::event::events::SocketAddress;

use crate::prefix::Prefix;

/// One in so many of the handshakes that may be under way goes on unasked; further clients have to show first, with a
/// Retry (RFC 9000, 8.1.2), that they are where their packets claim to come from.
const UNASKED: usize = 4;

/// How long an address that was shown by a Retry is good for: the two rotations of s2n-quic's keys. A handshake with one is
/// not refused any more, so as many are given out as there is room for.
const RETRY_LIFE: Duration = Duration::from_secs(2);

/// The handshakes of a server's endpoint: what its limiter, its connections and its owner share. Clones are one count.
#[derive(Clone, Debug)]
pub struct Handshakes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Under way, by where the client seems to be.
    by_prefix: Mutex<BTreeMap<Prefix, usize>>,
    most: usize,
    most_of_prefix: usize,
    /// First packets that were answered with a Retry.
    retried: AtomicU64,
    /// First packets that found no room.
    dropped: AtomicU64,
}

/// One handshake under way; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Shaking {
    handshakes: Handshakes,
    prefix: Prefix,
}

impl Handshakes {
    pub(crate) fn new(most: u32, most_of_prefix: u32) -> Self {
        let of = |number| usize::try_from(number).unwrap_or(usize::MAX).max(1);
        Self(Arc::new(Shared {
            by_prefix: Mutex::default(),
            most: of(most),
            most_of_prefix: of(most_of_prefix),
            retried: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }))
    }

    /// A connection's first packet was taken.
    pub(crate) fn begin(&self, address: &SocketAddress<'_>) -> Shaking {
        self.begin_of(prefix_of(address))
    }

    fn begin_of(&self, prefix: Prefix) -> Shaking {
        *self.by_prefix().entry(prefix).or_default() += 1;
        Shaking { handshakes: self.clone(), prefix }
    }

    fn of(&self, prefix: Prefix) -> usize {
        self.by_prefix().get(&prefix).copied().unwrap_or_default()
    }

    fn by_prefix(&self) -> MutexGuard<'_, BTreeMap<Prefix, usize>> {
        self.0.by_prefix.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// First packets that were answered with a Retry.
    pub fn retried(&self) -> u64 {
        self.0.retried.load(Ordering::Relaxed)
    }

    /// First packets that found no room, and no answer. Whoever is honest sends another one after a second or so.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// The limiter of the endpoint. There is to be one.
    pub(crate) fn limiter(&self) -> Gate {
        Gate { handshakes: self.clone(), ports: Ports::default(), retries: Retries::default() }
    }
}

impl Drop for Shaking {
    fn drop(&mut self) {
        let mut by_prefix = self.handshakes.by_prefix();
        if let Some(count) = by_prefix.get_mut(&self.prefix) {
            *count -= 1;
            if *count == 0 {
                by_prefix.remove(&self.prefix);
            }
        }
    }
}

/// Decides about first packets. Those of clients that a Retry has shown are not asked about.
pub(crate) struct Gate {
    handshakes: Handshakes,
    /// Ports that attacks are reflected by, as s2n-quic knows them.
    ports: Ports,
    retries: Retries,
}

/// Retries that were sent lately, each of which may come back as a handshake. Nobody is asked about those that do.
#[derive(Debug, Default)]
struct Retries {
    /// Since when they are counted, as time since the endpoint's clock began.
    since: Option<Duration>,
    all: usize,
    /// At most as many entries as there are Retries, of which there are no more than handshakes may be under way.
    by_prefix: BTreeMap<Prefix, usize>,
}

impl Limiter for Gate {
    fn on_connection_attempt(&mut self, attempt: &ConnectionAttempt<'_>) -> Outcome {
        if self.ports.on_connection_attempt(attempt) == Outcome::drop() {
            return Outcome::drop();
        }
        let shared = &self.handshakes.0;
        let prefix = prefix_of(&attempt.remote_address);
        let (all, of_prefix) = (attempt.inflight_handshakes, self.handshakes.of(prefix));
        match verdict(all, shared.most).max(verdict(of_prefix, shared.most_of_prefix)) {
            Verdict::Go => Outcome::allow(),
            Verdict::Show
                if self.retries.take(
                    attempt.timestamp.duration_since_start(),
                    prefix,
                    shared.most.saturating_sub(all),
                    shared.most_of_prefix.saturating_sub(of_prefix),
                ) =>
            {
                shared.retried.fetch_add(1, Ordering::Relaxed);
                Outcome::retry()
            }
            // It asks again after a second or so.
            Verdict::Show | Verdict::Wait => {
                shared.dropped.fetch_add(1, Ordering::Relaxed);
                Outcome::drop()
            }
        }
    }
}

impl Retries {
    /// One more Retry, to a client of `prefix`, if all that were sent one lately could come back at once: into so many free
    /// places in all, and so many of the network.
    fn take(&mut self, now: Duration, prefix: Prefix, free: usize, free_of_prefix: usize) -> bool {
        if self.since.is_none_or(|since| now.saturating_sub(since) > RETRY_LIFE) {
            *self = Self { since: Some(now), ..Self::default() };
        }
        let of_prefix = self.by_prefix.get(&prefix).copied().unwrap_or_default();
        if self.all >= free || of_prefix >= free_of_prefix {
            return false;
        }
        self.all += 1;
        self.by_prefix.insert(prefix, of_prefix + 1);
        true
    }
}

/// What a first packet finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Go,
    /// The client has to show where it is.
    Show,
    /// There is no room.
    Wait,
}

const fn verdict(under_way: usize, most: usize) -> Verdict {
    if under_way >= most {
        Verdict::Wait
    } else if under_way >= most.div_ceil(UNASKED) {
        Verdict::Show
    } else {
        Verdict::Go
    }
}

fn prefix_of(address: &SocketAddress<'_>) -> Prefix {
    Prefix::of(match address {
        SocketAddress::IpV4 { ip, .. } => IpAddr::from(**ip),
        SocketAddress::IpV6 { ip, .. } => IpAddr::from(**ip),
        _ => IpAddr::from([0; 4]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_goes_on_unasked_and_nothing_beyond_the_cap() {
        let verdicts: Vec<Verdict> = (0..10).map(|under_way| verdict(under_way, 8)).collect();
        assert_eq!(verdicts[..2], [Verdict::Go; 2]);
        assert_eq!(verdicts[2..8], [Verdict::Show; 6]);
        assert_eq!(verdicts[8..], [Verdict::Wait; 2]);
        assert_eq!([verdict(0, 1), verdict(1, 1)], [Verdict::Go, Verdict::Wait]);
    }

    #[test]
    fn a_network_gets_no_more_retries_than_it_has_places() {
        let [one, other] = [1, 2].map(|last| Prefix::of(IpAddr::from([192, 0, 2, last])));
        let mut retries = Retries::default();
        let start = Duration::from_secs(7);
        // 64 places of 100 are taken, eight of them by the one network, which may have twelve.
        let of_one = (0..100).filter(|_| retries.take(start, one, 36, 4)).count();
        assert_eq!(of_one, 4, "they come back unasked, and take the places of others");
        let of_other = (0..100).filter(|_| retries.take(start, other, 36, 100)).count();
        assert_eq!(of_other, 32, "36 in all");
        assert_eq!(retries.by_prefix.len(), 2);
        // What was given out before is good for nothing now.
        assert!(!retries.take(start + RETRY_LIFE, one, 36, 4));
        assert!(retries.take(start + 2 * RETRY_LIFE, one, 36, 4));
        assert_eq!((retries.all, retries.by_prefix.len()), (1, 1));
    }

    #[test]
    fn a_handshake_counts_for_its_network_until_it_is_over() {
        let handshakes = Handshakes::new(10, 10);
        let prefix = Prefix::of(IpAddr::from([192, 0, 2, 1]));
        let both = [handshakes.begin_of(prefix), handshakes.begin_of(prefix)];
        assert_eq!(handshakes.of(prefix), 2);
        drop(both);
        assert_eq!(handshakes.of(prefix), 0);
        assert!(handshakes.by_prefix().is_empty());
    }
}
