//! Finding out at once that nobody listens.

use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout_at};

use super::dial::DialError;

/// What is sent: a byte that no QUIC packet begins with (the fixed bit is 0: RFC 9000, 17.2 and 17.3), in a datagram too
/// short for a stateless reset (less than 21 bytes: RFC 9000, 10.3). Servers drop it where they parse: s2n-quic and quinn
/// as a short header without a connection id, nginx as below its least length of 21.
const PROBE: [u8; 1] = [0];
/// When it is sent, from the start of the dial: hosts limit their ICMP errors, and networks lose them. Not more often: a
/// hostile primary chooses where its clients' datagrams go.
const SCHEDULE: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(250), Duration::from_secs(1)];

/// What a handshake has to be answered after a refusal: as long as the refusal took, within these bounds. It is a server's
/// cryptography that takes longer than an ICMP message.
const LEAST_PATIENCE: Duration = Duration::from_millis(25);
const MOST_PATIENCE: Duration = Duration::from_millis(500);

/// Waits until the target's host or this one says that no datagram can get there; for ever where nobody does.
///
/// QUIC's socket is not told: the system reports an ICMP error only on a socket that is connected to its sender, and an
/// endpoint has one socket for all of its peers. So this sends a datagram from a connected socket of its own, beside the
/// handshake, which does not wait for it. What else there is, and why not:
///
/// - A connected socket for each of s2n-quic's connections: an endpoint for each (a task, two rings of buffers), and
///   s2n-quic's receive loop drops the error all the same.
/// - `IP_RECVERR` on QUIC's socket: its errors come through `recvmsg`, which is `unsafe` here, from under s2n-quic's own
///   receive loop, and a full error queue makes that loop fail.
///
/// ICMP is not authenticated, so it may end a dial but nothing else: no connection, and no handshake that was answered
/// (`is_answered`), for then somebody is there. What it takes for final is what the system takes for final on a connected
/// socket: a port or protocol that is unreachable, an administrative refusal; not a router that has lost its way for a
/// moment. A server that is being restarted may be refused a moment before it listens: that dial fails, and the next one
/// finds it.
pub(super) async fn refused(
    local: Option<IpAddr>,
    target: SocketAddr,
    is_answered: impl Fn() -> bool,
) -> DialError {
    let start = Instant::now();
    let Some(error) = Probe::run(local, target).await else { return pending().await };
    // Behind a balancer the two may have gone to different servers: the handshake has as long again to be answered.
    sleep(start.elapsed().clamp(LEAST_PATIENCE, MOST_PATIENCE)).await;
    if is_answered() { pending().await } else { error }
}

struct Probe {
    target: SocketAddr,
    socket: UdpSocket,
}

impl Probe {
    /// What the system says of the target; `None` if it does not let itself be asked.
    async fn run(local: Option<IpAddr>, target: SocketAddr) -> Option<DialError> {
        let any = if target.is_ipv4() { [0; 4].into() } else { IpAddr::from([0; 16]) };
        let local = local.filter(|local| local.is_ipv4() == target.is_ipv4()).unwrap_or(any);
        let socket = UdpSocket::bind((local, 0)).await.ok()?;
        let probe = Self { target, socket };
        match probe.ask().await {
            Err(error) => probe.verdict(&error),
            Ok(()) => None,
        }
    }

    /// Ends without an error when something answers.
    async fn ask(&self) -> io::Result<()> {
        self.socket.connect(self.target).await?;
        let start = Instant::now();
        let mut received = [0];
        let mut ends = SCHEDULE.iter().skip(1).map(|after| start + *after);
        loop {
            self.socket.send(&PROBE).await?;
            let answer = self.socket.recv(&mut received);
            let outcome = match ends.next() {
                Some(end) => timeout_at(end, answer).await,
                None => Ok(answer.await),
            };
            if let Ok(outcome) = outcome {
                return outcome.map(|_| ());
            }
        }
    }

    fn verdict(&self, error: &io::Error) -> Option<DialError> {
        use io::ErrorKind::{
            ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable,
        };
        let target = self.target;
        match error.kind() {
            // Windows calls it a reset.
            ConnectionRefused | ConnectionReset => {
                let reason = "no server listens on that UDP port".to_owned();
                Some(DialError::Refused { target, reason })
            }
            HostUnreachable => Some(DialError::NoRoute { target, to: "host" }),
            NetworkUnreachable => Some(DialError::NoRoute { target, to: "network" }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
