//! What a server keeps for clients that do not read, or that send what nobody takes.

use std::time::Duration;

use bytes::Bytes;
use kwik_proto::frame::{AddPathResult, Hello, PathState, PathStatus, Ping, Pong, StreamWindow};
use kwik_proto::{Epoch, Offset, StreamId};
use kwik_server::application;
use kwik_server::{PathSpec, PrimarySession, ServerIdentity};
use kwik_tests::bare::{RawPeer, Verdict};

use super::*;

const MIB: u64 = 1 << 20;

/// Asks on a stream of its own, with a window for the answer, which is never read.
async fn ask(client: &mut BareConnection, id: u64, window: u64) -> impl Sized + use<> {
    let request = client.handle.open_bidirectional_stream().await.unwrap();
    let (reply, request) = request.split();
    let mut request = bare::Carrier(request);
    let asked = [bare::public_header(id), bare::public_frame(id, 0, b"much", true)].concat();
    request.write(asked.into()).await;
    if window > 0 {
        let (stream, max_offset) = (StreamId::from_wire(id).unwrap(), Offset::new(window).unwrap());
        client.send(ControlFrame::StreamWindow(StreamWindow { stream, max_offset }));
    }
    (reply, request)
}

/// Answers everything without an end; the error that each answer ends with.
fn answer(mut session: PrimarySession) -> tokio::sync::mpsc::UnboundedReceiver<application::Error> {
    let (ends, ended) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(Some(mut stream)) = session.accept_bidirectional_stream().await {
            let ends = ends.clone();
            tokio::spawn(async move {
                let chunk = Bytes::from(vec![7; 64 << 10]);
                loop {
                    if let Err(error) = stream.send(chunk.clone()).await {
                        if let kwik_server::stream::Error::StreamReset { error, .. } = error {
                            let _ = ends.send(error);
                        }
                        return;
                    }
                }
            });
        }
    });
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_for_a_hundred_answers_and_reads_none_holds_its_share_and_no_more() {
    let mut server = server(Limits::new().with_send_memory(256 * MIB, 16 * MIB));
    let mut client = bare::connect_to_primary(server.local_addr(), server.pin()).await;
    client.send(ControlFrame::Hello(bare::hello()));
    let _answering = answer(server.accept().await.unwrap());
    let mut asked = Vec::new();
    for turn in 0..100 {
        asked.push(ask(&mut client, 4 * turn, (1 << 62) - 1).await);
    }
    eventually("what is held stands still", || async {
        server.metrics().send_memory_bytes >= 12 * MIB
    })
    .await;
    // Another client is served all the while, more than it could hold.
    let other = kwik_client::Client::builder().with_tls(server.pin()).unwrap().start().unwrap();
    let other = other.connect(kwik_client::Connect::new(server.local_addr())).await.unwrap();
    let _serving = answer(server.accept().await.unwrap());
    let mut stream = other.handle().open_bidirectional_stream().await.unwrap();
    stream.send("much".into()).await.unwrap();
    let mut read = 0;
    while read < 64 * MIB {
        read += stream.receive().await.unwrap().unwrap().len() as u64;
        // One chunk of each stream may be taken beyond its part.
        let held = server.metrics().send_memory_bytes;
        assert!(held <= 2 * 16 * MIB + 101 * (64 << 10), "{held} bytes are held");
    }
    client.handle.close(0u8.into());
    drop((stream, other));
    eventually("it is given back", || async { server.metrics().send_memory_bytes == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_ends_and_the_session_goes_on() {
    let limits = Limits::new().with_reader_patience(Duration::from_secs(1));
    let mut server = server(limits);
    // One is held up by KWIK's window, the other by QUIC's, as no client of KWIK's lets itself be.
    for window in [0, (1 << 62) - 1] {
        let mut client = bare::connect_to_primary(server.local_addr(), server.pin()).await;
        client.send(ControlFrame::Hello(bare::hello()));
        let mut ended = answer(server.accept().await.unwrap());
        let _asked = ask(&mut client, 0, window).await;
        let code = ended.recv().await.unwrap();
        assert_eq!(u64::from(code), ErrorCode::PathTimeout.quic_code());
        eventually("nothing is held", || async { server.metrics().send_memory_bytes == 0 }).await;
        if window == 0 {
            client.send(ControlFrame::Ping(Ping { nonce: 9 }));
            while client.next().await != ControlFrame::Pong(Pong { nonce: 9 }) {}
        }
    }
    assert_eq!(server.metrics().unread_streams, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_not_accepted_keeps_its_first_window() {
    let mut server = server(Limits::new());
    let mut client = client(&server).await;
    let mut session = server.accept().await.unwrap();
    let mut uploads = Vec::new();
    for id in (2..42).step_by(4) {
        let mut upload = client.open().await;
        upload.write(bare::public_header(id)).await;
        upload.write(bare::public_frame(id, 0, &[7; 60_000], false)).await;
        uploads.push(upload);
    }
    // Frames of the control stream keep their order, and each Ping is answered behind what was to be said before.
    for nonce in 0..20 {
        client.send(ControlFrame::Ping(Ping { nonce }));
        match client.next().await {
            ControlFrame::Pong(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            other => panic!("a window for a stream that nobody took: {other:?}"),
        }
    }
    let _accepted = session.accept_receive_stream().await.unwrap().unwrap();
    match client.next().await {
        ControlFrame::StreamWindow(window) => {
            assert_eq!(window.stream, StreamId::from_wire(2).unwrap());
            assert!(window.max_offset > Offset::new(64 << 10).unwrap());
        }
        other => panic!("expected a window, not {other:?}"),
    }
}

/// A client with a stream on which it sends for ever, and the server's end of that stream.
async fn upload(
    server: &mut Server,
) -> (impl Sized + use<>, kwik_server::stream::BidirectionalStream) {
    let client = kwik_client::Client::builder().with_tls(server.pin()).unwrap().start().unwrap();
    let session = client.connect(kwik_client::Connect::new(server.local_addr())).await.unwrap();
    let mut stream = session.handle().open_bidirectional_stream().await.unwrap();
    stream.send("first".into()).await.unwrap();
    let mut accepted = server.accept().await.unwrap();
    let received = accepted.accept_bidirectional_stream().await.unwrap().unwrap();
    let sending =
        tokio::spawn(async move { while stream.send(vec![7; 64 << 10].into()).await.is_ok() {} });
    ((client, session, accepted, sending), received)
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_nobody_reads_share_a_memory_and_leave_the_next_one_its_floor() {
    const FLOOR: u64 = 96 << 10;
    let mut server = server(Limits::new().with_receive_memory(2 * MIB));
    let mut unread = Vec::new();
    for number in 1..=12 {
        unread.push(upload(&mut server).await);
        let promised = server.metrics().receive_memory_bytes;
        assert!(promised <= 2 * MIB + number * FLOOR, "{promised} bytes for {number} uploads");
    }
    let (late, mut received) = upload(&mut server).await;
    let mut read = 0;
    while read < 4 * MIB {
        read += received.receive().await.unwrap().unwrap().len() as u64;
        let promised = server.metrics().receive_memory_bytes;
        assert!(promised <= 2 * MIB + 13 * FLOOR, "{promised} bytes");
    }
    drop((unread, late, received));
    eventually("it is given back", || async { server.metrics().receive_memory_bytes == 0 }).await;
}

/// What a client takes of its application for a server that reads nothing, over twenty streams.
async fn taken(limits: kwik_client::Limits) -> u64 {
    const CHUNK: usize = 64 << 10;
    let mut server = BareServer::start();
    let client = kwik_client::Client::builder().with_tls(server.pin()).unwrap();
    let client = client.with_limits(limits).start().unwrap();
    let connecting = client.connect(kwik_client::Connect::new(server.address()));
    let (session, (_held, _)) = tokio::join!(connecting, server.accept_as_primary());
    let session = session.unwrap();
    let (mut streams, mut taken) = (Vec::new(), 0);
    for _ in 0..20 {
        let mut stream = session.handle().open_send_stream().await.unwrap();
        while stream.send_data(vec![7; CHUNK].into()).is_ok() {
            taken += CHUNK as u64;
        }
        streams.push(stream);
    }
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_holds_for_a_server_is_bounded() {
    // Beside its share each stream has its floor, a window that the server has taken, and a chunk that crosses the line.
    let beside = 20 * (3 * (64 << 10));
    let limits = kwik_client::Limits::new().with_send_memory(256 * MIB, MIB);
    let held = taken(limits).await;
    assert!((MIB..=MIB + beside).contains(&held), "{held} bytes");
    let limits = kwik_client::Limits::new().with_send_memory(8 * MIB, 256 * MIB);
    let held = taken(limits).await;
    assert!(
        (MIB..=MIB + beside).contains(&held),
        "{held} bytes, where an eighth of all is to be had"
    );
    let usual = taken(kwik_client::Limits::new()).await;
    assert!(usual > 16 * MIB, "{usual} bytes");
}

/// A client that says of a secondary that it is there, and silent, and there: the application that never asks finds as many
/// events as are kept.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_no_application_asks_for_are_kept_up_to_a_bound() {
    let mut server = builder().with_identity(kwik_tests::identity().0).unwrap().start().unwrap();
    let (address, pin) = (server.local_addr(), server.pin());
    let hello = Hello { confirmation_key: Some([1; 32]), ..bare::hello() };
    let connecting = RawPeer::client_with(address, pin, hello);
    let (mut peer, session) = tokio::join!(connecting, server.accept());
    let session = session.unwrap();
    let (addresses, identity) = (vec![([127, 0, 0, 1], 9).into()], ServerIdentity::Pin([1; 32]));
    let spec = PathSpec { addresses, identity, grant_all: false };
    let path = session.add_path(spec).await.unwrap();
    peer.next(|frame| matches!(frame, ControlFrame::AddPath(_)).then_some(())).await;
    let (code, detail) = (ErrorCode::None, String::new());
    let result = AddPathResult { path, epoch: Epoch::FIRST, code, detail };
    peer.send(ControlFrame::AddPathResult(result)).await;
    let states = [PathState::Live, PathState::Suspect];
    let status = |number: u64| PathStatus {
        path,
        epoch: Epoch::FIRST,
        state: states[number as usize % 2],
        reason: None,
        smoothed_rtt_us: 1_000,
        rtt_variation_us: 100,
        received_bytes: 0,
        busy_us: 0,
    };
    peer.flood(5_000, |number| ControlFrame::PathStatus(status(number))).await;
    assert_eq!(peer.verdict().await, Verdict::Alive);
    peer.handle.close(0u8.into());
    let mut events = 0;
    while session.next_event().await.is_some() {
        events += 1;
    }
    assert_eq!(events, 1024);
}
