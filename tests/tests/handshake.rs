//! Clients that connect and never say who they are.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use kwik_client::ErrorCode;
use kwik_server::{Limits, Server};
use kwik_tests::{bare, certificate};
use s2n_quic::{application, connection};

/// Long enough for the handshake itself on a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);

fn server() -> Server {
    let builder =
        Server::builder().with_tls(certificate()).unwrap().with_io("127.0.0.1:0").unwrap();
    builder.with_limits(Limits::new().with_handshake_timeout(PATIENCE)).start().unwrap()
}

/// The code of KWIK's with which the server ended the connection.
fn code_of(error: connection::Error) -> Option<ErrorCode> {
    let connection::Error::Application { error, .. } = error else { return None };
    let timeout = application::Error::new(ErrorCode::HandshakeTimeout.quic_code()).unwrap();
    (error == timeout).then_some(ErrorCode::HandshakeTimeout)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_no_control_stream_is_sent_away_and_counted() {
    let server = server();
    let mut silent = bare::dial(server.local_addr(), server.pin()).await.connection;
    let ended = silent.accept().await.map(|_| ());
    assert_eq!(code_of(ended.unwrap_err()), Some(ErrorCode::HandshakeTimeout));
    assert_eq!(server.metrics().refused.get(&ErrorCode::HandshakeTimeout), Some(&1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_begins_a_hello_and_never_ends_it_is_sent_away_and_counted() {
    let server = server();
    let mut slow = bare::dial(server.local_addr(), server.pin()).await.connection;
    let mut control = slow.open_bidirectional_stream().await.unwrap();
    // The length of a frame, and its first byte.
    control.send(vec![100, 0x52].into()).await.unwrap();
    let ended = slow.accept().await.map(|_| ());
    assert_eq!(code_of(ended.unwrap_err()), Some(ErrorCode::HandshakeTimeout));
    assert_eq!(server.metrics().refused.get(&ErrorCode::HandshakeTimeout), Some(&1));
    assert_eq!(server.metrics().primary_sessions, 0);
}
