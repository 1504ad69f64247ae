//! R6: offsets from several sources.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use kwik_client::{ConflictPolicy, ErrorCode, stream};
use kwik_tests::{Attached, Content, Rig, contribute, eventually, read_until, stays_pending};

const CONTENT: Content = Content(60);
/// What a source sends that has another version.
const OTHER: Content = Content(61);

/// A session in which the primary has begun a stream with 100 bytes, which were read, and so many secondaries.
async fn begun(
    policy: ConflictPolicy,
    secondaries: usize,
) -> (Rig, Vec<Attached>, kwik_server::stream::SendStream, stream::ReceiveStream) {
    let mut rig = Rig::with(|client| client.with_conflict_policy(policy)).await;
    let mut attached = Vec::new();
    for _ in 0..secondaries {
        attached.push(rig.attach().await);
    }
    let mut stream = rig.primary.open_send_stream().await.unwrap();
    stream.send(CONTENT.bytes(0, 100)).await.unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    read_until(&mut public, CONTENT, 0, 100).await;
    (rig, attached, stream, public)
}

/// Contributes, and waits until the client has so many bytes that are new to it.
async fn put(rig: &Rig, from: &Attached, stream: u64, offset: u64, data: Bytes, new: u64) {
    let before = bytes(rig, from).await;
    let mut contribution = contribute(&from.session, stream).await;
    contribution.write_at(offset, data).await.unwrap();
    contribution.finish().await.unwrap();
    eventually("the bytes are there", || async { bytes(rig, from).await == before + new }).await;
}

