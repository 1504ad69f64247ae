//! Priorities of streams, on real sockets. On loopback the reader is the bottleneck: that the higher one goes first on a link is
//! shown in the laboratory, `kwik-sim/tests/priority.rs`.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kwik_client::stream::ReceiveStream;
use kwik_tests::{Content, Rig};

const SIZE: u64 = 16 << 20;
const CONTENT: Content = Content(4);

async fn read(mut stream: ReceiveStream, count: Arc<AtomicU64>) {
    while let Some(chunk) = stream.receive().await.unwrap() {
        let at = count.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        assert!(CONTENT.matches(at, &chunk), "at {at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_any_priority_arrive_whole_though_it_changes_while_they_send() {
    let mut rig = Rig::new().await;
    let mut handle = rig.primary.handle();
    let mut streams = Vec::new();
    for _ in 0..2 {
        streams.push(handle.open_send_stream().await.unwrap());
    }
    let mut low = streams.remove(0);
    let mut high = streams.remove(0);
    let content = CONTENT.bytes(0, SIZE as usize);
    // The lower one has begun; a priority may change while a stream sends.
    low.send(content.clone()).await.unwrap();
    low.finish().unwrap();
    high.set_priority(1).unwrap();
    assert_eq!((low.priority().unwrap(), high.priority().unwrap()), (0, 1));
    high.send(content).await.unwrap();
    high.finish().unwrap();
    let low = rig.session.accept_receive_stream().await.unwrap().unwrap();
    let high = rig.session.accept_receive_stream().await.unwrap().unwrap();
    let count = Arc::<AtomicU64>::default();
    let rest = tokio::spawn(read(low, count.clone()));
    read(high, Arc::default()).await;
    rest.await.unwrap();
    assert_eq!(count.load(Ordering::Relaxed), SIZE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_priorities_too_and_a_stream_that_is_only_read_has_none() {
    let rig = Rig::new().await;
    let mut handle = rig.session.handle();
    let mut stream = handle.open_bidirectional_stream().await.unwrap();
    stream.set_priority(i32::MIN).unwrap();
    assert_eq!(stream.priority().unwrap(), i32::MIN);
    let (_receive, mut send) = stream.split();
    send.set_priority(i32::MAX).unwrap();
    assert_eq!(send.priority().unwrap(), i32::MAX);
}
