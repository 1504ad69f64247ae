//! Whom to connect to.

use std::net::SocketAddr;

/// The primary server of a new session.
///
/// ```
/// use kwik_client::Connect;
///
/// let connect = Connect::new("[2001:db8::1]:4433".parse().unwrap()).with_server_name("origin.example");
/// assert_eq!(connect.server_name(), Some("origin.example"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    address: SocketAddr,
    server_name: Option<String>,
}

impl Connect {
    /// The server at that address.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, server_name: None }
    }

    /// The name that its certificate must be valid for: a DNS name or IP literal. Default: the address. With a pin the
    /// name does not count.
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name, if one was given.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }
}

impl From<SocketAddr> for Connect {
    fn from(address: SocketAddr) -> Self {
        Self::new(address)
    }
}
