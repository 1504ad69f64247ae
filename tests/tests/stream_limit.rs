//! Streams beyond the limit wait; they cost nobody anything.
#![allow(clippy::unwrap_used)]

use kwik_proto::frame::ControlFrame;
use kwik_server::PrimarySession;
use kwik_server::stream::ReceiveStream;
use kwik_tests::bare::{self, BareConnection, public_frame, public_header};
use kwik_tests::{Rig, stays_pending};

/// A client with two uploads more than there is room for, and the session with the streams that it accepted.
async fn with_two_too_many(rig: &mut Rig) -> (BareConnection, PrimarySession, Vec<ReceiveStream>) {
    let mut client = bare::connect(rig.server.local_addr(), rig.server.pin()).await;
    client.send(ControlFrame::Hello(bare::hello()));
    let ControlFrame::Welcome(welcome) = client.next().await else { panic!("no Welcome") };
    let room = 2 * u64::from(welcome.limits.max_unidirectional_streams);
    let mut session = rig.server.accept().await.unwrap();
    let mut unread = Vec::new();
    for index in 0..room + 2 {
        let id = index << 2 | 2;
        let mut upload = client.open().await;
        upload.write(public_header(id)).await;
        upload.write(public_frame(id, 0, b"short", true)).await;
        upload.finish().await;
        if index < room {
            unread.push(session.accept_receive_stream().await.unwrap().unwrap());
        }
    }
    (client, session, unread)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_beyond_twice_the_limit_waits_until_another_is_over() {
    let mut rig = Rig::new().await;
    let (_client, mut session, mut unread) = with_two_too_many(&mut rig).await;
    let room = unread.len() as u64;
    stays_pending("a stream too many", session.accept_receive_stream()).await;
    for index in room..room + 2 {
        let mut over = unread.swap_remove(0);
        assert_eq!(over.receive().await.unwrap().as_deref(), Some(&b"short"[..]));
        assert_eq!(over.receive().await.unwrap(), None);
        let mut next = session.accept_receive_stream().await.unwrap().unwrap();
        assert_eq!(next.id(), index << 2 | 2);
        assert_eq!(next.receive().await.unwrap().as_deref(), Some(&b"short"[..]));
        unread.push(next);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_hears_of_its_connections_end_while_streams_wait() {
    let mut rig = Rig::new().await;
    let (client, mut session, _unread) = with_two_too_many(&mut rig).await;
    client.handle.close(7_u32.into());
    assert!(session.accept_receive_stream().await.is_err());
}
