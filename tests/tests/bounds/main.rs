//! What one party can take of a server, whatever it does, is bounded, and the others have theirs.
#![allow(clippy::unwrap_used)]

mod handshakes;
mod memory;
mod proofs;
mod rates;
mod sessions;

use kwik_client::ErrorCode;
use kwik_proto::frame::ControlFrame;
use kwik_server::{Builder, Limits, Server};
use kwik_tests::bare::{self, BareConnection, BareServer};
use kwik_tests::{certificate, eventually};

fn builder() -> Builder {
    Server::builder().with_tls(certificate()).unwrap().with_io("127.0.0.1:0").unwrap()
}

fn server(limits: Limits) -> Server {
    builder().with_limits(limits).start().unwrap()
}

/// A client that was welcomed.
async fn client(server: &Server) -> BareConnection {
    let mut client = bare::connect(server.local_addr(), server.pin()).await;
    client.send(ControlFrame::Hello(bare::hello()));
    assert!(matches!(client.next().await, ControlFrame::Welcome(_)));
    client
}
