//! QUIC endpoints: where connections are dialled and accepted.

mod client;
mod dial;
mod limits;
mod server;

pub use client::ClientEndpoints;
pub use dial::{DialError, Dialled};
pub use limits::{EndpointLimits, Role};
pub use server::{Accepted, BindError, ServerEndpoint};

/// Wakes the event loop of an endpoint with a byte that is no QUIC packet.
///
/// s2n-quic notices only at its next wake-up that nobody holds an endpoint any more, and an idle one has none.
fn nudge(mut address: std::net::SocketAddr) {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
    let (loopback, any) = match address {
        SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST.into(), IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST.into(), IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    if address.ip().is_unspecified() {
        address.set_ip(loopback);
    }
    // Where it fails, the endpoint goes with its worker at the latest.
    if let Ok(socket) = UdpSocket::bind((any, 0)) {
        let _ = socket.send_to(&[0], address);
    }
}
