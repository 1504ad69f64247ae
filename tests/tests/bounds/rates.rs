//! How fast a client may speak.

use kwik_io::control::{ControlError, PushError};
use kwik_proto::frame::{Ping, Pong, TokenRequest};
use kwik_proto::{Epoch, PathId};
use kwik_server::{Delegate, FrameClass};
use kwik_tests::{Content, Rig, SecondaryServer, all_up, read_whole};

use super::*;

/// The client pays for its own flood, and is cut off; another is answered all the while.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_floods_is_slowed_and_then_cut_off_and_counted() {
    let server = server(Limits::new());
    let (mut good, flooding) = (client(&server).await, client(&server).await);
    let BareConnection { mut reader, sender, handle, .. } = flooding;
    // Of these the least are taken, so that the slowest machine sends too many.
    let ask = TokenRequest { path: PathId::new(1), epoch: Epoch::FIRST };
    let ask = ControlFrame::TokenRequest(ask);
    let flood = tokio::spawn(async move {
        // The server reads what it will, and the queue of this end is as long as that lets it be.
        loop {
            match sender.push(&ask) {
                Ok(()) => {}
                Err(PushError::Closed) => return,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
            }
        }
    });
    eventually("it is slowed", || async { server.metrics().throttled > 0 }).await;
    good.send(ControlFrame::Ping(Ping { nonce: 7 }));
    assert_eq!(good.next().await, ControlFrame::Pong(Pong { nonce: 7 }));
    let code = match reader.recv().await {
        Ok(Some(ControlFrame::SessionClose(close))) => close.code,
        Err(ControlError::Stream(error)) => bare::closing_code(error),
        other => panic!("expected a close, not {other:?}"),
    };
    assert_eq!(code, ErrorCode::RateExceeded);
    eventually("it is counted", || async {
        server.metrics().primary_errors.get(&ErrorCode::RateExceeded) == Some(&1)
    })
    .await;
    good.send(ControlFrame::Ping(Ping { nonce: 8 }));
    assert_eq!(good.next().await, ControlFrame::Pong(Pong { nonce: 8 }));
    flood.abort();
    drop(handle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_lower_rate_slows_at_that() {
    let limits = Limits::new().with_frame_rate(FrameClass::Probe, 10);
    let (slow, usual) = (server(limits), server(Limits::new()));
    for server in [&slow, &usual] {
        let mut client = client(server).await;
        for nonce in 0..12 {
            client.send(ControlFrame::Ping(Ping { nonce }));
        }
        for nonce in 0..12 {
            assert_eq!(client.next().await, ControlFrame::Pong(Pong { nonce }));
        }
    }
    assert_eq!((slow.metrics().throttled, usual.metrics().throttled), (1, 0));
}

/// 128 MiB from two secondaries, as fast as this machine goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_fast_transfer_is_never_slowed() {
    const LENGTH: u64 = 128 << 20;
    let mut rig = Rig::new().await;
    for _ in 0..2 {
        let path = SecondaryServer::start(&rig.key).obey();
        rig.primary.handle().add_path(path).await.unwrap();
    }
    all_up(&rig.primary.handle(), 2).await;
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    let order = Delegate::new(0..LENGTH, 5u64.to_be_bytes().to_vec().into());
    let _delegated = stream.delegate(order).await.unwrap();
    stream.finish().unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    assert_eq!(read_whole(&mut public, Content(5)).await, LENGTH);
    assert_eq!(rig.server.metrics().throttled, 0);
}

/// A server that a client gives a rate is cut off where another would not even be slowed.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_lower_rate_cuts_a_server_off_at_that() {
    const PINGS: u64 = 1_000;
    let slow = kwik_client::Limits::new().with_frame_rate(FrameClass::Probe, 10);
    for (limits, cut_off) in [(slow, true), (kwik_client::Limits::new(), false)] {
        let mut server = BareServer::start();
        let client = kwik_client::Client::builder().with_tls(server.pin()).unwrap();
        let client = client.with_limits(limits).start().unwrap();
        let connecting = client.connect(kwik_client::Connect::new(server.address()));
        let (session, (mut peer, _)) = tokio::join!(connecting, server.accept_as_primary());
        let _session = session.unwrap();
        for nonce in 0..PINGS {
            peer.send(ControlFrame::Ping(Ping { nonce }));
        }
        let mut answered = 0;
        let code = loop {
            match peer.reader.recv().await {
                Ok(Some(ControlFrame::Pong(_))) => answered += 1,
                Ok(Some(ControlFrame::SessionClose(close))) => break Some(close.code),
                Err(ControlError::Stream(error)) => break Some(bare::closing_code(error)),
                Ok(Some(_)) => {}
                other => panic!("expected an answer or a close, not {other:?}"),
            }
            if answered == PINGS {
                break None;
            }
        };
        assert_eq!(code, cut_off.then_some(ErrorCode::RateExceeded), "{answered} were answered");
    }
}
