//! What the system gives UDP sockets.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use crate::cause::Cause;
use crate::finding::Finding;
use crate::size::ByteSize;
use crate::url::DEFAULT_PORT;

/// What endpoints ask the system for, to hold a burst of a whole congestion window: as in kwik-io.
const RECEIVE: usize = 4 << 20;
/// Linux's default. A call with segments hands over 64 KiB.
const SEND: usize = 208 << 10;
/// Segments of a packet of the smallest size, to try whether the system cuts.
const SEGMENT: i32 = 1_200;

/// Whether the system gives a socket the receive buffer that endpoints ask for.
pub(super) fn receive_buffer() -> Finding {
    const WHAT: &str = "UDP receive buffer";
    let given = udp().and_then(|socket| {
        socket.set_recv_buffer_size(RECEIVE)?;
        socket.recv_buffer_size().map(usable)
    });
    match given {
        Err(error) => broken(WHAT, &error),
        Ok(given) if given < RECEIVE => {
            let found = format!("{} of the {} asked for", size(given), size(RECEIVE));
            let advice = format!(
                "bursts are lost beyond it: run sysctl -w net.core.rmem_max={RECEIVE}, and write net.core.rmem_max = {RECEIVE} to /etc/sysctl.d/kwik.conf; in a container do it on the host"
            );
            Finding::warning(WHAT, found, advice)
        }
        Ok(given) => Finding::good(WHAT, format!("{}, as asked for", size(given))),
    }
}

/// The send buffer, which endpoints take as it comes.
pub(super) fn send_buffer() -> Finding {
    const WHAT: &str = "UDP send buffer";
    match udp().and_then(|socket| socket.send_buffer_size()) {
        Err(error) => broken(WHAT, &error),
        Ok(given) if given < SEND => {
            let advice = format!(
                "sending waits for the network card more often: run sysctl -w net.core.wmem_default={SEND}"
            );
            Finding::warning(WHAT, size(given), advice)
        }
        Ok(given) => Finding::good(WHAT, size(given)),
    }
}

/// Whether one call may hand over many packets (GSO).
pub(super) fn segmentation() -> Finding {
    let set = |socket: &Socket| setsockopt(socket, sockopt::UdpGsoSegment, &SEGMENT);
    let advice = "sending costs a call for each packet: use Linux 4.18 or later, and no sandbox that emulates its network";
    offload("UDP segmentation (GSO)", set, advice)
}

/// Whether one call may take many packets (GRO).
pub(super) fn coalescing() -> Finding {
    let set = |socket: &Socket| setsockopt(socket, sockopt::UdpGroSegment, &true);
    let advice = "receiving costs a call for each packet: use Linux 5.0 or later, and no sandbox that emulates its network";
    offload("UDP coalescing (GRO)", set, advice)
}

/// Whether a server could listen.
pub(super) fn port(listen: Option<SocketAddr>) -> Finding {
    const WHAT: &str = "UDP port";
    let address = listen.unwrap_or(SocketAddr::from(([0; 4], DEFAULT_PORT)));
    let error = match UdpSocket::bind(address) {
        Ok(_) => return Finding::good(WHAT, format!("{address} can be listened on")),
        Err(error) => error,
    };
    let found = format!("{address}: {error}");
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("`ss -ulpn sport = {}` names who listens there; end it, or choose another --listen", address.port())
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 are for root: run setcap cap_net_bind_service+ep on the program, or choose another --listen".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface has that address: `ip address` lists those there are; choose another --listen".to_owned()
        }
        _ => "choose another --listen".to_owned(),
    };
    match listen {
        Some(_) => Finding::problem(WHAT, found, advice, Cause::Failed),
        // Nobody said that it would be needed, and it may well be a server of this program.
        None => Finding::warning(WHAT, found, advice),
    }
}

fn offload(
    what: &'static str,
    set: impl FnOnce(&Socket) -> nix::Result<()>,
    advice: &str,
) -> Finding {
    let tried = udp().map(|socket| set(&socket));
    match tried {
        Err(error) => broken(what, &error),
        Ok(Err(error)) => Finding::warning(what, format!("not here: {}", error.desc()), advice),
        Ok(Ok(())) => Finding::good(what, "the system does it"),
    }
}

fn broken(what: &'static str, error: &io::Error) -> Finding {
    let advice = "allow the program UDP sockets";
    Finding::problem(what, format!("no UDP socket: {error}"), advice, Cause::Failed)
}

fn udp() -> io::Result<Socket> {
    Socket::new(Domain::IPV4, Type::DGRAM, None)
}

/// Linux sets aside twice of what it was asked for, for its own books, and says so.
fn usable(told: usize) -> usize {
    if cfg!(target_os = "linux") { told / 2 } else { told }
}

fn size(bytes: usize) -> String {
    ByteSize(bytes as u64).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::finding::Grade;

    #[test]
    fn a_port_that_is_taken_is_a_problem_where_it_was_named() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let found = port(Some(address));
        assert_eq!(found.grade, Grade::Problem, "{found:?}");
        assert!(found.advice.unwrap().contains(&address.port().to_string()));
        drop(taken);
        assert_eq!(port(Some(address)).grade, Grade::Good);
    }

    #[test]
    fn an_address_of_nobody_here_is_told_apart() {
        // For documentation (RFC 5737).
        let found = port(Some("192.0.2.1:4433".parse().unwrap()));
        assert_eq!(found.grade, Grade::Problem);
        assert!(found.advice.unwrap().contains("ip address"));
    }
}
