//! Which client is behind which socket, as a NAT has it.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};

use super::wire::Flow;

/// Clients of one link at a time. Each costs a socket. A client more takes the place of the one that sent least
/// recently.
const MOST: usize = 64;
/// Receive buffer of a forwarder's sockets: 40 ms of 400 Mbit/s. Linux counts a small datagram as over 2 KiB.
const SOCKET_BUFFER: usize = 4 << 20;

/// The clients of a link.
#[derive(Debug)]
pub(crate) struct Flows {
    target: SocketAddr,
    by_client: BTreeMap<SocketAddr, Flow>,
    by_flow: BTreeMap<Flow, Entry>,
    next: Flow,
    /// Goes up with each datagram of a client.
    clock: u64,
    pub(crate) evicted: u64,
}

#[derive(Debug)]
struct Entry {
    client: SocketAddr,
    /// Connected to the server.
    socket: UdpSocket,
    last_heard: u64,
}

/// A socket that never blocks.
pub(crate) fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER)?;
    Ok(socket)
}

impl Flows {
    /// No client yet; the first one gets the flow `first`.
    pub(crate) fn new(target: SocketAddr, first: Flow) -> Self {
        let (by_client, by_flow) = (BTreeMap::new(), BTreeMap::new());
        Self { target, by_client, by_flow, next: first, clock: 0, evicted: 0 }
    }

    /// The flow of a client, a new one if need be.
    pub(crate) fn of(&mut self, client: SocketAddr) -> io::Result<Flow> {
        self.clock += 1;
        if let Some(entry) = self.by_client.get(&client).and_then(|flow| self.by_flow.get_mut(flow))
        {
            entry.last_heard = self.clock;
            return Ok(self.by_client[&client]);
        }
        if self.by_flow.len() == MOST {
            self.evict();
        }
        let any = if self.target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = socket(any.parse().expect("an address"))?;
        socket.connect(self.target)?;
        let flow = self.next;
        self.next += 1;
        self.by_client.insert(client, flow);
        self.by_flow.insert(flow, Entry { client, socket, last_heard: self.clock });
        Ok(flow)
    }

    fn evict(&mut self) {
        let quietest = self.by_flow.iter().min_by_key(|(_, entry)| entry.last_heard);
        if let Some(flow) = quietest.map(|(flow, _)| *flow) {
            let entry = self.by_flow.remove(&flow).expect("it was found in the table");
            self.by_client.remove(&entry.client);
            self.evicted += 1;
        }
    }

    /// The socket towards the server; `None` if the flow is gone.
    pub(crate) fn socket(&self, flow: Flow) -> Option<&UdpSocket> {
        self.by_flow.get(&flow).map(|entry| &entry.socket)
    }

    /// The client's address; `None` if the flow is gone.
    pub(crate) fn client(&self, flow: Flow) -> Option<SocketAddr> {
        self.by_flow.get(&flow).map(|entry| entry.client)
    }

    /// All flows and their sockets.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = (Flow, &UdpSocket)> {
        self.by_flow.iter().map(|(flow, entry)| (*flow, &entry.socket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn a_client_keeps_its_flow_and_others_have_their_own() {
        let mut flows = Flows::new(client(9), 0);
        let first = flows.of(client(1)).expect("a socket");
        let second = flows.of(client(2)).expect("a socket");
        assert_ne!(first, second);
        assert_eq!(flows.of(client(1)).expect("a socket"), first);
        assert_eq!(flows.client(second), Some(client(2)));
        let own = |flow| flows.socket(flow).and_then(|socket| socket.local_addr().ok());
        assert_ne!(own(first), own(second));
    }

    #[test]
    fn one_client_too_many_takes_the_place_of_the_quietest() {
        let mut flows = Flows::new(client(9), 0);
        let all: Vec<Flow> =
            (0..MOST as u16).map(|port| flows.of(client(port)).expect("a socket")).collect();
        flows.of(client(0)).expect("a socket");
        flows.of(client(9_999)).expect("a socket");
        assert_eq!((flows.sockets().count(), flows.evicted), (MOST, 1));
        assert_eq!(flows.client(all[1]), None, "the first that was not heard again");
        assert_eq!(flows.client(all[0]), Some(client(0)));
        assert_ne!(
            flows.of(client(1)).expect("a socket"),
            all[1],
            "what was under way is not its own"
        );
    }
}
