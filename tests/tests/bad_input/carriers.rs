//! Carriers that their receiver refuses, so that it never learns of their stream: who opened them does not wait for it.

use kwik_client::application;
use s2n_quic::stream::BidirectionalStream;

use super::*;

/// Codes with which a receiver refuses a carrier of which it cannot tell the stream.
const REFUSALS: [ErrorCode; 3] =
    [ErrorCode::HeaderMissing, ErrorCode::FrameEncoding, ErrorCode::Mapping];

fn code_of(code: ErrorCode) -> s2n_quic::application::Error {
    s2n_quic::application::Error::new(code.quic_code()).unwrap()
}

/// A session of the rig's server with a client that keeps no rule.
async fn with_bare_client(rig: &mut Rig) -> (kwik_server::PrimarySession, BareConnection) {
    let mut client = bare::connect_to_primary(rig.server.local_addr(), rig.server.pin()).await;
    client.send(ControlFrame::Hello(bare::hello()));
    assert!(matches!(client.next().await, ControlFrame::Welcome(_)));
    (rig.server.accept().await.unwrap(), client)
}

/// Refuses the next carrier that the peer opens in both directions.
async fn refuse_next(peer: &mut BareConnection, code: ErrorCode) {
    let carrier = peer.acceptor.accept_bidirectional_stream().await.unwrap().unwrap();
    let (mut incoming, mut back) = carrier.split();
    assert!(incoming.receive().await.unwrap().is_some());
    incoming.stop_sending(code_of(code)).unwrap();
    back.reset(code_of(code)).unwrap();
}

/// The StreamReset and the StreamStop with which a peer gives a stream up.
async fn given_up(peer: &mut BareConnection, id: u64, code: ErrorCode) {
    let (mut reset, mut stopped) = (false, false);
    while !(reset && stopped) {
        match peer.next().await {
            ControlFrame::StreamReset(frame) => {
                assert_eq!((frame.stream.value(), frame.error_code), (id, code.quic_code()));
                reset = true;
            }
            ControlFrame::StreamStop(frame) => {
                assert_eq!((frame.stream.value(), frame.error_code), (id, code.quic_code()));
                stopped = true;
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_stream_whose_carrier_is_refused_fails_at_once() {
    let (mut session, mut primary, _carrier, _client) = primary::with_bare_primary().await;
    for (id, code) in [0, 4, 8].into_iter().zip(REFUSALS) {
        let mut stream = session.open_bidirectional_stream().await.unwrap();
        stream.send("a question".into()).await.unwrap();
        refuse_next(&mut primary, code).await;
        let refused = application::Error::new(code.quic_code()).unwrap();
        let is_refused = |error| matches!(error, kwik_client::stream::Error::StreamReset { error, .. } if error == refused);
        assert!(is_refused(stream.receive().await.unwrap_err()), "{code:?}");
        given_up(&mut primary, id, code).await;
        assert!(is_refused(stream.send("more".into()).await.unwrap_err()), "{code:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_stream_whose_carrier_is_refused_fails_at_once() {
    let mut rig = Rig::new().await;
    let (mut session, mut client) = with_bare_client(&mut rig).await;
    for (id, code) in [1, 5, 9].into_iter().zip(REFUSALS) {
        let mut stream = session.open_bidirectional_stream().await.unwrap();
        stream.send("a question".into()).await.unwrap();
        refuse_next(&mut client, code).await;
        let refused = application::Error::new(code.quic_code()).unwrap();
        let is_refused = |error| matches!(error, kwik_server::stream::Error::StreamReset { error, .. } if error == refused);
        assert!(is_refused(stream.receive().await.unwrap_err()), "{code:?}");
        given_up(&mut client, id, code).await;
        assert!(is_refused(stream.send("more".into()).await.unwrap_err()), "{code:?}");
    }
}

/// The code with which the peer resets the direction that it sends on.
async fn reset_of(carrier: &mut BidirectionalStream) -> Option<ErrorCode> {
    match carrier.receive().await {
        Err(s2n_quic::stream::Error::StreamReset { error, .. }) => {
            application::Error::new(error.into()).unwrap().kwik_code()
        }
        other => panic!("not reset: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_a_carrier_says_why_in_both_directions() {
    let mut rig = Rig::new().await;
    let (mut session, mut client) = with_bare_client(&mut rig).await;
    // A header of a length that none has.
    let mut headless = client.handle.open_bidirectional_stream().await.unwrap();
    headless.send(vec![0xff; 20].into()).await.unwrap();
    assert_eq!(reset_of(&mut headless).await, Some(ErrorCode::HeaderMissing));
    // A second carrier for a stream.
    let mut first = client.handle.open_bidirectional_stream().await.unwrap();
    first.send(public_header(0)).await.unwrap();
    first.send(public_frame(0, 0, b"be", false)).await.unwrap();
    let mut stream = session.accept_bidirectional_stream().await.unwrap().unwrap();
    assert_eq!(stream.receive().await.unwrap().as_deref(), Some(&b"be"[..]));
    let mut second = client.handle.open_bidirectional_stream().await.unwrap();
    // In one write: the header alone is refused.
    let both = [public_header(0), public_frame(0, 2, b"ware", true)].concat();
    second.send(both.into()).await.unwrap();
    assert_eq!(reset_of(&mut second).await, Some(ErrorCode::Mapping));
    assert!(stream.receive().await.is_err(), "it has two carriers");
    works(&mut rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_comes_after_its_stream_is_over_is_no_fault() {
    let (mut session, mut primary, _carrier, _client) = primary::with_bare_primary().await;
    session.accept_receive_stream().await.unwrap().unwrap();
    let (stream, final_size) = (StreamId::from_wire(7).unwrap(), Offset::ZERO);
    primary.send(ControlFrame::StreamReset(StreamReset { stream, error_code: 1, final_size }));
    let mut reset = session.accept_receive_stream().await.unwrap().unwrap();
    assert!(reset.receive().await.is_err());
    loop {
        match primary.next().await {
            ControlFrame::StreamClosed(closed) if closed.stream == stream => break,
            _ => {}
        }
    }
    let mut late = primary.open().await;
    late.write(public_header(7)).await;
    assert_eq!(late.refusal().await, ErrorCode::StreamClosed);
    assert_eq!(session.metrics().await.unwrap().faults, []);
}
