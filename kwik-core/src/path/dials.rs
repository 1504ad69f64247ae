//! How often an address is dialled on a primary's word.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::time::Instant;

/// Whether, and how, an address may be dialled now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It has answered this client before: as any server. Tell [`Dials::handle_ended`] how it ended.
    Known,
    /// It has not: give up after [`Dials::PATIENCE`] without a datagram from there, and send nothing beside the
    /// handshake. Tell [`Dials::handle_ended`] how it ended.
    Unknown,
    /// Ask again when another dial to the same host has ended.
    Wait,
    /// Not before that much time has passed.
    Later(Duration),
}

/// How a dial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The handshake is complete, and the server is the one that was named.
    Answered,
    /// Anything else.
    Failed,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    answered: bool,
    /// Dials that are under way. More than one only to an address that has answered.
    running: u32,
    /// When the last dial began, or ended.
    at: Instant,
}

impl Entry {
    /// When an address that has not answered may be dialled again.
    fn free_at(&self) -> Instant {
        self.at + Dials::PAUSE
    }

    fn is_spent(&self, now: Instant) -> bool {
        !self.answered && self.running == 0 && self.free_at() <= now
    }
}

/// The dials of one client to addresses that its primaries named, over all of its sessions.
///
/// A hostile primary can name anybody to all of its clients. So an address that has not answered a handshake gets one dial
/// per [`PAUSE`](Self::PAUSE), which ends after [`PATIENCE`](Self::PATIENCE) of silence: at most three datagrams and 4 KB in
/// a minute. Of one host, an IPv4 address or an IPv6 /64, at most [`MOST_PORTS`](Self::MOST_PORTS) addresses are tried until
/// one of them answers, so that its ports, and the interface identifiers that it may take, are no way around that. A server that has answered once is dialled as often as its path's
/// [`Backoff`](super::backoff::Backoff) says: it may be restarting.
///
/// At most [`MOST_ADDRESSES`](Self::MOST_ADDRESSES) are remembered. While none of them can be forgotten no other is dialled.
///
/// ```
/// use kwik_core::path::dials::{Dials, Outcome, Verdict};
/// use kwik_core::time::Instant;
///
/// let (mut dials, now) = (Dials::default(), Instant::ZERO);
/// let (primary, address) = ("198.51.100.1".parse().unwrap(), "203.0.113.9:4433".parse().unwrap());
/// assert_eq!(dials.begin(address, primary, now), Verdict::Unknown);
/// dials.handle_ended(address, Outcome::Failed, now);
/// assert_eq!(dials.begin(address, primary, now), Verdict::Later(Dials::PAUSE));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Dials {
    entries: BTreeMap<(IpAddr, u16), Entry>,
}

impl Dials {
    /// From the end of a dial without an answer to the next: 60 s. Shorter: more datagrams to a victim. Longer: a server that
    /// starts after its primary has named it is found late.
    pub const PAUSE: Duration = Duration::from_secs(60);
    /// How long an address that has not answered yet may be silent: 2.5 s. QUIC sends its first flight, at 1 s two probes
    /// (RFC 9002, 6.2.4) and at 3 s two more. Longer: a victim gets those too. Shorter: nothing is won, and a server behind a
    /// long or lossy way is not found.
    pub const PATIENCE: Duration = Duration::from_millis(2_500);
    /// Addresses of one host, none of which has answered, that are dialled in a [`PAUSE`](Self::PAUSE): 4. Lower: servers that
    /// share a host wait for each other. Higher: more datagrams to a victim. The primary's own host may have any number.
    pub const MOST_PORTS: usize = 4;
    /// Addresses that are remembered: 1,024, some 50 bytes each. Those that have answered make room first, the one that was
    /// dialled longest ago in front.
    pub const MOST_ADDRESSES: usize = 1_024;

    /// A dial to `address` is wanted; with [`Verdict::Known`] and [`Verdict::Unknown`] it has begun. `primary` is the host of
    /// the primary that named it.
    pub fn begin(&mut self, address: SocketAddr, primary: IpAddr, now: Instant) -> Verdict {
        self.entries.retain(|_, entry| !entry.is_spent(now));
        let key = (address.ip().to_canonical(), address.port());
        if let Some(entry) = self.entries.get_mut(&key) {
            return match (entry.answered, entry.running) {
                (true, _) => {
                    (entry.running, entry.at) = (entry.running.saturating_add(1), now);
                    Verdict::Known
                }
                (false, 0) => Verdict::Later(entry.free_at().since(now)),
                (false, _) => Verdict::Wait,
            };
        }
        let host = host(key.0);
        if !(host.0..=host.1).contains(&primary.to_canonical())
            && let Some(verdict) = self.host_limit(host, now)
        {
            return verdict;
        }
        if self.entries.len() >= Self::MOST_ADDRESSES && !self.forget_one() {
            return Verdict::Later(Self::PAUSE);
        }
        self.entries.insert(key, Entry { answered: false, running: 1, at: now });
        Verdict::Unknown
    }

    /// Why no further address of a host is dialled.
    fn host_limit(&self, (first, last): (IpAddr, IpAddr), now: Instant) -> Option<Verdict> {
        let tried = || self.entries.range((first, 0)..=(last, u16::MAX)).map(|(_, entry)| entry);
        if tried().count() < Self::MOST_PORTS || tried().any(|entry| entry.answered) {
            return None;
        }
        if tried().any(|entry| entry.running > 0) {
            return Some(Verdict::Wait);
        }
        let free = tried().map(Entry::free_at).min().unwrap_or(now);
        Some(Verdict::Later(free.since(now)))
    }

    /// Makes room for an address.
    fn forget_one(&mut self) -> bool {
        let idle = self.entries.iter().filter(|(_, entry)| entry.answered && entry.running == 0);
        let oldest = idle.min_by_key(|(_, entry)| entry.at).map(|(key, _)| *key);
        oldest.is_some_and(|key| self.entries.remove(&key).is_some())
    }

    /// A dial that had begun is over.
    pub fn handle_ended(&mut self, address: SocketAddr, outcome: Outcome, now: Instant) {
        let key = (address.ip().to_canonical(), address.port());
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.running = entry.running.saturating_sub(1);
        entry.answered |= outcome == Outcome::Answered;
        entry.at = now;
    }
}

/// The first and the last address of a host: of IPv6 everything with its subnet prefix of 64 bits (RFC 4291, 2.5.4).
fn host(address: IpAddr) -> (IpAddr, IpAddr) {
    match address {
        IpAddr::V4(_) => (address, address),
        IpAddr::V6(address) => {
            let interface = u128::from(u64::MAX);
            let first = address.to_bits() & !interface;
            (Ipv6Addr::from_bits(first).into(), Ipv6Addr::from_bits(first | interface).into())
        }
    }
}

#[cfg(test)]
mod tests;
