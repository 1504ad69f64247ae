//! The addresses that hosts are seen under: their own, until the NAT before one forgets it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Outside addresses are in 10.128.0.0/9, hosts' own in 10.0.0.0/24: one scope for those who look at scopes.
const OUTSIDE: u8 = 128;

/// The mappings of all NATs. A host that was never rebound has none: it is seen under its own address.
#[derive(Debug, Default)]
pub(crate) struct Nat {
    /// How often each host was rebound.
    rebinds: BTreeMap<IpAddr, u16>,
}

impl Nat {
    /// Forgets a host's mappings: from now on it is seen under another address, with other ports. After 32,767 times
    /// under one that it had before.
    pub(crate) fn rebind(&mut self, host: IpAddr) {
        let times = self.rebinds.entry(host).or_default();
        *times = *times % 0x7fff + 1;
    }

    /// Who others believe to have sent what `inside` sent.
    pub(crate) fn outside(&self, inside: SocketAddr) -> SocketAddr {
        let Some((times, ip)) = self.rebinds.get(&inside.ip()).zip(octets(inside.ip())) else {
            return inside;
        };
        let [high, low] = times.to_be_bytes();
        let ip = Ipv4Addr::new(ip[0], OUTSIDE | high, low, ip[3]);
        SocketAddr::new(ip.into(), translate(inside.port(), low))
    }

    /// Where a datagram to `outside` gets to; `None` if the NAT has forgotten that address.
    pub(crate) fn inside(&self, outside: SocketAddr) -> Option<SocketAddr> {
        let inside = match octets(outside.ip()) {
            Some([_, second, low, _]) if second & OUTSIDE != 0 => {
                SocketAddr::new(host(outside.ip()), translate(outside.port(), low))
            }
            _ => outside,
        };
        (self.outside(inside) == outside).then_some(inside)
    }
}

/// The own address of the host that has, or had, this one.
pub(crate) fn host(outside: IpAddr) -> IpAddr {
    match octets(outside) {
        Some([first, second, _, last]) if second & OUTSIDE != 0 => {
            Ipv4Addr::new(first, 0, 0, last).into()
        }
        _ => outside,
    }
}

fn octets(ip: IpAddr) -> Option<[u8; 4]> {
    match ip {
        IpAddr::V4(ip) => Some(ip.octets()),
        IpAddr::V6(_) => None,
    }
}

/// One port for another, and back. A port above 1,023 stays above.
fn translate(port: u16, times: u8) -> u16 {
    port ^ u16::from(times)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_host_is_seen_under_its_own_address_until_it_is_rebound() {
        let (nat, client) = (Nat::default(), address("10.0.0.1:49152"));
        assert_eq!((nat.outside(client), nat.inside(client)), (client, Some(client)));
    }

    #[test]
    fn each_rebinding_gives_another_address_and_forgets_the_last() {
        let (mut nat, client) = (Nat::default(), address("10.0.0.1:49152"));
        let mut seen = vec![client];
        for _ in 0..600 {
            nat.rebind(client.ip());
            let outside = nat.outside(client);
            assert_ne!(outside.ip(), seen[seen.len() - 1].ip());
            assert!(!seen.contains(&outside), "{outside}");
            assert_eq!(nat.inside(outside), Some(client));
            assert!(seen.iter().all(|old| nat.inside(*old).is_none()));
            assert_eq!(host(outside.ip()), client.ip());
            seen.push(outside);
        }
    }

    #[test]
    fn two_ports_of_a_host_stay_two_and_other_hosts_keep_their_addresses() {
        let mut nat = Nat::default();
        let (one, two) = (address("10.0.0.1:49152"), address("10.0.0.1:49153"));
        nat.rebind(one.ip());
        assert_ne!(nat.outside(one), nat.outside(two));
        assert_eq!(nat.inside(nat.outside(two)), Some(two));
        let server = address("10.0.0.2:4433");
        assert_eq!((nat.outside(server), nat.inside(server)), (server, Some(server)));
        let nobody = address("10.9.9.9:4433");
        assert_eq!((host(nobody.ip()), nat.inside(nobody)), (nobody.ip(), Some(nobody)));
    }
}
