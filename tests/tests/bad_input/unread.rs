//! What is left unread holds back nothing else.

use super::*;

/// Bytes of a large answer: 64 MiB, or as many MiB as `KWIK_ANSWER_MIB` says.
fn answer() -> u64 {
    let mib = std::env::var("KWIK_ANSWER_MIB").ok().and_then(|text| text.parse().ok());
    mib.unwrap_or(64) << 20
}

/// The primary never reads a hundred uploads of this client, whose windows are full; the answer that it asks for comes
/// all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_unread_uploads_hold_back_no_answer() {
    let answer = answer();
    let (chunk, mut at) = (bytes::Bytes::from(vec![7; 1 << 20]), 0);
    let mut rig = Rig::new().await;
    let mut handle = rig.session.handle();
    let mut uploads = Vec::new();
    for _ in 0..100 {
        let mut upload = handle.open_send_stream().await.unwrap();
        uploads.push(tokio::spawn(async move {
            loop {
                upload.send(bytes::Bytes::from(vec![1; 64 * 1024])).await.unwrap();
            }
        }));
    }
    let mut stream = rig.session.open_bidirectional_stream().await.unwrap();
    stream.send("much, please".into()).await.unwrap();
    stream.finish().unwrap();
    let mut unread = Vec::new();
    for _ in 0..100 {
        unread.push(rig.primary.accept_receive_stream().await.unwrap().unwrap());
    }
    let mut theirs = rig.primary.accept_bidirectional_stream().await.unwrap().unwrap();
    let answering = tokio::spawn(async move {
        for _ in 0..answer >> 20 {
            theirs.send(chunk.clone()).await.unwrap();
        }
        theirs.close().await.unwrap();
    });
    while let Some(chunk) = stream.receive().await.unwrap() {
        at += chunk.len() as u64;
    }
    assert_eq!(at, answer);
    answering.await.unwrap();
    rig.session.handle().ping().unwrap();
    assert_eq!(rig.session.metrics().await.unwrap().paths[0].state, "live");
    assert!(uploads.iter().all(|upload| !upload.is_finished()), "an upload has failed");

    drop((unread, uploads));
}

/// The same over one connection that is written frame by frame: a Pong for every MiB of the answer.
#[tokio::test(flavor = "multi_thread")]
async fn pong_flows_beside_unread_uploads_and_an_answer() {
    let answer = answer();
    let mut rig = Rig::new().await;
    let mut client = bare::connect(rig.server.local_addr(), rig.server.pin()).await;
    client.send(ControlFrame::Hello(bare::hello()));
    assert!(matches!(client.next().await, ControlFrame::Welcome(_)));
    let mut session = rig.server.accept().await.unwrap();
    let mut uploads = Vec::new();
    for turn in 0..100 {
        let (id, full) = (2 + 4 * turn, vec![1; 60_000]);
        let mut upload = client.open().await;
        upload.write(public_header(id)).await;
        upload.write(public_frame(id, 0, &full, false)).await;
        uploads.push(upload);
    }
    let request = client.handle.open_bidirectional_stream().await.unwrap();
    let (mut reply, request) = request.split();
    let mut request = Carrier(request);
    request.write(public_header(0)).await;
    request.write(public_frame(0, 0, b"much, please", true)).await;
    let (stream, max_offset) = (StreamId::from_wire(0).unwrap(), Offset::new(1 << 40).unwrap());
    client.send(ControlFrame::StreamWindow(StreamWindow { stream, max_offset }));
    let mut theirs = session.accept_bidirectional_stream().await.unwrap().unwrap();
    let answering = tokio::spawn(async move {
        let chunk = bytes::Bytes::from(vec![7; 1 << 20]);
        for _ in 0..answer >> 20 {
            theirs.send(chunk.clone()).await.unwrap();
        }
        theirs.close().await.unwrap();
    });
    // Drained all the time, as every end must: otherwise QUIC's window, which Pong needs too, would be full.
    let (each_mib, mut mibs) = tokio::sync::mpsc::unbounded_channel();
    let reading = tokio::spawn(async move {
        let (mut read, mut told) = (0, 0);
        while let Some(chunk) = reply.receive().await.unwrap() {
            read += chunk.len() as u64;
            while told < read >> 20 {
                told += 1;
                each_mib.send(told).unwrap();
            }
        }
        read
    });
    let mut pongs = 0;
    while let Some(nonce) = mibs.recv().await {
        client.send(ControlFrame::Ping(Ping { nonce }));
        while client.next().await != ControlFrame::Pong(Pong { nonce }) {}
        pongs += 1;
    }
    // What came is the answer and its framing.
    let read = reading.await.unwrap();
    assert!(read > answer && pongs >= answer >> 20, "{read} bytes, {pongs} pongs");
    answering.await.unwrap();
    drop((session, uploads, request));
}

/// The same the other way round: a client whose application leaves a hundred streams of the primary unread.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_unread_streams_of_the_primary_hold_back_no_answer() {
    let answer = answer();
    let mut rig = Rig::new().await;
    let mut pushing = Vec::new();
    for _ in 0..100 {
        let mut stream = rig.primary.open_send_stream().await.unwrap();
        pushing.push(tokio::spawn(async move {
            loop {
                stream.send(bytes::Bytes::from(vec![1; 64 * 1024])).await.unwrap();
            }
        }));
    }
    let mut unread = Vec::new();
    for _ in 0..100 {
        unread.push(rig.session.accept_receive_stream().await.unwrap().unwrap());
    }
    let mut stream = rig.session.open_bidirectional_stream().await.unwrap();
    stream.send("much, please".into()).await.unwrap();
    stream.finish().unwrap();
    let mut theirs = rig.primary.accept_bidirectional_stream().await.unwrap().unwrap();
    let answering = tokio::spawn(async move {
        for turn in 0..answer >> 20 {
            theirs.send(CONTENT.bytes(turn << 20, 1 << 20)).await.unwrap();
        }
        theirs.close().await.unwrap();
    });
    assert_eq!(read_whole(&mut stream, CONTENT).await, answer);
    answering.await.unwrap();
    let metrics = rig.session.metrics().await.unwrap();
    assert_eq!(metrics.paths[0].state, "live");
    assert!(metrics.promised_bytes <= 128 << 20, "{metrics:?}");
    assert!(pushing.iter().all(|pushing| !pushing.is_finished()), "a stream has failed");
}
