//! What can become of a try to connect, other than a wrong identity.

use std::net::UdpSocket;

use kwik_io::endpoint::{ClientEndpoints, DialError, EndpointLimits, Role, ServerEndpoint};
use kwik_io::env::Env;
use kwik_io::tls::{ServerCertificate, Trust};
use s2n_quic::client::Connect;
use s2n_quic::{Client, Server};

use crate::support::{HOUR, LONG, Lab, SHORT};

/// Dials that give up by themselves after an hour only.
fn patient(role: Role) -> ClientEndpoints {
    let limits = EndpointLimits { handshake: HOUR, idle: HOUR, ..EndpointLimits::default() };
    ClientEndpoints::new(Env::system(), role, limits)
}

#[tokio::test]
async fn a_port_that_nobody_has_is_refused_at_once() {
    let lab = Lab::new();
    for role in [Role::Primary, Role::Secondary] {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A machine may have no IPv6.
            let Ok(socket) = UdpSocket::bind(address) else { continue };
            let nobody = socket.local_addr().unwrap();
            drop(socket);
            let endpoints = patient(role);
            let error = endpoints.connect(&lab.worker, nobody, &lab.pin(), None, HOUR).await;
            match error {
                Err(DialError::Refused { target, .. }) => assert_eq!(target, nobody),
                other => panic!("{other:?}"),
            }
            // Nothing of the handshake is left.
            endpoints.closed().await;
        }
    }
}

#[tokio::test]
async fn a_refused_port_can_be_dialled_again_when_its_server_is_there() {
    let lab = Lab::new();
    let target = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoints = patient(Role::Primary);
    let error = endpoints.connect(&lab.worker, target, &lab.pin(), None, HOUR).await;
    assert!(matches!(error, Err(DialError::Refused { .. })), "{error:?}");
    let limits = EndpointLimits::default();
    let server =
        ServerEndpoint::bind(&Env::system(), &lab.worker, target, &lab.certificate, limits);
    let mut server = server.unwrap();
    let trust = lab.pin();
    let dial = endpoints.connect(&lab.worker, target, &trust, None, HOUR);
    let (dialled, _accepted) = tokio::join!(dial, server.accept());
    dialled.unwrap();
    assert_eq!(server.rejected(), 0);
}

#[tokio::test]
async fn a_dial_that_nobody_waits_for_ends() {
    let lab = Lab::new();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = silent.local_addr().unwrap();
    let (endpoints, trust) = (patient(Role::Primary), lab.pin());
    let dial = endpoints.connect(&lab.worker, target, &trust, None, HOUR);
    let receive = tokio::task::spawn_blocking(move || silent.recv(&mut [0; 1_500]));
    tokio::select! {
        biased;
        dialled = dial => panic!("nobody answers: {dialled:?}"),
        received = receive => assert!(received.unwrap().is_ok()),
    }
    endpoints.closed().await;
}

#[tokio::test]
async fn a_socket_that_never_answers_is_unreachable() {
    let lab = Lab::new();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = silent.local_addr().unwrap();
    let error = lab.endpoints.connect(&lab.worker, target, &lab.pin(), None, SHORT).await;
    assert!(matches!(error, Err(DialError::Unreachable { .. })), "{error:?}");
}

/// A server of s2n-quic that speaks this protocol.
fn server_of(protocol: &str) -> (Server, Trust) {
    let certificate = ServerCertificate::self_signed(["localhost"]).unwrap();
    let tls = s2n_quic::provider::tls::rustls::Server::builder()
        .with_certificate(certificate.certificate_pem().as_str(), certificate.key_pem().as_str())
        .unwrap()
        .with_application_protocols([protocol].iter())
        .unwrap()
        .build()
        .unwrap();
    let server = Server::builder().with_tls(tls).unwrap().with_io("127.0.0.1:0").unwrap();
    (server.start().unwrap(), Trust::Pin(certificate.pin()))
}

#[tokio::test]
async fn a_server_of_another_protocol_that_stays_silent_is_suspected() {
    let lab = Lab::new();
    let (server, trust) = server_of("h3");
    let target = server.local_addr().unwrap();
    let error = lab.endpoints.connect(&lab.worker, target, &trust, None, SHORT).await;
    assert!(matches!(error, Err(DialError::Unreachable { .. })), "{error:?}");
    assert!(error.unwrap_err().to_string().contains("another protocol"));
}

#[tokio::test]
async fn a_client_of_another_protocol_is_rejected_and_counted() {
    let lab = Lab::new();
    let pem = lab.certificate.certificate_pem();
    let client = Client::builder().with_tls(pem.as_str()).unwrap().with_io("0.0.0.0:0").unwrap();
    let client = client.start().unwrap();
    let attempt = client.connect(Connect::new(lab.address()).with_server_name("localhost"));
    let attempt = tokio::time::timeout(LONG, attempt);
    tokio::select! {
        connected = attempt => panic!("{connected:?}"),
        () = async {
            while lab.server.rejected() == 0 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
}

#[tokio::test]
async fn a_server_that_closes_at_once_refuses_nobody_else() {
    let mut lab = Lab::new();
    let (dialled, accepted) = lab.connect().await;
    accepted.connection.close(7u32.into());
    drop(accepted);
    drop(dialled);
    lab.connect().await;
}

#[tokio::test]
async fn bad_names_leave_the_endpoint_and_its_connections_alone() {
    let mut lab = Lab::new();
    let (mut dialled, mut accepted) = lab.connect().await;
    for name in ["", "a b", "-", "nö.example"] {
        let error = lab.dial(&lab.pin(), Some(name)).await;
        assert!(matches!(error, Err(DialError::ServerName(_))), "{error:?}");
    }
    let mut stream = dialled.connection.open_send_stream().await.unwrap();
    stream.send("still here".into()).await.unwrap();
    let mut received = accepted.connection.accept_receive_stream().await.unwrap().unwrap();
    assert_eq!(received.receive().await.unwrap().unwrap(), "still here");
}

#[tokio::test]
async fn errors_name_the_address() {
    let lab = Lab::new();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = silent.local_addr().unwrap();
    let error = lab.endpoints.connect(&lab.worker, target, &lab.pin(), None, SHORT).await;
    assert!(error.unwrap_err().to_string().starts_with(&target.to_string()));
}
