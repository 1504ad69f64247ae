//! Peers that break the rules: each is refused with a code that says why, counted, and disturbs nothing else.
#![allow(clippy::unwrap_used)]

mod admission;
mod carriers;
mod contributions;
mod floods;
mod handshakes;
mod primary;
mod unread;

use std::net::SocketAddr;
use std::time::Duration;

use kwik_client::{Client, Connect, ConnectError, ErrorCode, Pin};
use kwik_core::admission::{Claims, TokenId};
use kwik_core::time::WallTime;
use kwik_io::env::Env;
use kwik_io::key::IdentityKey;
use kwik_io::sign::ConfirmationKey;
use kwik_io::tls::{Trust, client_config};
use kwik_io::token;
use kwik_proto::frame::{
    AddPath, AddPathResult, Admission, ControlFrame, Hello, Ping, Pong, ServerIdentity,
    StreamReset, StreamWindow,
};
use kwik_proto::{Epoch, Offset, PathId, SessionId, StreamId};
use kwik_server::{Event, PathSpec};
use kwik_tests::bare::{
    self, BareConnection, BareServer, Carrier, contribution_frame, public_frame, public_header,
};
use kwik_tests::{
    Content, Rig, SecondaryServer, contribute, eventually, identity, read_until, read_whole,
    stays_pending,
};

const CONTENT: Content = Content(66);

/// The session of the rig is as good as ever.
async fn works(rig: &mut Rig) {
    let mut stream = rig.session.open_bidirectional_stream().await.unwrap();
    stream.send(CONTENT.bytes(0, 1000)).await.unwrap();
    stream.finish().unwrap();
    let mut theirs = rig.primary.accept_bidirectional_stream().await.unwrap().unwrap();
    assert_eq!(read_whole(&mut theirs, CONTENT).await, 1000);
}
