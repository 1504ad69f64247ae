//! How many handshakes a server's endpoint has under way, and what becomes of those beyond.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use s2n_quic::provider::endpoint_limits::{ConnectionAttempt, Default as Ports, Limiter, Outcome};
use s2n_quic::provider::event::{Timestamp, events::SocketAddress};

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
        Gate { handshakes: self.clone(), ports: Ports::default(), epoch: None, retries: 0 }
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
    /// Since when `retries` counts.
    epoch: Option<Timestamp>,
    /// Retries of this epoch, each of which may come back as a handshake.
    retries: usize,
}

impl Limiter for Gate {
    fn on_connection_attempt(&mut self, attempt: &ConnectionAttempt<'_>) -> Outcome {
        if self.ports.on_connection_attempt(attempt) == Outcome::drop() {
            return Outcome::drop();
        }
        let shared = &self.handshakes.0;
        let prefix = self.handshakes.of(prefix_of(&attempt.remote_address));
        match verdict(attempt.inflight_handshakes, shared.most)
            .max(verdict(prefix, shared.most_of_prefix))
        {
            Verdict::Go => Outcome::allow(),
            Verdict::Show if self.has_room(attempt) => {
                self.retries += 1;
                self.handshakes.0.retried.fetch_add(1, Ordering::Relaxed);
                Outcome::retry()
            }
            // It asks again after a second or so.
            Verdict::Show | Verdict::Wait => {
                self.handshakes.0.dropped.fetch_add(1, Ordering::Relaxed);
                Outcome::drop()
            }
        }
    }
}

impl Gate {
    /// Whether all that were sent a Retry lately could come back at once.
    fn has_room(&mut self, attempt: &ConnectionAttempt<'_>) -> bool {
        let now = attempt.timestamp;
        let over = self.epoch.is_none_or(|since| now.saturating_duration_since(since) > RETRY_LIFE);
        if over {
            self.epoch = Some(now);
            self.retries = 0;
        }
        attempt.inflight_handshakes.saturating_add(self.retries) < self.handshakes.0.most
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
