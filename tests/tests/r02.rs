//! R2: what secondaries open is handled inside.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use bytes::Bytes;
use kwik_client::{Client, Connect, PathRole, Pin};
use kwik_proto::FIRST_RESERVED_CODE;
use kwik_server::{Delegate, LocalSupply, PathSpec, PathState, PublicKey, Server};
use kwik_tests::bare::{BareServer, contribution_frame};
use kwik_tests::{
    Content, Rig, SecondaryServer, all_up, certificate, contribute, eventually, identity,
    read_until, stays_pending, up,
};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn r02_1_a_secondarys_stream_arrives_on_its_own_paths_connection() {
    const CONTENT: Content = Content(21);
    let mut rig = Rig::new().await;
    let (left, right) = (rig.attach().await, rig.attach().await);
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    stream.send(CONTENT.bytes(0, 100)).await.unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    let mut a = contribute(&left.session, stream.id()).await;
    a.write_at(100, CONTENT.bytes(100, 2000)).await.unwrap();
    let mut b = contribute(&right.session, stream.id()).await;
    b.write_at(2100, CONTENT.bytes(2100, 30)).await.unwrap();
    read_until(&mut public, CONTENT, 0, 2130).await;

    let metrics = rig.session.metrics().await.unwrap();
    let seen: Vec<_> = metrics
        .paths
        .iter()
        .map(|path| (path.address, path.role, path.bytes, path.contributions))
        .collect();
    let expected = [
        (rig.server.local_addr(), PathRole::Primary, 100, 0),
        (left.server.acceptor.local_addr(), PathRole::Other, 2000, 1),
        (right.server.acceptor.local_addr(), PathRole::Other, 30, 1),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn r02_2_contributions_are_worked_off_without_the_application() {
    const CONTENT: Content = Content(22);
    let mut rig = Rig::new().await;
    let secondary = rig.attach().await;
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    stream.send(CONTENT.bytes(0, 1)).await.unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    // The application neither reads nor accepts; a hundred contributions come, are taken to the end, and go.
    for turn in 0..100_u64 {
        let mut contribution = contribute(&secondary.session, stream.id()).await;
        let offset = 1 + turn * 500;
        contribution.write_at(offset, CONTENT.bytes(offset, 500)).await.unwrap();
        contribution.finish().await.unwrap();
    }
    eventually("nothing is left of them", || async {
        let metrics = rig.session.metrics().await.unwrap();
        let path = &metrics.paths[1];
        (path.contributions, path.carriers, path.bytes) == (0, 0, 50_000)
    })
    .await;
    stays_pending("a contribution was offered", rig.session.accept()).await;
    read_until(&mut public, CONTENT, 0, 50_001).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r02_3_each_byte_lands_in_the_stream_that_it_is_for() {
    let mut rig = Rig::new().await;
    let secondaries = [rig.attach().await, rig.attach().await];
    let mut streams = Vec::new();
    for key in 0..4_u64 {
        let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
        stream.send(Content(key).bytes(0, 10)).await.unwrap();
        let public = rig.session.accept_receive_stream().await.unwrap().unwrap();
        streams.push((stream, public));
    }
    for piece in 0..20_u64 {
        for (key, (stream, _)) in (0..).zip(&streams) {
            let secondary = &secondaries[usize::from((piece + key) % 2 == 0)];
            let mut contribution = contribute(&secondary.session, stream.id()).await;
            let offset = 10 + piece * 777;
            contribution.write_at(offset, Content(key).bytes(offset, 777)).await.unwrap();
            contribution.finish().await.unwrap();
        }
    }
    for (key, (_, public)) in (0..).zip(&mut streams) {
        read_until(public, Content(key), 0, 10 + 20 * 777).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r02_4_the_end_of_a_contribution_is_not_the_end_of_the_stream() {
    const CONTENT: Content = Content(24);
    let mut rig = Rig::new().await;
    let mut bare = BareServer::start();
    let added = rig.primary.handle().add_path(bare.spec(true)).await.unwrap();
    let (mut secondary, _) = bare.accept_as_secondary(&rig.key).await;
    rig.up(added).await;
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    let id = stream.id();
    stream.send(CONTENT.bytes(0, 100)).await.unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    read_until(&mut public, CONTENT, 0, 100).await;
    secondary.granted(id).await;

    // FIN.
    let mut carrier = secondary.contribute(id).await;
    carrier.write(contribution_frame(id, 100, &CONTENT.bytes(100, 100))).await;
    carrier.finish().await;
    read_until(&mut public, CONTENT, 100, 200).await;
    // A reset, by codes of the application's and of KWIK's range.
    for code in [0, 7, FIRST_RESERVED_CODE + 12] {
        let mut carrier = secondary.contribute(id).await;
        carrier.write(contribution_frame(id, 200, &CONTENT.bytes(200, 100))).await;
        carrier.0.flush().await.unwrap();
        carrier.0.reset(s2n_quic::application::Error::new(code).unwrap()).unwrap();
    }
    read_until(&mut public, CONTENT, 200, 300).await;
    // A stop: the client wants no more of a carrier that lies about its stream.
    let mut carrier = secondary.contribute(id).await;
    carrier.write(contribution_frame(id + 4, 300, b"not its stream")).await;
    carrier.refusal().await;
    // Another contribution, and the primary itself, go on.
    let mut carrier = secondary.contribute(id).await;
    carrier.write(contribution_frame(id, 300, &CONTENT.bytes(300, 100))).await;
    read_until(&mut public, CONTENT, 300, 400).await;
    stream.write_at(400, CONTENT.bytes(400, 100)).await.unwrap();
    read_until(&mut public, CONTENT, 400, 500).await;
    eventually("none is left", || async {
        rig.session.metrics().await.unwrap().paths[1].contributions <= 1
    })
    .await;
}

/// The application: it asks, reads to the end, and knows nothing of secondaries.
async fn client_program(server: SocketAddr, pin: Pin) -> (u64, String) {
    let client = Client::builder().with_tls(pin).unwrap().start().unwrap();
    let mut session = client.connect(Connect::new(server)).await.unwrap();
    let mut stream = session.open_bidirectional_stream().await.unwrap();
    stream.send("the file, please".into()).await.unwrap();
    stream.finish().unwrap();
    let (mut length, mut hash) = (0, blake3::Hasher::new());
    while let Some(chunk) = stream.receive().await.unwrap() {
        length += chunk.len() as u64;
        hash.update(&chunk);
    }
    (length, hash.finalize().to_hex().to_string())
}

const FILE: Content = Content(25);
const FILE_SIZE: u64 = 12 << 20;

/// How often a secondary comes and goes while the file is under way.
const CHANGES: u64 = 6;

/// Runs the program against a primary that has so many secondaries from the start, and that changes them all the time
/// if `churn`. Returns what the program saw, and how many paths were up at the end and were removed.
async fn run(secondaries: usize, churn: bool) -> ((u64, String), usize, usize) {
    let (key, public) = identity();
    let server = Server::builder().with_tls(certificate()).unwrap();
    let server = server.with_io("127.0.0.1:0").unwrap().with_identity(key).unwrap();
    let mut server = server.start().unwrap();
    let (address, pin) = (server.local_addr(), server.pin());
    let specs: Vec<PathSpec> =
        (0..secondaries).map(|_| SecondaryServer::start(&public).obey()).collect();
    let serving = tokio::spawn(async move {
        let mut session = server.accept().await.unwrap();
        let stream = session.accept_bidirectional_stream().await.unwrap().unwrap();
        for spec in specs {
            session.add_path(spec).await.unwrap();
        }
        all_up(&session.handle(), secondaries).await;
        let (_, mut send) = stream.split();
        // Piece by piece, so that the file is not over before everybody has come and gone.
        let pieces = if churn { CHANGES } else { 1 };
        let mut removed = 0;
        for piece in 0..pieces {
            let range = piece * FILE_SIZE / pieces..(piece + 1) * FILE_SIZE / pieces;
            let order = Delegate::new(range, FILE.resource());
            send.delegate(order.with_local(Arc::new(FILE), LocalSupply::Share)).await.unwrap();
            if churn {
                removed += change(&session, &public).await;
            }
        }
        // Under this load one may be suspect for a moment.
        let paths = session.paths().await;
        let is_up = |state| matches!(state, PathState::Live | PathState::Suspect);
        let up = paths.iter().filter(|path| is_up(path.state)).count();
        send.close().await.unwrap();
        (up, removed)
    });
    let seen = client_program(address, pin).await;
    let (up, removed) = serving.await.unwrap();
    (seen, up, removed)
}

/// One secondary comes, contributes, and goes.
async fn change(session: &kwik_server::PrimarySession, public: &PublicKey) -> usize {
    let spec = SecondaryServer::start(public).obey();
    let path = session.add_path(spec).await.unwrap();
    up(session, path).await;
    let received = || async {
        let paths = session.paths().await;
        paths.iter().any(|report| report.path == path && report.received_bytes > 0)
    };
    // Removed while it sends, if there is still something to send.
    let _ = tokio::time::timeout(std::time::Duration::from_millis(50), async {
        while !received().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    usize::from(session.remove_path(path).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn r02_5_one_program_reads_the_same_from_one_server_and_from_nine() {
    let reference = blake3::hash(&FILE.bytes(0, FILE_SIZE as usize)).to_hex().to_string();
    for (secondaries, churn) in [(0, false), (1, false), (8, false), (2, true)] {
        let (seen, up, removed) = run(secondaries, churn).await;
        assert_eq!(seen, (FILE_SIZE, reference.clone()), "{secondaries} secondaries");
        let changes = if churn { CHANGES as usize } else { 0 };
        assert_eq!((up, removed), (secondaries, changes));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_full_of_zero_bytes_arrive_as_they_are() {
    let mut rig = Rig::new().await;
    let secondary = rig.attach().await;
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    stream.send(Bytes::from(vec![0; 1000])).await.unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    let mut contribution = contribute(&secondary.session, stream.id()).await;
    contribution.write_at(1000, Bytes::from(vec![0; 300_000])).await.unwrap();
    let mut length = 0;
    while length < 301_000 {
        let chunk = public.receive().await.unwrap().unwrap();
        assert!(chunk.iter().all(|byte| *byte == 0));
        length += chunk.len();
    }
    assert_eq!(length, 301_000);
}
