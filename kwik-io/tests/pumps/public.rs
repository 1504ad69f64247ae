//! Public streams.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use kwik_io::pump::{CarrierEnd, SendEnd};
use kwik_io::stream::{Error, ReceiveStream, application, connection};
use kwik_proto::StreamId;
use kwik_proto::frame::ErrorCode;

use crate::end::{expect, pair};
use crate::pattern;

const WINDOW: u64 = 1 << 20;

async fn read_all(stream: &mut ReceiveStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = stream.receive().await.unwrap() {
        all.extend_from_slice(&chunk);
    }
    all
}

#[tokio::test]
async fn bytes_travel_both_ways() {
    let (mut client, mut server) = pair().await;
    let (mut request, mut answer) = expect(&server, 0, WINDOW);
    let mut stream = client.open(0, WINDOW).await;
    stream.send(Bytes::from_static(b"ping")).await.unwrap();
    stream.finish().unwrap();
    assert_eq!(read_all(&mut request).await, b"ping");
    answer.send(Bytes::from_static(b"pong")).await.unwrap();
    answer.close().await.unwrap();
    let (mut receive, send) = stream.split();
    assert_eq!(read_all(&mut receive).await, b"pong");
    assert_eq!(client.send_ended().await, SendEnd::Delivered);
    assert_eq!(server.ended().await.1, CarrierEnd::Finished);
    assert_eq!(receive.receive().await, Ok(None));
    drop(send);
}

#[tokio::test]
async fn a_hundred_mebibytes_arrive_in_order() {
    const CHUNK: usize = 256 << 10;
    const CHUNKS: u64 = 400;
    let (mut client, server) = pair().await;
    let (mut upload, _answer) = expect(&server, 0, WINDOW);
    let mut stream = client.open(0, WINDOW).await;
    let writer = tokio::spawn(async move {
        for index in 0..CHUNKS {
            stream.send(pattern(index * CHUNK as u64, CHUNK)).await.unwrap();
        }
        stream.close().await.unwrap();
    });
    let mut at = 0;
    while let Some(chunk) = upload.receive().await.unwrap() {
        assert!(chunk == pattern(at, chunk.len()), "wrong bytes at {at}");
        at += chunk.len() as u64;
    }
    assert_eq!(at, CHUNKS * CHUNK as u64);
    writer.await.unwrap();
}

#[tokio::test]
async fn an_empty_stream_ends() {
    let (mut client, server) = pair().await;
    let (mut request, _answer) = expect(&server, 0, WINDOW);
    let mut stream = client.open(0, WINDOW).await;
    stream.close().await.unwrap();
    assert_eq!(request.receive().await, Ok(None));
}

#[tokio::test]
async fn a_reader_that_does_not_read_binds_its_own_stream_only() {
    const STREAMS: u64 = 20;
    let (mut client, server) = pair().await;
    // Together far more than QUIC's window of the connection, were it not drained.
    let unread: Vec<_> = (0..STREAMS).map(|n| expect(&server, n * 4, WINDOW)).collect();
    let mut writers = Vec::new();
    for n in 0..STREAMS {
        let mut stream = client.open(n * 4, WINDOW).await;
        stream.send(Bytes::from(vec![7; 2 * WINDOW as usize])).await.unwrap();
        writers.push(stream);
    }
    for (receive, _) in &unread {
        while receive.shared().inspect(|half| half.received_end().value()) < WINDOW {
            tokio::task::yield_now().await;
        }
    }
    let (mut request, _answer) = expect(&server, 400, WINDOW);
    let mut stream = client.open(400, WINDOW).await;
    stream.send(Bytes::from_static(b"through")).await.unwrap();
    stream.finish().unwrap();
    assert_eq!(read_all(&mut request).await, b"through");
    for (receive, _) in &unread {
        assert_eq!(receive.shared().inspect(|half| half.received_end().value()), WINDOW);
    }
}

#[tokio::test]
async fn a_reset_reaches_the_reader_with_its_code() {
    let (mut client, mut server) = pair().await;
    let (mut request, _answer) = expect(&server, 0, WINDOW);
    let mut stream = client.open(0, WINDOW).await;
    stream.send(Bytes::from_static(b"half a")).await.unwrap();
    assert_eq!(request.receive().await.unwrap().unwrap(), "half a");
    stream.reset(77u8.into()).unwrap();
    assert_eq!(request.receive().await, Err(Error::stream_reset(77u8.into())));
    assert_eq!(client.send_ended().await, SendEnd::Reset { code: 77u8.into() });
    assert_eq!(server.ended().await.1, CarrierEnd::Reset { code: 77u8.into() });
    let sent = stream.send(Bytes::from_static(b"more")).await;
    assert_eq!(sent, Err(Error::stream_reset(77u8.into())));
    assert_eq!(stream.finish(), Err(Error::stream_reset(77u8.into())));
}

