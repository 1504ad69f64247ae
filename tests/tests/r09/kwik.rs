//! A session of KWIK, of a client and a primary alone.

use std::any::Any;

pub(crate) mod client {
    pub(crate) use kwik_client::{Session as Connection, application, connection, stream};
}
pub(crate) mod server {
    pub(crate) use kwik_server::{PrimarySession as Connection, stream};
}

#[path = "behaviour/mod.rs"]
mod behaviour;
#[path = "echo.rs"]
mod echo;

/// Both ends of a session on loopback.
pub(crate) struct Pair {
    pub(crate) client: client::Connection,
    pub(crate) server: server::Connection,
    pub(crate) endpoints: Box<dyn Any + Send>,
}

pub(crate) async fn pair() -> Pair {
    let certificate = kwik_tests::certificate();
    let (cert, key) = (certificate.certificate_pem(), certificate.key_pem());
    let mut server = kwik_server::Server::builder()
        .with_tls((&*cert, &*key))
        .unwrap()
        .with_io("127.0.0.1:0")
        .unwrap()
        .start()
        .unwrap();
    let client = kwik_client::Client::builder()
        .with_tls(&*cert)
        .unwrap()
        .with_io("127.0.0.1:0")
        .unwrap()
        .start()
        .unwrap();
    let connect = kwik_client::Connect::new(server.local_addr());
    let connect = connect.with_server_name("localhost");
    let (near, far) = tokio::join!(client.connect(connect), server.accept());
    let endpoints = Box::new((client, server));
    Pair { client: near.unwrap(), server: far.unwrap(), endpoints }
}