/// Bytes that this path was the first to bring.
async fn bytes(rig: &Rig, from: &Attached) -> u64 {
    rig.session.metrics().await.unwrap().paths[usize::from(from.path.value())].bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn r06_1_the_primarys_bytes_go_to_the_offset_that_it_names() {
    let (_rig, _, mut stream, mut public) = begun(ConflictPolicy::FirstWins, 0).await;
    for offset in [900, 500, 300, 700, 100] {
        stays_pending("bytes that are not next were read", public.receive()).await;
        stream.write_at(offset, CONTENT.bytes(offset, 200)).await.unwrap();
    }
    read_until(&mut public, CONTENT, 100, 1100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r06_2_a_secondarys_bytes_go_to_the_offset_that_it_names() {
    let (rig, attached, stream, mut public) = begun(ConflictPolicy::FirstWins, 2).await;
    for (turn, offset) in [900, 500, 300, 700].into_iter().enumerate() {
        put(&rig, &attached[turn % 2], stream.id(), offset, CONTENT.bytes(offset, 200), 200).await;
        stays_pending("bytes that are not next were read", public.receive()).await;
    }
    put(&rig, &attached[0], stream.id(), 100, CONTENT.bytes(100, 200), 200).await;
    read_until(&mut public, CONTENT, 100, 1100).await;
    let metrics = rig.session.metrics().await.unwrap();
    assert_eq!((metrics.redundant_bytes, metrics.faults.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn r06_3_the_first_copy_counts_by_default() {
    let (rig, attached, mut stream, mut public) = begun(ConflictPolicy::FirstWins, 2).await;
    let id = stream.id();
    put(&rig, &attached[0], id, 150, OTHER.bytes(150, 50), 50).await;
    // Half of it is new; the rest is there, and stays, whoever says otherwise.
    put(&rig, &attached[1], id, 100, CONTENT.bytes(100, 150), 100).await;
    read_until(&mut public, CONTENT, 100, 150).await;
    read_until(&mut public, OTHER, 150, 200).await;
    read_until(&mut public, CONTENT, 200, 250).await;
    // What was read never changes, not by the primary either.
    stream.write_at(100, OTHER.bytes(100, 150)).await.unwrap();
    stream.write_at(250, CONTENT.bytes(250, 10)).await.unwrap();
    read_until(&mut public, CONTENT, 250, 260).await;
    let metrics = rig.session.metrics().await.unwrap();
    assert!(metrics.redundant_bytes >= 50, "{metrics:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r06_3_the_primarys_copy_counts_if_the_client_wants_it_so() {
    let (rig, attached, mut stream, mut public) = begun(ConflictPolicy::PrimaryWins, 1).await;
    put(&rig, &attached[0], stream.id(), 150, OTHER.bytes(150, 100), 100).await;
    stream.write_at(150, CONTENT.bytes(150, 50)).await.unwrap();
    stream.write_at(100, CONTENT.bytes(100, 50)).await.unwrap();
    read_until(&mut public, CONTENT, 100, 200).await;
    // Where the primary said nothing, the secondary's copy is the only one.
    read_until(&mut public, OTHER, 200, 250).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r06_3_the_primarys_copy_decides_between_copies_that_are_compared() {
    let (rig, attached, mut stream, mut public) = begun(ConflictPolicy::Reject, 2).await;
    let id = stream.id();
    put(&rig, &attached[0], id, 150, OTHER.bytes(150, 100), 100).await;
    stream.write_at(100, CONTENT.bytes(100, 150)).await.unwrap();
    read_until(&mut public, CONTENT, 100, 250).await;
    eventually("the fault is counted", || async {
        let metrics = rig.session.metrics().await.unwrap();
        let wrong = metrics.paths[usize::from(attached[0].path.value())].address;
        let faults: Vec<_> =
            metrics.faults.iter().map(|it| (it.address, it.code, it.count)).collect();
        faults == [(wrong, ErrorCode::DataConflict, 1)]
    })
    .await;
    // The other is as good as ever.
    put(&rig, &attached[1], id, 250, CONTENT.bytes(250, 100), 100).await;
    read_until(&mut public, CONTENT, 250, 350).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r06_4_a_gap_is_waited_for() {
    let (rig, attached, stream, mut public) = begun(ConflictPolicy::FirstWins, 1).await;
    put(&rig, &attached[0], stream.id(), 200, CONTENT.bytes(200, 100), 100).await;
    stays_pending("bytes behind a gap were read", public.receive()).await;
    put(&rig, &attached[0], stream.id(), 100, CONTENT.bytes(100, 100), 100).await;
    read_until(&mut public, CONTENT, 100, 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r06_4_a_gap_that_nobody_fills_is_an_error_that_names_it() {
    let timeout = Duration::from_millis(100);
    let mut rig = Rig::with(|client| client.with_gap_timeout(timeout)).await;
    let secondary = rig.attach().await;
    let mut stream = rig.primary.open_send_stream().await.unwrap();
    stream.send(CONTENT.bytes(0, 100)).await.unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    put(&rig, &secondary, stream.id(), 150, CONTENT.bytes(150, 100), 100).await;
    // What comes before it is delivered.
    read_until(&mut public, CONTENT, 0, 100).await;
    let error = public.receive().await.unwrap_err();
    let stream::Error::Missing { stream: id, offset, len, .. } = error else { panic!("{error}") };
    assert_eq!((id, offset, len), (stream.id(), 100, 50));
    assert_eq!(public.receive().await.unwrap_err(), error, "it stays an error");
    // The session goes on.
    let mut next = rig.primary.open_send_stream().await.unwrap();
    next.send(CONTENT.bytes(0, 10)).await.unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    read_until(&mut public, CONTENT, 0, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r06_5_offsets_alone_decide_the_order() {
    const PIECE: u64 = 100;
    let (rig, attached, mut stream, mut public) = begun(ConflictPolicy::FirstWins, 3).await;
    // From the back to the front, by each in turn, the primary among them; read while they come.
    let reading = tokio::spawn(async move {
        read_until(&mut public, CONTENT, 100, 100 + 40 * PIECE).await;
        public
    });
    for turn in (0..40).rev() {
        let offset = 100 + turn * PIECE;
        let data = CONTENT.bytes(offset, PIECE as usize);
        match attached.get(turn as usize % 4) {
            Some(secondary) => put(&rig, secondary, stream.id(), offset, data, PIECE).await,
            None => stream.write_at(offset, data).await.unwrap(),
        }
        assert!(turn == 0 || !reading.is_finished(), "the reader is ahead of the bytes");
    }
    reading.await.unwrap();
}
