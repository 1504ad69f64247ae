//! Networks, as far as the source of a packet tells them apart.

use std::net::IpAddr;

/// What one party is taken to have: an IPv4 address, or an IPv6 network of 56 bits, which is what a household or a rented
/// server gets at least (RFC 6177, BCP 157).
///
/// Clients behind one NAT have the same prefix.
///
/// ```
/// use kwik_io::prefix::Prefix;
///
/// let of = |text: &str| Prefix::of(text.parse().unwrap());
/// assert_eq!(of("2001:db8:0:100::1"), of("2001:db8:0:1ff::2"));
/// assert_ne!(of("2001:db8:0:100::1"), of("2001:db8:0:200::1"));
/// assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
/// assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(IpAddr);

impl Prefix {
    /// The prefix that the address belongs to.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 72 << 72).into()),
        })
    }
}
