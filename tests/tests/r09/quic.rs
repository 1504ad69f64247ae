//! A bare s2n-quic connection.

use std::any::Any;

pub(crate) mod client {
    pub(crate) use s2n_quic::{Connection, application, connection, stream};
}
pub(crate) use client as server;

#[path = "behaviour/mod.rs"]
mod behaviour;
#[path = "echo.rs"]
mod echo;

/// Both ends of a connection on loopback.
pub(crate) struct Pair {
    pub(crate) client: client::Connection,
    pub(crate) server: server::Connection,
    pub(crate) endpoints: Box<dyn Any + Send>,
}

pub(crate) async fn pair() -> Pair {
    let certificate = kwik_tests::certificate();
    let (cert, key) = (certificate.certificate_pem(), certificate.key_pem());
    let mut server = s2n_quic::Server::builder()
        .with_tls((&*cert, &*key))
        .unwrap()
        .with_io("127.0.0.1:0")
        .unwrap()
        .start()
        .unwrap();
    let client = s2n_quic::Client::builder()
        .with_tls(&*cert)
        .unwrap()
        .with_io("127.0.0.1:0")
        .unwrap()
        .start()
        .unwrap();
    let connect = s2n_quic::client::Connect::new(server.local_addr().unwrap());
    let connect = connect.with_server_name("localhost");
    let (near, far) = tokio::join!(client.connect(connect), server.accept());
    let endpoints = Box::new((client, server));
    Pair { client: near.unwrap(), server: far.unwrap(), endpoints }
}
