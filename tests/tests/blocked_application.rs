//! An application that blocks its own runtime stops nothing but itself.
#![allow(clippy::unwrap_used)]

use std::sync::mpsc;
use std::time::{Duration, Instant};

use kwik_client::{Client, Connect};
use kwik_proto::frame::{ControlFrame, Ping};
use kwik_server::{Event, PathState, Server};
use kwik_tests::bare::{BareServer, contribution_frame};
use kwik_tests::{Content, certificate, identity};

const CONTENT: Content = Content(8);
/// As long as a silent path needs to be given up.
const BLOCKED: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn pong_and_secondaries_go_on_while_the_application_blocks() {
    let (key, public) = identity();
    let server = Server::builder().with_tls(certificate()).unwrap();
    let server = server.with_io("127.0.0.1:0").unwrap().with_identity(key).unwrap();
    let mut server = server.start().unwrap();
    let (address, pin) = (server.local_addr(), server.pin());
    let (tell, told) = mpsc::channel();
    let (blocks, blocking) = mpsc::channel();
    let (done, until_done) = tokio::sync::oneshot::channel();
    // The application: one thread with all of its runtime, which sleeps.
    let application = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let client = Client::builder().with_tls(pin).unwrap().start().unwrap();
            let mut session = client.connect(Connect::new(address)).await.unwrap();
            let mut stream = session.accept_receive_stream().await.unwrap().unwrap();
            kwik_tests::read_until(&mut stream, CONTENT, 0, 100).await;
            blocks.send(()).unwrap();
            // Blocks the thread, not the task: until everything else has happened, and for three seconds at least.
            let since = Instant::now();
            told.recv().unwrap();
            std::thread::sleep(BLOCKED.saturating_sub(since.elapsed()));
            kwik_tests::read_until(&mut stream, CONTENT, 100, 50_100).await;
            let metrics = session.metrics().await.unwrap();
            done.send((metrics, since.elapsed())).unwrap();
        });
    });
    let primary = server.accept().await.unwrap();
    let mut bare = BareServer::start();
    let path = primary.handle().add_path(bare.spec(true)).await.unwrap();
    let (mut secondary, _) = bare.accept_as_secondary(&public).await;
    while primary.next_event().await.unwrap() != Event::PathUp(path) {}
    let mut stream = primary.handle().open_send_stream().await.unwrap();
    stream.send(CONTENT.bytes(0, 100)).await.unwrap();
    secondary.granted(stream.id()).await;
    tokio::task::spawn_blocking(move || blocking.recv().unwrap()).await.unwrap();

    // While it blocks: the secondary's bytes are taken, its pings answered, for as long as a dead path would take.
    let mut carrier = secondary.contribute(stream.id()).await;
    let (mut offset, mut nonce) = (100, 0);
    while offset < 50_100 {
        carrier.write(contribution_frame(stream.id(), offset, &CONTENT.bytes(offset, 500))).await;
        // Acknowledged, so the client's QUIC is alive; and answered, so its session is.
        carrier.0.flush().await.unwrap();
        nonce += 1;
        secondary.send(ControlFrame::Ping(Ping { nonce }));
        loop {
            if let ControlFrame::Pong(pong) = secondary.next().await {
                assert_eq!(pong.nonce, nonce);
                break;
            }
        }
        offset += 500;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let paths = primary.handle().paths().await;
    assert_eq!(paths[0].state, PathState::Live);
    assert!(paths[0].received_bytes > 0, "the client has told what arrived: {paths:?}");
    tell.send(()).unwrap();
    let (metrics, blocked) = until_done.await.unwrap();
    assert!(blocked >= BLOCKED);
    assert_eq!(metrics.paths[1].state, "live");
    assert_eq!(metrics.paths[1].bytes, 50_000);
    application.join().unwrap();
}
