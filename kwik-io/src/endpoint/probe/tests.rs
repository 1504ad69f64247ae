#![allow(clippy::unwrap_used)]

use std::net::UdpSocket as Socket;

use super::*;

fn loopbacks() -> impl Iterator<Item = Socket> {
    // A machine may have no IPv6.
    ["127.0.0.1:0", "[::1]:0"].into_iter().filter_map(|address| Socket::bind(address).ok())
}

#[tokio::test]
async fn a_port_that_nobody_has_is_refused() {
    for socket in loopbacks() {
        let target = socket.local_addr().unwrap();
        drop(socket);
        let error = refused(None, target, || false).await;
        assert!(matches!(error, DialError::Refused { target: named, .. } if named == target));
    }
}

#[tokio::test]
async fn the_question_goes_out_from_the_local_address() {
    let server = Socket::bind("127.0.0.1:0").unwrap();
    let target = server.local_addr().unwrap();
    let local = IpAddr::from([127, 0, 0, 2]);
    let asking = tokio::spawn(refused(Some(local), target, || false));
    let asked = tokio::task::spawn_blocking(move || server.recv_from(&mut [0; 8]).unwrap());
    let (length, from) = asked.await.unwrap();
    assert_eq!((length, from.ip()), (PROBE.len(), local));
    asking.abort();
}

#[tokio::test(start_paused = true)]
async fn a_port_that_swallows_gets_three_datagrams_and_no_verdict() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap();
    let asking = tokio::time::timeout(Duration::from_secs(3600), refused(None, target, || false));
    assert!(asking.await.is_err());
    let mut datagrams = 0;
    while server.try_recv(&mut [0; 8]).is_ok() {
        datagrams += 1;
    }
    assert_eq!(datagrams, SCHEDULE.len());
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_was_answered_is_not_refused() {
    let target = Socket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let asking = tokio::time::timeout(Duration::from_secs(3600), refused(None, target, || true));
    assert!(asking.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_no_refusal() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap();
    let echo = async {
        let (_, from) = server.recv_from(&mut [0; 8]).await.unwrap();
        server.send_to(&[0], from).await.unwrap();
        pending::<()>().await;
    };
    let asking = tokio::time::timeout(Duration::from_secs(3600), refused(None, target, || false));
    tokio::select! {
        asked = asking => assert!(asked.is_err()),
        () = echo => {}
    }
}
