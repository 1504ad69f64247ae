#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::future::poll_fn;
use std::net::UdpSocket;
use std::sync::Arc;

use quinn_udp::UdpSocketState;
use s2n_quic_core::inet::SocketAddress;
use s2n_quic_core::io::rx::{Queue as _, Rx as _};
use s2n_quic_core::io::tx::{self, Queue as _, Tx as _};
use s2n_quic_core::path::{LocalAddress, Tuple};

use super::receive::Incoming;
use super::send::{BURST, Outgoing};
use super::*;

const MTU: u16 = 1_500;

/// A socket that tokio knows to be writable.
async fn socket() -> Arc<Socket> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let state = UdpSocketState::new((&socket).into()).unwrap();
    let local = socket.local_addr().unwrap();
    let io = tokio::net::UdpSocket::from_std(socket).unwrap();
    io.writable().await.unwrap();
    Arc::new(Socket { io, state, local })
}

fn peer() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

fn to(peer: &UdpSocket) -> Tuple {
    let remote_address = SocketAddress::from(peer.local_addr().unwrap()).into();
    Tuple { remote_address, local_address: LocalAddress::default() }
}

fn send(outgoing: &mut Outgoing, packets: &[(Tuple, Vec<u8>)]) {
    outgoing.queue(|queue| {
        for packet in packets {
            queue.push(packet.clone()).ok().unwrap();
        }
    });
}

fn received(peer: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
    let mut buffer = [0; 2_000];
    let mut next = || {
        let length = peer.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    };
    (0..count).map(|_| next()).collect()
}

#[tokio::test]
async fn packets_arrive_whole_and_in_order_whatever_goes_into_one_call() {
    let (mut outgoing, one, other) = (Outgoing::new(socket().await, MTU), peer(), peer());
    // Of one size, a shorter one, a longer one after it, and another peer's between.
    let sizes = [1_000, 1_000, 1_000, 400, 1_200, 1_200, 1_200];
    let packets = |peer: &UdpSocket, mark: u8| -> Vec<_> {
        sizes.iter().zip(mark..).map(|(size, mark)| (to(peer), vec![mark; *size])).collect()
    };
    let (to_one, to_other) = (packets(&one, 0), packets(&other, 100));
    send(&mut outgoing, &to_one);
    let mixed: Vec<_> = to_one
        .iter()
        .zip(&to_other)
        .flat_map(|(one, other)| [one.clone(), other.clone()])
        .collect();
    send(&mut outgoing, &mixed);
    let payloads = |packets: &[(Tuple, Vec<u8>)]| -> Vec<_> {
        packets.iter().map(|(_, payload)| payload.clone()).collect()
    };
    assert_eq!(received(&one, 7), payloads(&to_one));
    assert_eq!(received(&one, 7), payloads(&to_one));
    assert_eq!(received(&other, 7), payloads(&to_other));
}

/// As a probe of the MTU is sent.
struct Alone(Tuple, Vec<u8>);

impl tx::Message for Alone {
    type Handle = Tuple;

    fn path_handle(&self) -> &Tuple {
        &self.0
    }

    fn ecn(&mut self) -> s2n_quic_core::inet::ExplicitCongestionNotification {
        Default::default()
    }

    fn delay(&mut self) -> std::time::Duration {
        Default::default()
    }

    fn ipv6_flow_label(&mut self) -> u32 {
        0
    }

    fn can_gso(&self, _segment: usize, _count: usize) -> bool {
        false
    }

    fn write_payload(
        &mut self,
        mut buffer: tx::PayloadBuffer<'_>,
        _offset: usize,
    ) -> Result<usize, tx::Error> {
        buffer.write(&self.1)
    }
}

#[tokio::test]
async fn who_has_to_go_alone_takes_nobody_along() {
    let (socket, peer) = (socket().await, peer());
    let mut outgoing = Outgoing::new(socket, MTU);
    outgoing.queue(|queue| {
        queue.push(Alone(to(&peer), vec![1; 1_400])).ok().unwrap();
        assert!(!queue.holds(), "it is gone before the next is written");
        queue.push((to(&peer), vec![2; 1_000])).ok().unwrap();
        assert!(queue.holds());
    });
    assert_eq!(received(&peer, 2), [vec![1; 1_400], vec![2; 1_000]]);
}

#[tokio::test]
async fn a_burst_has_an_end_and_others_have_their_turn_after_it() {
    let (mut outgoing, peer) = (Outgoing::new(socket().await, MTU), peer());
    let packet = (to(&peer), vec![7; 1_400]);
    let mut sent = 0;
    outgoing.queue(|queue| {
        while queue.has_capacity() && queue.push(packet.clone()).is_ok() {
            sent += 1_400;
        }
    });
    assert!((BURST..BURST + 128 * 1_024).contains(&sent), "{sent}");
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        outgoing.poll_ready(cx)
    })
    .await
    .unwrap();
    assert_eq!(polls, 2, "it was pending once, for the other tasks");
    outgoing.queue(|queue| assert!(queue.has_capacity()));
}

#[tokio::test]
async fn each_datagram_is_handed_over_with_its_sender() {
    let (socket, one, other) = (socket().await, peer(), peer());
    let mut incoming = Incoming::new(Arc::clone(&socket));
    let mut sent = Vec::new();
    for mark in 0..40_u8 {
        let (from, size) = if mark % 4 == 0 { (&other, 300) } else { (&one, 1_200) };
        let payload = vec![mark; size];
        from.send_to(&payload, socket.local).unwrap();
        sent.push((from.local_addr().unwrap(), payload));
    }
    let mut got = Vec::new();
    while got.len() < sent.len() {
        poll_fn(|cx| incoming.poll_ready(cx)).await.unwrap();
        incoming.queue(|queue| {
            assert!(!queue.is_empty());
            queue.for_each(|header, payload| {
                let local = SocketAddr::from(header.path.local_address.0);
                assert_eq!(local, socket.local);
                let from = SocketAddr::from(header.path.remote_address.0);
                got.push((from, payload.to_vec()));
            });
            assert!(queue.is_empty());
        });
    }
    assert_eq!(got, sent);
}
