//! The main job: one ordered stream, bytes from a primary and two secondaries, over real QUIC.
#![allow(clippy::unwrap_used)]

use kwik_client::{Client, Connect};
use kwik_server::{Delegate, LocalSupply, Server};
use kwik_tests::{Pattern, all_up, certificate, identity, local, secondary};

const SIZE: u64 = 8 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_from_three_servers_arrives_whole_and_in_order() {
    let (key, public) = identity();
    let secondaries = [secondary(&public), secondary(&public)];
    let mut server = Server::builder()
        .with_tls(certificate())
        .unwrap()
        .with_io("127.0.0.1:0")
        .unwrap()
        .with_identity(key)
        .unwrap()
        .start()
        .unwrap();
    let (address, pin) = (server.local_addr(), server.pin());
    let paths: Vec<_> = secondaries.iter().map(|secondary| secondary.path()).collect();
    let serving = tokio::spawn(async move {
        let mut session = server.accept().await.unwrap();
        let mut stream = session.accept_bidirectional_stream().await.unwrap().unwrap();
        assert_eq!(stream.receive().await.unwrap().unwrap(), "go");
        for path in paths {
            session.add_path(path).await.unwrap();
        }
        all_up(&session.handle(), 2).await;
        let (_, mut send) = stream.split();
        send.send(Pattern::bytes(0, 64 * 1024)).await.unwrap();
        let order = Delegate::new(64 * 1024..SIZE, "pattern".into());
        let order = order.with_local(local(), LocalSupply::Share);
        send.delegate(order).await.unwrap();
        send.close().await.unwrap();
        session
    });

    let client = Client::builder().with_tls(pin).unwrap().start().unwrap();
    let mut session = client.connect(Connect::new(address)).await.unwrap();
    let mut stream = session.open_bidirectional_stream().await.unwrap();
    stream.send("go".into()).await.unwrap();
    stream.finish().unwrap();
    let mut at = 0;
    while let Some(chunk) = stream.receive().await.unwrap() {
        assert!(Pattern::matches(at, &chunk), "wrong bytes at {at}");
        at += chunk.len() as u64;
    }
    assert_eq!(at, SIZE);
    let metrics = session.metrics().await.unwrap();
    assert_eq!(metrics.paths.len(), 3);
    assert_eq!(metrics.paths.iter().map(|path| path.bytes).sum::<u64>(), SIZE);
    assert!(metrics.paths.iter().all(|path| path.bytes > 0), "{metrics:?}");
    drop(serving.await.unwrap());
}
