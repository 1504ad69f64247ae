//! How many handshakes there may be.

use std::net::{SocketAddr, UdpSocket};

use super::*;

/// First packets of clients that never go on: s2n-quic's own, taken down by a socket that answers nothing.
async fn first_packets(count: usize) -> Vec<Vec<u8>> {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let nowhere: SocketAddr = socket.local_addr().unwrap();
    let pin = certificate().pin();
    let mut dialling = Vec::new();
    for _ in 0..count {
        dialling.push(tokio::spawn(async move {
            let client = kwik_client::Client::builder().with_tls(pin).unwrap().start().unwrap();
            let _ = client.connect(kwik_client::Connect::new(nowhere)).await;
        }));
    }
    let (mut packets, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
    while packets.len() < count {
        let mut buffer = vec![0; 2000];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        // A dial sends single bytes too, to hear whether the port is closed.
        if length >= 1200 && seen.insert(from) {
            buffer.truncate(length);
            packets.push(buffer);
        }
    }
    dialling.iter().for_each(tokio::task::JoinHandle::abort);
    packets
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_a_quarter_clients_show_where_they_are_and_beyond_all_they_wait() {
    let server = server(Limits::new().with_max_handshakes(8, 8));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for packet in first_packets(20).await {
        socket.send_to(&packet, server.local_addr()).unwrap();
    }
    eventually("all are judged", || async {
        let metrics = server.metrics();
        metrics.retried_handshakes + metrics.dropped_handshakes == 18
    })
    .await;
    // Two went on unasked, and six more could have come back.
    assert_eq!(server.metrics().retried_handshakes, 6);
    // An honest client gets through by a Retry, as soon as the addresses that were given out are too old.
    let client = client(&server).await;
    assert!(server.metrics().retried_handshakes > 6);
    drop(client);
}
