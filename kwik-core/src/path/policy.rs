//! What a client refuses to connect to, whatever its primary says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use kwik_proto::frame::{AddPath, ErrorCode, ServerIdentity};

/// How far an address reaches, from the narrowest.
///
/// ```
/// use kwik_core::path::policy::Scope;
///
/// assert_eq!(Scope::of("100.64.0.1".parse().unwrap()), Some(Scope::Private));
/// assert_eq!(Scope::of("224.0.0.1".parse().unwrap()), None);
/// assert!(Scope::Private < Scope::Global);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// The machine itself: 127.0.0.0/8, ::1.
    Loopback,
    /// One link: 169.254.0.0/16 (the metadata service of clouds too), fe80::/10.
    LinkLocal,
    /// One site: RFC 1918, 100.64.0.0/10 (RFC 6598), 192.0.0.0/24, 198.18.0.0/15 (RFC 2544), fc00::/7, fec0::/10 and
    /// 64:ff9b:1::/48 (RFC 8215).
    Private,
    /// Everywhere.
    Global,
}

impl Scope {
    /// The scope of an address; `None` if nobody can be reached there: multicast, broadcast, unspecified, reserved.
    ///
    /// IPv6 addresses that carry an IPv4 address reach what that one reaches: mapped (::ffff:0:0/96), compatible
    /// (::/96), NAT64 (64:ff9b::/96) and 6to4 (2002::/16). Else ::ffff:127.0.0.1 would be a global address.
    pub fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Option<Self> {
        match address.octets() {
            [0 | 224..=255, ..] => None,
            [127, ..] => Some(Self::Loopback),
            [169, 254, ..] => Some(Self::LinkLocal),
            [10, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [100, 64..=127, ..]
            | [192, 0, 0, _]
            | [198, 18..=19, ..] => Some(Self::Private),
            _ => Some(Self::Global),
        }
    }

    fn of_v6(address: Ipv6Addr) -> Option<Self> {
        if address.is_unspecified() || address.is_multicast() {
            return None;
        }
        if address.is_loopback() {
            return Some(Self::Loopback);
        }
        match address.segments() {
            [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, ..] => Self::of_v4(embedded(high, low)),
            [0x64, 0xff9b, 1, ..] => Some(Self::Private),
            [0xfe80..=0xfebf, ..] => Some(Self::LinkLocal),
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Some(Self::Private),
            _ => Some(Self::Global),
        }
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

/// Why a path is not dialled. Every case is the primary's fault, or the client's wish.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// None of the addresses may be dialled; this is the first one's reason.
    #[error("address {address}: {reason}")]
    Address {
        /// The first address.
        address: SocketAddr,
        /// What is wrong with it.
        reason: AddressFault,
    },
    /// No address, or more than [`PathPolicy::MAX_ADDRESSES`].
    #[error("{count} addresses, 1 to {} are allowed", PathPolicy::MAX_ADDRESSES)]
    AddressCount {
        /// How many there were.
        count: usize,
    },
    /// The server's name is neither a DNS name nor an IP literal.
    #[error("the server name is neither a DNS name nor an IP literal")]
    Name,
    /// The token is empty, longer than [`PathPolicy::MAX_TOKEN`], or has bytes that no token has.
    #[error("the token is malformed")]
    Token,
    /// Path 0 is the primary's, and epochs count from 1.
    #[error("path number 0 or epoch 0")]
    Number,
}

impl PolicyError {
    /// What the AddPathResult says.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Address { .. } | Self::Name => ErrorCode::PathPolicy,
            Self::Token => ErrorCode::TokenInvalid,
            Self::AddressCount { .. } | Self::Number => ErrorCode::ProtocolViolation,
        }
    }
}

