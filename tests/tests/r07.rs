//! R7: data planes of their own. (R7.5, the cost, is measured by the benchmarks.)
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use kwik_client::ErrorCode;
use kwik_server::{Delegate, LocalSupply};
use kwik_tests::bare::{BareServer, contribution_frame};
use kwik_tests::{
    Content, Rig, SecondaryServer, all_up, contribute, eventually, read_until, read_whole,
    stays_pending,
};

#[tokio::test(flavor = "multi_thread")]
async fn r07_1_what_a_secondary_floods_its_path_with_stays_there() {
    const FLOOD: u64 = 300;
    let mut rig = Rig::new().await;
    let mut bare = BareServer::start();
    let path = rig.primary.handle().add_path(bare.spec(false)).await.unwrap();
    let (mut secondary, _) = bare.accept_as_secondary(&rig.key).await;
    rig.up(path).await;
    let mut stream = rig.primary.handle().open_bidirectional_stream().await.unwrap();
    stream.send(Content(0).bytes(0, 1)).await.unwrap();
    let mut public = rig.session.accept_bidirectional_stream().await.unwrap().unwrap();
    // Bytes that nobody granted, for a stream that is open; and while they come, the stream's own, there and back.
    for turn in 0..FLOOD {
        let frame = contribution_frame(stream.id(), turn, b"from elsewhere");
        secondary.contribute_at_once(stream.id(), frame).await;
        public.send(Content(1).bytes(turn, 1)).await.unwrap();
        stream.send(Content(0).bytes(turn + 1, 1)).await.unwrap();
    }
    read_until(&mut public, Content(0), 0, FLOOD + 1).await;
    read_until(&mut stream, Content(1), 0, FLOOD).await;
    stays_pending("a stream was offered", rig.session.accept()).await;
    eventually("all are refused", || async {
        let metrics = rig.session.metrics().await.unwrap();
        let faults = &metrics.faults;
        faults.len() == 1
            && (faults[0].code, faults[0].count) == (ErrorCode::NotGranted, FLOOD)
            && metrics.paths[1].bytes == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r07_2_what_secondaries_send_never_crosses_the_primarys_connection() {
    const SIZE: u64 = 2 << 20;
    const CONTENT: Content = Content(72);
    let mut rig = Rig::new().await;
    let mut paths = Vec::new();
    for _ in 0..2 {
        let spec = SecondaryServer::start(&rig.key).obey();
        let path = rig.primary.handle().add_path(spec).await.unwrap();
        rig.up(path).await;
        paths.push(path);
    }
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    stream.send(CONTENT.bytes(0, 1000)).await.unwrap();
    let order = Delegate::new(1000..SIZE, CONTENT.resource());
    stream.delegate(order).await.unwrap();
    stream.finish().unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    assert_eq!(read_whole(&mut public, CONTENT).await, SIZE);
    let metrics = rig.session.metrics().await.unwrap();
    let shares: Vec<u64> = metrics.paths.iter().map(|path| path.bytes).collect();
    assert_eq!(shares[0], 1000, "the primary sent what it wrote, and no more: {shares:?}");
    assert_eq!(shares[1] + shares[2], SIZE - 1000);
    assert_eq!(rig.primary.handle().metrics().await.unwrap().supplies, []);
    eventually("the client's report has come", || async {
        let primary = rig.primary.handle().metrics().await.unwrap();
        primary.shares.iter().any(|(path, share)| *path == paths[0] && share.delivered_bytes > 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r07_3_five_hundred_contributions_use_up_no_number_of_the_session() {
    const CONTENT: Content = Content(73);
    let mut rig = Rig::new().await;
    let secondary = rig.attach().await;
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    stream.send(CONTENT.bytes(0, 1)).await.unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    let mut highest = 0;
    for turn in 0..500_u64 {
        let mut contribution = contribute(&secondary.session, stream.id()).await;
        let offset = 1 + turn * 100;
        contribution.write_at(offset, CONTENT.bytes(offset, 100)).await.unwrap();
        read_until(&mut public, CONTENT, if turn == 0 { 0 } else { offset }, offset + 100).await;
        let metrics = rig.session.metrics().await.unwrap();
        let ids = metrics.streams[0].sources.iter().map(|source| source.quic_id);
        highest = ids.max().unwrap_or(0).max(highest);
        contribution.finish().await.unwrap();
    }
    // On the secondary's connection the numbers have run up; the session has used one, and goes on with the next.
    assert_eq!(highest, 3 + 4 * 499);
    let mut next = rig.primary.handle().open_send_stream().await.unwrap();
    next.send(CONTENT.bytes(0, 1)).await.unwrap();
    let accepted = rig.session.accept_receive_stream().await.unwrap().unwrap();
    assert_eq!((stream.id(), next.id(), accepted.id()), (3, 7, 7));
    eventually("no mapping is left", || async {
        rig.session.metrics().await.unwrap().paths[1].contributions == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r07_4_the_same_local_numbers_on_two_servers_are_two_streams() {
    let mut rig = Rig::new().await;
    let mut secondaries = Vec::new();
    for _ in 0..2 {
        let mut bare = BareServer::start();
        let path = rig.primary.handle().add_path(bare.spec(true)).await.unwrap();
        let (secondary, _) = bare.accept_as_secondary(&rig.key).await;
        rig.up(path).await;
        secondaries.push((bare, secondary));
    }
    let mut streams = Vec::new();
    for key in 0..2 {
        let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
        stream.send(Content(key).bytes(0, 1)).await.unwrap();
        streams.push((stream, rig.session.accept_receive_stream().await.unwrap().unwrap()));
    }
    let mut numbers = Vec::new();
    let mut carriers = Vec::new();
    for ((_, secondary), (stream, _)) in secondaries.iter_mut().zip(&streams) {
        secondary.granted(stream.id()).await;
        let carrier = secondary.contribute(stream.id()).await;
        numbers.push(carrier.id());
        carriers.push(carrier);
    }
    assert_eq!(
        numbers,
        [3, 3],
        "QUIC numbers the first one-way stream of a server so, on each connection"
    );
    for turn in 0..50_u64 {
        for ((key, carrier), (stream, _)) in (0..).zip(&mut carriers).zip(&streams) {
            let offset = 1 + turn * 100;
            let data = Content(key).bytes(offset, 100);
            carrier.write(contribution_frame(stream.id(), offset, &data)).await;
        }
    }
    for (key, (_, public)) in (0..).zip(&mut streams) {
        read_until(public, Content(key), 0, 5001).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_clients_with_three_streams_and_two_secondaries_do_not_mix() {
    const SIZE: u64 = 1 << 20;
    let (identity, key) = kwik_tests::identity();
    let server = kwik_server::Server::builder().with_tls(kwik_tests::certificate()).unwrap();
    let server = server.with_io("127.0.0.1:0").unwrap().with_identity(identity).unwrap();
    let mut server = server.start().unwrap();
    let (address, pin) = (server.local_addr(), server.pin());
    let specs = [SecondaryServer::start(&key).obey(), SecondaryServer::start(&key).obey()];
    tokio::spawn(async move {
        while let Some(mut session) = server.accept().await {
            let specs = specs.clone();
            tokio::spawn(async move {
                for spec in specs {
                    session.add_path(spec).await.unwrap();
                }
                all_up(&session.handle(), 2).await;
                // The client asks for a content by its key.
                while let Some(mut stream) = session.accept_bidirectional_stream().await.unwrap() {
                    let asked = stream.receive().await.unwrap().unwrap();
                    let content = Content(u64::from_be_bytes(asked[..].try_into().unwrap()));
                    let (_, mut send) = stream.split();
                    send.send(content.bytes(0, 10)).await.unwrap();
                    let order = Delegate::new(10..SIZE, content.resource());
                    let order = order.with_local(Arc::new(content), LocalSupply::Fallback);
                    send.delegate(order).await.unwrap();
                    send.finish().unwrap();
                }
            });
        }
    });
    let clients: Vec<_> = (0..5_u64)
        .map(|number| {
            tokio::spawn(async move {
                let client = kwik_client::Client::builder().with_tls(pin).unwrap().start().unwrap();
                let mut session = client.connect(address).await.unwrap();
                let mut reading = Vec::new();
                for stream in 0..3 {
                    let content = Content(number * 10 + stream);
                    let mut stream = session.open_bidirectional_stream().await.unwrap();
                    stream.send(content.resource()).await.unwrap();
                    stream.finish().unwrap();
                    reading
                        .push(tokio::spawn(async move { read_whole(&mut stream, content).await }));
                }
                for reading in reading {
                    assert_eq!(reading.await.unwrap(), SIZE);
                }
                let metrics = session.metrics().await.unwrap();
                let shares: Vec<u64> = metrics.paths.iter().map(|path| path.bytes).collect();
                assert_eq!(shares.iter().sum::<u64>(), 3 * SIZE);
                assert_eq!(shares.len(), 3);
                assert!(shares[1..].iter().sum::<u64>() > 0, "{shares:?}");
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}
