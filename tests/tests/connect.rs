//! Which of several servers a client ends up at, and what it leaves behind at the others.
#![allow(clippy::unwrap_used)]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use kwik_client::{Client, ConnectError, DialError, ErrorCode, Limits};
use kwik_io::tls::ServerCertificate;
use kwik_server::{Event, Server};
use kwik_tests::bare::BareServer;
use kwik_tests::{Rig, SecondaryServer, certificate, stays_pending};

/// No test waits for it.
const HOUR: Duration = Duration::from_secs(3600);

fn server(certificate: &ServerCertificate) -> Server {
    let builder = Server::builder().with_tls(certificate.clone()).unwrap();
    builder.with_io("127.0.0.1:0").unwrap().start().unwrap()
}

fn client(certificate: &ServerCertificate) -> Client {
    let limits = Limits::new().with_dial_timeout(HOUR).with_idle_timeout(HOUR);
    let builder = Client::builder().with_tls(certificate.pin()).unwrap();
    builder.with_limits(limits).start().unwrap()
}

/// A port that was free a moment ago.
fn closed_port() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_is_refused_at_once() {
    let client = client(&certificate());
    let target = closed_port();
    let error = client.connect(target).await.unwrap_err();
    let refused =
        matches!(error, ConnectError::Dial(DialError::Refused { target: at, .. }) if at == target);
    assert!(refused, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_addresses_do_not_keep_the_client_from_the_one_that_lives() {
    let certificate = certificate();
    let (mut live, client) = (server(&certificate), client(&certificate));
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let targets = [closed_port(), silent.local_addr().unwrap(), live.local_addr()];
    let session = client.connect_any(targets).await.unwrap();
    assert_eq!(session.remote_addr().unwrap(), live.local_addr());
    live.accept().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_sessions_is_passed_over() {
    let certificate = certificate();
    let (leaving, mut live) = (server(&certificate), server(&certificate));
    let (primaries, _secondaries) = leaving.split();
    let address = primaries.local_addr();
    drop(primaries);
    let client = client(&certificate);
    let session = client.connect_any([address, live.local_addr()]).await.unwrap();
    assert_eq!(session.remote_addr().unwrap(), live.local_addr());
    live.accept().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_the_hello_is_passed_over() {
    let certificate = certificate();
    let (mut mute, live) = (BareServer::with(certificate.clone()), server(&certificate));
    let client = client(&certificate);
    let targets = [mute.address(), live.local_addr()];
    let (session, accepted) = tokio::join!(client.connect_any(targets), mute.accept());
    assert_eq!(session.unwrap().remote_addr().unwrap(), live.local_addr());
    // The session that was opened there in vain is closed.
    let mut connection = accepted;
    connection.hello().await;
    assert!(!matches!(connection.acceptor.accept().await, Ok(Some(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_losers_are_not_handed_a_session() {
    let certificate = certificate();
    let (mut first, mut second) = (server(&certificate), server(&certificate));
    let client = client(&certificate);
    let session = client.connect_any([first.local_addr(), second.local_addr()]).await.unwrap();
    let (winner, loser) = match session.remote_addr().unwrap() {
        address if address == first.local_addr() => (&mut first, &mut second),
        _ => (&mut second, &mut first),
    };
    winner.accept().await.unwrap();
    assert_eq!(loser.metrics().primary_sessions, 0);
    stays_pending("a loser has a session", loser.accept()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_fail_the_error_names_each_with_its_cause() {
    let certificate = certificate();
    let (other, client) = (server(&kwik_tests::certificate()), client(&certificate));
    let targets = [closed_port(), other.local_addr(), closed_port()];
    let error = client.connect_any(targets).await.unwrap_err();
    let ConnectError::All(failures) = &error else { panic!("{error}") };
    assert!(failures.iter().map(|(address, _)| address).eq(targets));
    let text = error.to_string();
    assert!(targets.iter().all(|target| text.contains(&target.to_string())), "{text}");
    assert!(
        text.contains("refuses the connection") && text.contains("is not the server"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_is_an_error() {
    let client = client(&certificate());
    let none: [SocketAddr; 0] = [];
    assert!(matches!(client.connect_any(none).await, Err(ConnectError::NoTarget)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_of_a_single_server_is_that_of_connect() {
    let client = client(&certificate());
    let error = client.connect_any([closed_port()]).await.unwrap_err();
    assert!(matches!(error, ConnectError::Dial(DialError::Refused { .. })), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hello_is_to_be_answered_within_the_dial_time() {
    let mut mute = BareServer::start();
    // Long enough for the handshake on a busy machine.
    let limits = Limits::new().with_dial_timeout(Duration::from_secs(3));
    let builder = Client::builder().with_tls(mute.pin()).unwrap().with_limits(limits);
    let client = builder.start().unwrap();
    let (session, _connection) = tokio::join!(client.connect(mute.address()), mute.accept());
    let mut session = session.unwrap();
    let error = session.accept().await.unwrap_err();
    let code = ErrorCode::HandshakeTimeout.quic_code();
    assert_eq!(error.application_error().map(u64::from), Some(code), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_late_can_be_dialled_again() {
    let certificate = certificate();
    let (client, address) = (client(&certificate), closed_port());
    assert!(client.connect(address).await.is_err());
    let builder = Server::builder().with_tls(certificate).unwrap();
    let mut server = builder.with_io(address).unwrap().start().unwrap();
    client.connect(address).await.unwrap();
    server.accept().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_that_is_given_up_leaves_no_session() {
    let certificate = certificate();
    let (mut mute, client) = (BareServer::with(certificate.clone()), client(&certificate));
    let targets = [mute.address(), mute.address()];
    let mut connection = tokio::select! {
        session = client.connect_any(targets) => panic!("nobody answered: {session:?}"),
        connection = mute.accept() => connection,
    };
    assert!(!matches!(connection.acceptor.accept().await, Ok(Some(_))));
    client.wait_idle().await.unwrap();
}

/// A client to which no dial ends by itself, and its primary.
async fn patient_rig() -> Rig {
    let limits = Limits::new().with_dial_timeout(HOUR);
    Rig::with(|client| client.with_limits(limits)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_address_of_a_server_does_not_keep_the_path_from_its_next() {
    let mut rig = patient_rig().await;
    let mut server = SecondaryServer::start(&rig.key);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut spec = server.spec();
    spec.addresses.splice(..0, [silent.local_addr().unwrap(), closed_port()]);
    let path = rig.primary.handle().add_path(spec).await.unwrap();
    let _session = server.acceptor.accept().await.unwrap();
    rig.up(path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_of_a_server_takes_its_path_down_and_is_not_told() {
    let rig = patient_rig().await;
    let mut spec = SecondaryServer::start(&rig.key).spec();
    spec.addresses = vec![closed_port()];
    let path = rig.primary.handle().add_path(spec).await.unwrap();
    match rig.primary.next_event().await.unwrap() {
        Event::PathDown(down, code, detail) => {
            assert_eq!((down, code), (path, Some(ErrorCode::Unreachable)));
            // A primary that hears more could have its clients look which ports are open.
            assert_eq!(detail, "");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn goodbyes_do_not_wait_for_a_server_that_is_being_dialled() {
    let mut rig = patient_rig().await;
    let mut live = rig.attach().await;
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut spec = SecondaryServer::start(&rig.key).spec();
    spec.addresses = vec![silent.local_addr().unwrap()];
    rig.primary.handle().add_path(spec).await.unwrap();
    // It is dialled.
    tokio::task::spawn_blocking(move || silent.recv(&mut [0; 1_500])).await.unwrap().unwrap();
    drop(rig.session);
    rig.client.wait_idle().await.unwrap();
    // Both were told; neither waits for its idle timeout.
    assert!(rig.primary.accept().await.unwrap().is_none());
    assert!(!matches!(live.session.next_delegation().await, Ok(Some(_))));
}