/// Why one address is not dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressFault {
    /// Multicast, broadcast, unspecified or reserved.
    #[error("nobody can be reached there")]
    NoHost,
    /// Port 0.
    #[error("port 0")]
    PortZero,
    /// Nearer to the client than the primary itself is.
    #[error("{found:?} is narrower than {least:?}")]
    TooNarrow {
        /// The address's scope.
        found: Scope,
        /// The narrowest scope that is allowed.
        least: Scope,
    },
    /// Below [`PathPolicy::USER_PORTS`], and the primary's own is not.
    #[error("port {0} is a system port, and the primary's is not")]
    SystemPort(u16),
}

/// Which secondary paths a client agrees to.
///
/// A client behind a firewall can reach what its primary cannot. A hostile primary could use it to send datagrams to
/// the client's own machine, its router or a cloud's metadata service. So a secondary must be at least as far away
/// as the primary itself, by [`Scope`]; an address that cannot be told is as good as [`Scope::Global`]. And it has a system
/// port (RFC 6335, 6), where DNS, NTP and other services are that did not ask for QUIC, only if the primary has one.
///
/// ```
/// use bytes::Bytes;
/// use kwik_core::path::policy::{PathPolicy, Scope};
/// use kwik_proto::frame::{AddPath, ServerIdentity};
/// use kwik_proto::{Epoch, PathId};
///
/// let add = AddPath {
///     path: PathId::new(1),
///     epoch: Epoch::FIRST,
///     addresses: vec!["192.168.1.1:443".parse().unwrap(), "203.0.113.9:443".parse().unwrap()],
///     identity: ServerIdentity::Pin([7; 32]),
///     token: "v4.public.x".into(),
/// };
/// let primary = "198.51.100.1:443".parse().unwrap();
/// let strict = PathPolicy::default();
/// assert_eq!(strict.check(primary, &add).unwrap(), [add.addresses[1]]);
/// let at_home = PathPolicy::default().with_narrowest(Scope::Private);
/// assert_eq!(at_home.check(primary, &add).unwrap(), add.addresses);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPolicy {
    narrowest: Option<Scope>,
    max_paths: usize,
    system_ports: bool,
}

impl Default for PathPolicy {
    fn default() -> Self {
        Self { narrowest: None, max_paths: Self::MAX_PATHS, system_ports: false }
    }
}

impl PathPolicy {
    /// Secondary paths by default: 16. Each costs two sockets' worth of memory, a handshake and its share of the
    /// session's window; the primary's paths beyond it are refused.
    pub const MAX_PATHS: usize = 16;
    /// Addresses of one server: 8, as the wire format says.
    pub const MAX_ADDRESSES: usize = 8;
    /// Longest token in bytes: 4 KiB.
    pub const MAX_TOKEN: usize = 4096;
    /// The first port that is not a system port: 1,024 (RFC 6335, 6).
    pub const USER_PORTS: u16 = 1024;

    /// Allows secondaries down to `scope` even if the primary's own scope is wider. Default: not. For networks where
    /// a public primary has caches at the client's site. Too narrow, and a hostile primary reaches what is there.
    #[must_use]
    pub fn with_narrowest(mut self, scope: Scope) -> Self {
        self.narrowest = Some(scope);
        self
    }

    /// Allows secondaries on ports below 1,024 even if the primary's own port is not. Default: not. For secondaries on port
    /// 443 whose primary is elsewhere. Allowed, a hostile primary may have datagrams sent to a host's DNS or NTP service.
    #[must_use]
    pub fn with_system_ports(mut self) -> Self {
        self.system_ports = true;
        self
    }

    /// Allows that many secondary paths at a time. Default: [`PathPolicy::MAX_PATHS`]. 0: none at all.
    #[must_use]
    pub fn with_max_paths(mut self, max_paths: usize) -> Self {
        self.max_paths = max_paths;
        self
    }

    /// Secondary paths allowed at a time. The [`PathTable`](super::table::PathTable) counts them.
    pub fn max_paths(&self) -> usize {
        self.max_paths
    }

