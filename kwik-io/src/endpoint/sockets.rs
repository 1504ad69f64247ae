//! The buffers between QUIC and the kernel.

use std::io;
use std::net::UdpSocket;

use s2n_quic::provider::io::tokio::{Builder, Provider};

use super::limits::Role;
use crate::worker::Worker;

/// What s2n-quic reads datagrams into, in slots of 64 KiB that it goes round. Its default of 8 MiB leaves the
/// processor's cache before it is decrypted: with it 1 GiB over loopback costs a tenth more CPU, and each of 16
/// paths would hold as much. A server's has room for the datagrams of more peers at a time.
const RECEIVE_RING: usize = 1 << 20;
const SERVER_RECEIVE_RING: usize = 2 << 20;

/// What it writes datagrams into. Its default of 128 KiB is two slots: the endpoint wakes up for each 128 KiB. For ends
/// that send in bulk; a client's end of a secondary path only acknowledges.
const SEND_RING: usize = 512 << 10;

/// The kernel's receive buffer. Its usual default of 208 KiB holds less than a burst of one congestion window: what does
/// not fit is lost, and the sender slows down. The system's own limit (`net.core.rmem_max`) holds, silently.
const SOCKET_RECEIVE_BUFFER: usize = 4 << 20;

/// Sets the buffers of an endpoint's sockets. Public so that a bare connection can be compared with the same.
///
/// ```
/// use kwik_io::endpoint::{Role, sockets};
/// use s2n_quic::provider::io::tokio::Builder;
///
/// let io = Builder::default().with_receive_address("127.0.0.1:0".parse().unwrap())?;
/// let provider = sockets(io, Role::Server)?.build()?;
/// # drop(provider);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// None at present: a buffer that the system does not give stays as it is.
pub fn sockets(io: Builder, role: Role) -> io::Result<Builder> {
    let io = io.with_recv_buffer_size(SOCKET_RECEIVE_BUFFER)?;
    match role {
        Role::Secondary => io.with_internal_recv_buffer_size(RECEIVE_RING),
        Role::Primary => io
            .with_internal_recv_buffer_size(RECEIVE_RING)?
            .with_internal_send_buffer_size(SEND_RING),
        Role::Server => io
            .with_internal_recv_buffer_size(SERVER_RECEIVE_RING)?
            .with_internal_send_buffer_size(SEND_RING),
    }
}

/// Hands a bound socket to QUIC.
pub(super) fn io(
    worker: &Worker,
    socket: UdpSocket,
    role: Role,
    max_mtu: u16,
) -> io::Result<Provider> {
    socket.set_nonblocking(true)?;
    let io = Builder::default()
        .with_handle(worker.runtime().clone())
        .with_rx_socket(socket)?
        .with_max_mtu(max_mtu)?;
    sockets(io, role)?.build()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    /// s2n-quic tells what it will set aside in its builder's text alone.
    #[test]
    fn each_end_has_rings_of_its_size() {
        let (mib, half) = (Some(RECEIVE_RING), Some(SEND_RING));
        let server = Some(SERVER_RECEIVE_RING);
        for (role, receive, send) in
            [(Role::Primary, mib, half), (Role::Secondary, mib, None), (Role::Server, server, half)]
        {
            let text = format!("{:?}", sockets(Builder::default(), role).unwrap());
            for (name, size) in [("recv", receive), ("send", send)] {
                let wanted = format!("queue_{name}_buffer_size: {size:?}");
                assert!(text.contains(&wanted), "{role:?}: {wanted}, {text}");
            }
        }
    }
}