#[tokio::test]
async fn a_reset_before_any_byte_still_tells_whose_the_carrier_is() {
    let (mut client, server) = pair().await;
    let (mut request, mut answer) = expect(&server, 0, WINDOW);
    let mut stream = client.open(0, WINDOW).await;
    stream.reset(5u8.into()).unwrap();
    assert_eq!(request.receive().await, Err(Error::stream_reset(5u8.into())));
    answer.send(Bytes::from_static(b"yet an answer")).await.unwrap();
    answer.finish().unwrap();
    assert_eq!(stream.receive().await.unwrap().unwrap(), "yet an answer");
}

/// QUIC throws away what the peer has not read when a reset comes, and the other direction could not be told to a stream.
#[tokio::test]
async fn a_carrier_is_reset_when_its_other_direction_has_brought_a_header() {
    let (mut client, mut server) = pair().await;
    let (_request, mut answer) = expect(&server, 0, WINDOW);
    let mut stream = client.open_for_answer(0, WINDOW).await;
    stream.send(Bytes::from_static(b"half a")).await.unwrap();
    stream.reset(77u8.into()).unwrap();
    let early = tokio::time::timeout(Duration::from_millis(300), client.send_ended()).await;
    assert!(early.is_err(), "nobody has answered: {early:?}");
    answer.send(Bytes::from_static(b"an answer")).await.unwrap();
    assert_eq!(client.send_ended().await, SendEnd::Reset { code: 77u8.into() });
    assert_eq!(server.ended().await.1, CarrierEnd::Reset { code: 77u8.into() });
}

#[tokio::test]
async fn a_stop_reaches_the_writer_with_its_code() {
    let (mut client, server) = pair().await;
    let (mut request, _answer) = expect(&server, 0, WINDOW);
    let mut stream = client.open(0, WINDOW).await;
    stream.send(Bytes::from(vec![1; 100])).await.unwrap();
    request.receive().await.unwrap().unwrap();
    request.stop_sending(9u8.into()).unwrap();
    assert_eq!(request.receive().await, Err(Error::stream_reset(9u8.into())));
    let stopped = Error::stream_reset(9u8.into());
    let error = loop {
        if let Err(error) = stream.send(Bytes::from(vec![1; 1 << 20])).await {
            break error;
        }
    };
    assert_eq!(error, stopped);
    assert_eq!(stream.flush().await, Err(stopped));
    assert_eq!(client.send_ended().await, SendEnd::Reset { code: 9u8.into() });
}

#[tokio::test]
async fn a_dropped_writer_finishes() {
    let (mut client, server) = pair().await;
    let (mut request, _answer) = expect(&server, 0, WINDOW);
    let (_receive, mut send) = client.open(0, WINDOW).await.split();
    let data = pattern(0, 3 << 20);
    send.send(data.clone()).await.unwrap();
    drop(send);
    assert!(read_all(&mut request).await == data);
}

#[tokio::test]
async fn a_dropped_reader_stops_the_stream_with_code_0() {
    let (mut client, server) = pair().await;
    let (request, _answer) = expect(&server, 0, WINDOW);
    let mut stream = client.open(0, WINDOW).await;
    stream.send(Bytes::from_static(b"for nobody")).await.unwrap();
    drop(request);
    let error = loop {
        if let Err(error) = stream.send(Bytes::from(vec![1; 1 << 20])).await {
            break error;
        }
    };
    assert_eq!(error, Error::stream_reset(0u8.into()));
}

#[tokio::test]
async fn a_reader_dropped_after_the_end_stops_nothing() {
    let (mut client, server) = pair().await;
    let (mut request, _answer) = expect(&server, 0, WINDOW);
    let mut stream = client.open(0, WINDOW).await;
    stream.send(Bytes::from_static(b"all")).await.unwrap();
    stream.finish().unwrap();
    read_all(&mut request).await;
    let shared = request.shared().clone();
    drop(request);
    assert_eq!(shared.stop_code(), None);
    stream.close().await.unwrap();
}