    /// The addresses of `add` that may be dialled, in the primary's order, without repetitions, IPv4-mapped ones as
    /// IPv4; fails if there is none, or if anything else in `add` must not reach the QUIC stack.
    ///
    /// Names are checked because s2n-quic's endpoint task panics on a bad one, and every connection on it dies.
    pub fn check(
        &self,
        primary: SocketAddr,
        add: &AddPath,
    ) -> Result<Vec<SocketAddr>, PolicyError> {
        if add.path.is_primary() || add.epoch.0 == 0 {
            return Err(PolicyError::Number);
        }
        if !identity_is_valid(&add.identity) {
            return Err(PolicyError::Name);
        }
        if !token_is_valid(&add.token) {
            return Err(PolicyError::Token);
        }
        self.allowed(primary, &add.addresses)
    }

    fn allowed(
        &self,
        primary: SocketAddr,
        addresses: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, PolicyError> {
        let count = addresses.len();
        if count > Self::MAX_ADDRESSES {
            return Err(PolicyError::AddressCount { count });
        }
        let mut allowed = Vec::with_capacity(count);
        let mut first_fault = None;
        for &address in addresses {
            match self.fault_of(address, primary) {
                Some(reason) => {
                    first_fault.get_or_insert(PolicyError::Address { address, reason });
                }
                None => allowed.push(SocketAddr::new(address.ip().to_canonical(), address.port())),
            }
        }
        if allowed.is_empty() {
            return Err(first_fault.unwrap_or(PolicyError::AddressCount { count }));
        }
        Ok(without_repetitions(allowed))
    }

    fn fault_of(&self, address: SocketAddr, primary: SocketAddr) -> Option<AddressFault> {
        let Some(found) = Scope::of(address.ip()) else { return Some(AddressFault::NoHost) };
        let least = self.least_scope(primary.ip());
        let is_system = |port: u16| port < Self::USER_PORTS;
        match address.port() {
            0 => Some(AddressFault::PortZero),
            _ if found < least => Some(AddressFault::TooNarrow { found, least }),
            port if is_system(port) && !is_system(primary.port()) && !self.system_ports => {
                Some(AddressFault::SystemPort(port))
            }
            _ => None,
        }
    }

    fn least_scope(&self, primary: IpAddr) -> Scope {
        let own = Scope::of(primary).unwrap_or(Scope::Global);
        self.narrowest.map_or(own, |narrowest| narrowest.min(own))
    }
}

fn without_repetitions(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut kept: Vec<SocketAddr> = Vec::with_capacity(addresses.len());
    for address in addresses {
        if !kept.contains(&address) {
            kept.push(address);
        }
    }
    kept
}

fn identity_is_valid(identity: &ServerIdentity) -> bool {
    match identity {
        ServerIdentity::Pin(_) => true,
        ServerIdentity::Name(name) => server_name_is_valid(name),
    }
}

/// PASETO tokens are base64url with dots (RFC 4648, 5).
fn token_is_valid(token: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=PathPolicy::MAX_TOKEN).contains(&token.len()) && token.bytes().all(known)
}

/// Whether a TLS stack can take `name`: an IP literal (no brackets, no zone), or a DNS name of at most 253 bytes
/// whose labels have 1 to 63 letters, digits, hyphens or underscores, no hyphen at either end, and whose last label
/// is not a number (RFC 1123, 2.1; WHATWG URL, 3.5: such a name is a malformed IPv4 address).
///
/// ```
/// use kwik_core::path::policy::server_name_is_valid;
///
/// assert!(server_name_is_valid("edge-1.example"));
/// assert!(server_name_is_valid("2001:db8::1"));
/// assert!(!server_name_is_valid("edge\0.example"));
/// ```
pub fn server_name_is_valid(name: &str) -> bool {
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    name.len() <= 253
        && name.split('.').all(label_is_valid)
        && name.rsplit('.').next().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()))
}

fn label_is_valid(label: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=63).contains(&label.len())
        && label.bytes().all(known)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests;
