//! How fast a client may speak.

use kwik_proto::frame::Ping;

use super::*;

/// Frames of a second, and what ten seconds more allow.
const PINGS: u64 = 10_000;

/// The client pays for its own flood, and is cut off; another is answered all the while.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_floods_is_slowed_and_then_cut_off_and_counted() {
    let server = server(Limits::new());
    let (mut good, flooding) = (client(&server).await, client(&server).await);
    let BareConnection { mut reader, sender, handle, .. } = flooding;
    let ping = ControlFrame::Ping(Ping { nonce: 1 });
    let flood = tokio::spawn(async move {
        // The server reads what it will, and the queue of this end is as long as that lets it be.
        loop {
            match sender.push(&ping) {
                Ok(()) => {}
                Err(kwik_io::control::PushError::Closed) => return,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
            }
        }
    });
    let mut pongs = 0;
    let code = loop {
        match reader.recv().await {
            Ok(Some(ControlFrame::Pong(_))) => pongs += 1,
            Ok(Some(ControlFrame::SessionClose(close))) => break close.code,
            Ok(Some(_)) => {}
            Ok(None) => panic!("the control stream was finished"),
            Err(kwik_io::control::ControlError::Stream(error)) => break bare::closing_code(error),
            Err(error) => panic!("{error}"),
        }
        if pongs % 10_000 == 0 {
            good.send(ControlFrame::Ping(Ping { nonce: pongs }));
            assert!(matches!(good.next().await, ControlFrame::Pong(_)));
        }
    };
    assert_eq!(code, ErrorCode::RateExceeded);
    assert!(pongs <= 12 * PINGS, "{pongs} frames were answered");
    let metrics = server.metrics();
    assert_eq!(metrics.throttled, 1);
    assert_eq!(metrics.primary_errors.get(&ErrorCode::RateExceeded), Some(&1));
    flood.abort();
    drop(handle);
}

/// 128 MiB from two secondaries and the primary, as fast as this machine goes: nobody is slowed.
#[tokio::test(flavor = "multi_thread")]
async fn a_fast_transfer_is_never_slowed() {
    use kwik_server::Delegate;
    use kwik_tests::{Content, Rig, SecondaryServer, all_up, read_whole};

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
