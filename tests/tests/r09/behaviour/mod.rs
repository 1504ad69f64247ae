//! How streams and sessions behave: each behaviour once, in the words of s2n-quic's API, and compiled against two
//! transports by what the parent module calls `client`, `server` and `pair`. `docs/behaviour.md` lists them.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use super::{Pair, client, pair, server};
use client::{connection, stream};

mod ends;
mod reads;
mod resets;
mod sessions;
mod streams;
mod writes;

/// What hangs is a failure, not a test that never ends.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Tests that are given a connected pair.
macro_rules! behaviours {
    ($($(#[$test:meta])+ async fn $name:ident($pair:pat) $body:block)+) => {$(
        $(#[$test])+
        async fn $name() {
            super::watched(async {
                let $pair = super::pair().await;
                $body
            })
            .await;
        }
    )+};
}
use behaviours;

async fn watched(test: impl Future<Output = ()>) {
    tokio::time::timeout(WATCHDOG, test).await.expect("the behaviour does not hang");
}

/// The two ends of a bidirectional stream of the client, on which "!" went to the server.
async fn both(
    pair: &mut Pair,
) -> (client::stream::BidirectionalStream, server::stream::BidirectionalStream) {
    let mut near = pair.client.open_bidirectional_stream().await.unwrap();
    near.send("!".into()).await.unwrap();
    let mut far = pair.server.accept_bidirectional_stream().await.unwrap().unwrap();
    assert_eq!(far.receive().await.unwrap().unwrap(), "!");
    (near, far)
}

/// The two ends of a stream on which only the client sends, and has sent `data`.
async fn upload(
    pair: &mut Pair,
    data: &'static str,
) -> (client::stream::SendStream, server::stream::ReceiveStream) {
    let mut near = pair.client.open_send_stream().await.unwrap();
    near.send(data.into()).await.unwrap();
    let far = pair.server.accept_receive_stream().await.unwrap().unwrap();
    (near, far)
}

/// Everything up to the end.
macro_rules! rest {
    ($stream:expr) => {{
        let mut all = Vec::new();
        while let Some(chunk) = $stream.receive().await.unwrap() {
            all.extend_from_slice(&chunk);
        }
        all
    }};
}
use rest;

/// The code that a call on a stream failed with.
fn reset_code<T: std::fmt::Debug>(result: stream::Result<T>) -> u64 {
    match result {
        Err(stream::Error::StreamReset { error, .. }) => error.into(),
        other => panic!("no reset: {other:?}"),
    }
}

/// The code that the session was closed with, and whether the peer did it.
fn close_code(error: connection::Error) -> (u64, bool) {
    match error {
        connection::Error::Application { error, initiator, .. } => {
            (error.into(), format!("{initiator:?}") == "Remote")
        }
        other => panic!("no close of an application: {other:?}"),
    }
}

/// As [`close_code`], of a call on a stream.
fn stream_close_code<T: std::fmt::Debug>(result: stream::Result<T>) -> (u64, bool) {
    match result {
        Err(stream::Error::ConnectionError { error, .. }) => close_code(error),
        other => panic!("the session is not over: {other:?}"),
    }
}

/// Sends until it fails.
macro_rules! send_until_error {
    ($stream:expr) => {
        loop {
            if let Err(error) = $stream.send(Bytes::from_static(&[7; 1024])).await {
                break stream::Result::<()>::Err(error);
            }
            tokio::task::yield_now().await;
        }
    };
}
use send_until_error;

/// Content in which a byte tells its place.
fn content(length: usize) -> Bytes {
    (0..length).map(|at| (at.wrapping_mul(31) >> 3) as u8).collect::<Vec<_>>().into()
}
