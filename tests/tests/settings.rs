//! What of a server changes while it runs, and that no session is dropped for it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use kwik_client::{Client, Connect, ErrorCode, Pin, Session};
use kwik_proto::frame::ControlFrame;
use kwik_server::{Limits, Party, PrimarySession, Refused, Server};
use kwik_tests::bare;
use kwik_tests::{Rig, SecondaryServer, certificate, eventually, identity};

fn server(limits: Limits) -> Server {
    let builder = Server::builder().with_tls(certificate()).unwrap();
    builder.with_io("127.0.0.1:0").unwrap().with_limits(limits).start().unwrap()
}

async fn dial(server: &Server, pin: Pin) -> Result<(Client, Session), kwik_client::ConnectError> {
    let client = Client::builder().with_tls(pin).unwrap().start().unwrap();
    let session = client.connect(Connect::new(server.local_addr())).await?;
    Ok((client, session))
}

/// A stream of the session carries a byte both ways.
async fn works(session: &Session, primary: &mut PrimarySession) {
    let mut stream = session.handle().open_bidirectional_stream().await.unwrap();
    stream.send("x".into()).await.unwrap();
    let mut accepted = primary.accept_bidirectional_stream().await.unwrap().unwrap();
    assert_eq!(accepted.receive().await.unwrap().unwrap(), "x");
    accepted.send("y".into()).await.unwrap();
    assert_eq!(stream.receive().await.unwrap().unwrap(), "y");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_to_new_clients_and_old_sessions_go_on() {
    let mut server = server(Limits::new());
    let old = server.pin();
    let (_client, session) = dial(&server, old).await.unwrap();
    let mut primary = server.accept().await.unwrap();
    let renewed = certificate();
    server.handle().set_certificate(renewed.clone());
    assert_eq!(server.pin(), renewed.pin());
    works(&session, &mut primary).await;
    assert!(dial(&server, old).await.is_err());
    let (_client, session) = dial(&server, renewed.pin()).await.unwrap();
    works(&session, &mut server.accept().await.unwrap()).await;
}

/// One more session, both ends.
async fn session(server: &mut Server) -> ((Client, Session), PrimarySession) {
    let dialled = dial(server, server.pin()).await.unwrap();
    let primary = server.accept().await.unwrap();
    (dialled, primary)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_takes_tokens_of_those_that_it_trusts_now() {
    let mut rig = Rig::new().await;
    let mut before = rig.attach().await;
    let handle = before.server.acceptor.handle();
    handle.set_trusted_primaries([identity().1]);
    // Another client of the same primary is refused there.
    let client = Client::builder().with_tls(rig.server.pin()).unwrap().start().unwrap();
    let _late = client.connect(Connect::new(rig.server.local_addr())).await.unwrap();
    let late = rig.server.accept().await.unwrap();
    late.add_path(before.server.spec()).await.unwrap();
    let refused = |refused: &Refused| {
        let Refused { code, party, reason, .. } = *refused;
        (code, party, reason) == (ErrorCode::TokenInvalid, Party::Primary, "token_invalid")
    };
    eventually("the refusal", || async { handle.metrics().refusals.keys().any(refused) }).await;
    // And the session that was there goes on.
    assert!(rig.primary.send_message(before.path, "still here".into()).await);
    assert_eq!(before.session.receive_message().await.unwrap(), "still here");
    // Trusted again, it is reached again.
    handle.set_trusted_primaries([rig.key.clone()]);
    late.add_path(before.server.spec()).await.unwrap();
    assert!(before.server.acceptor.accept().await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_with_a_new_certificate_takes_tokens_for_the_new_pin() {
    let mut rig = Rig::new().await;
    let server = SecondaryServer::start(&rig.key);
    let handle = server.acceptor.handle();
    handle.set_certificate(certificate());
    let server = SecondaryServer::of(server.acceptor, handle.pin());
    let attached = rig.attach_server(server).await;
    assert!(rig.primary.send_message(attached.path, "x".into()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_sessions_may_be_without_dropping_any() {
    let mut server = server(Limits::new());
    let ((_client, first), mut primary) = session(&mut server).await;
    server.handle().set_limits(Limits::new().with_max_sessions(1, 1));
    let mut late = bare::connect(server.local_addr(), server.pin()).await;
    late.send(ControlFrame::Hello(bare::hello()));
    assert_eq!(late.refusal().await, ErrorCode::Busy);
    works(&first, &mut primary).await;
    server.handle().set_limits(Limits::new().with_reader_patience(Duration::from_secs(1)));
    let ((_client, second), mut primary) = session(&mut server).await;
    works(&second, &mut primary).await;
}