#[tokio::test]
async fn flush_waits_until_the_peer_has_every_byte() {
    let (mut client, server) = pair().await;
    let (request, _answer) = expect(&server, 0, 8 << 20);
    let mut stream = client.open(0, 8 << 20).await;
    stream.send(Bytes::from(vec![3; 6 << 20])).await.unwrap();
    stream.flush().await.unwrap();
    let arrived = request.shared().inspect(|half| half.received_end().value());
    // QUIC acknowledged; the last packets may still be on their way through the pump.
    assert!(arrived > 0);
    while request.shared().inspect(|half| half.received_end().value()) < 6 << 20 {
        tokio::task::yield_now().await;
    }
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn flush_waits_for_the_window() {
    let (mut client, server) = pair().await;
    let (mut request, _answer) = expect(&server, 0, 100_000);
    let mut stream = client.open(0, 100_000).await;
    stream.send(Bytes::from(vec![3; 150_000])).await.unwrap();
    while request.shared().inspect(|half| half.received_end().value()) < 100_000 {
        tokio::task::yield_now().await;
    }
    {
        let mut flush = pin!(stream.flush());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(flush.as_mut().poll(&mut cx).is_pending());
    }
    let reader = tokio::spawn(async move { while request.receive().await.unwrap().is_some() {} });
    stream.close().await.unwrap();
    reader.await.unwrap();
}

#[tokio::test]
async fn a_cancelled_receive_loses_nothing() {
    let (mut client, server) = pair().await;
    let (mut request, _answer) = expect(&server, 0, WINDOW);
    let mut stream = client.open(0, WINDOW).await;
    let data = pattern(0, 300_000);
    let sent = data.clone();
    let writer = tokio::spawn(async move {
        for piece in sent.chunks(1_000) {
            stream.send(Bytes::copy_from_slice(piece)).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.close().await.unwrap();
    });
    let mut all = Vec::new();
    loop {
        tokio::select! {
            biased;
            received = request.receive() => match received.unwrap() {
                Some(chunk) => all.extend_from_slice(&chunk),
                None => break,
            },
            () = tokio::task::yield_now() => {}
        }
    }
    assert!(all == data);
    writer.await.unwrap();
}

#[tokio::test]
async fn a_cancelled_send_takes_all_or_nothing() {
    let (mut client, server) = pair().await;
    let (mut request, _answer) = expect(&server, 0, WINDOW);
    let (_receive, mut send) = client.open(0, WINDOW).await.split();
    // Crosses the line of 4 MiB: everything after waits.
    send.send(pattern(0, 6 << 20)).await.unwrap();
    for _ in 0..3 {
        let mut cx = Context::from_waker(Waker::noop());
        let again = pin!(send.send(Bytes::from_static(b"never taken"))).poll(&mut cx);
        assert_eq!(again, Poll::Pending);
    }
    send.finish().unwrap();
    assert!(read_all(&mut request).await == pattern(0, 6 << 20));
}

#[tokio::test]
async fn an_application_on_its_own_thread_is_woken() {
    let (mut client, server) = pair().await;
    let (mut request, mut answer) = expect(&server, 0, WINDOW);
    let stream = client.open(0, WINDOW).await;
    let application = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async move {
            let mut stream = stream;
            for round in 0u32..200 {
                stream.send(Bytes::copy_from_slice(&round.to_be_bytes())).await.unwrap();
                assert_eq!(stream.receive().await.unwrap().unwrap()[..], round.to_be_bytes());
            }
        });
    });
    while let Some(chunk) = request.receive().await.unwrap() {
        answer.send(chunk).await.unwrap();
    }
    application.join().unwrap();
}

#[tokio::test]
async fn a_carrier_is_reset_when_its_session_is_over() {
    let (mut client, mut server) = pair().await;
    let (mut request, _answer) = expect(&server, 0, WINDOW);
    let mut stream = client.open(0, WINDOW).await;
    stream.send(Bytes::from_static(b"ping")).await.unwrap();
    assert_eq!(request.receive().await.unwrap().unwrap(), "ping");
    let send = client.table.find_send(StreamId::from_wire(0).unwrap()).unwrap();
    send.fail(connection::Error::IdleTimerExpired);
    assert_eq!(client.send_ended().await, SendEnd::SessionOver);
    let code = application::Error::of_kwik(ErrorCode::SessionClosed);
    assert_eq!(server.ended().await.1, CarrierEnd::Reset { code });
}

#[tokio::test]
async fn a_direction_that_nobody_sends_on_is_reset() {
    let (mut client, mut server) = pair().await;
    let mut stream = client.open(0, WINDOW).await;
    stream.send(Bytes::from_static(b"ping")).await.unwrap();
    assert_eq!(server.ended().await.1, CarrierEnd::Refused(ErrorCode::Mapping));
    let code = application::Error::of_kwik(ErrorCode::SessionClosed);
    assert_eq!(client.ended().await.1, CarrierEnd::Reset { code });
}
