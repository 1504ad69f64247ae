//! R1: only the primary opens public streams. (R1.3 and R1.4 are shown in simulated time, by `kwik-sim`.)
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use kwik_tests::{Content, Rig, contribute, eventually, read_until, read_whole, stays_pending};

#[tokio::test(flavor = "multi_thread")]
async fn r01_1_what_the_primary_opens_the_client_accepts_under_the_same_id() {
    let mut rig = Rig::new().await;
    for turn in 0..3_u64 {
        let mut theirs = rig.primary.open_bidirectional_stream().await.unwrap();
        theirs.send(Bytes::from(format!("both ways {turn}"))).await.unwrap();
        theirs.finish().unwrap();
        let mut ours = rig.session.accept_bidirectional_stream().await.unwrap().unwrap();
        assert_eq!((ours.id(), theirs.id()), (1 + 4 * turn, 1 + 4 * turn));
        assert_eq!(ours.receive().await.unwrap().unwrap(), format!("both ways {turn}"));
        ours.send("answer".into()).await.unwrap();
        ours.finish().unwrap();
        assert_eq!(theirs.receive().await.unwrap().unwrap(), "answer");

        let mut theirs = rig.primary.handle().open_send_stream().await.unwrap();
        theirs.send(Bytes::from(format!("one way {turn}"))).await.unwrap();
        theirs.finish().unwrap();
        let mut ours = rig.session.accept_receive_stream().await.unwrap().unwrap();
        assert_eq!((ours.id(), theirs.id()), (3 + 4 * turn, 3 + 4 * turn));
        assert_eq!(ours.receive().await.unwrap().unwrap(), format!("one way {turn}"));
        assert_eq!(ours.receive().await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r01_2_what_a_secondary_opens_exists_on_its_own_connection_alone() {
    const CONTENT: Content = Content(12);
    let mut rig = Rig::new().await;
    let secondary = rig.attach().await;
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    stream.send(CONTENT.bytes(0, 1000)).await.unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    let before = rig.session.metrics().await.unwrap();

    let mut contributions = Vec::new();
    for turn in 0..5_u64 {
        let mut contribution = contribute(&secondary.session, stream.id()).await;
        let offset = 1000 + turn * 1000;
        contribution.write_at(offset, CONTENT.bytes(offset, 1000)).await.unwrap();
        contributions.push(contribution);
    }
    read_until(&mut public, CONTENT, 0, 6000).await;

    // They are open on the secondary's connection, and count there.
    assert_eq!(secondary.session.metrics().await.unwrap().contributions, 5);
    let after = rig.session.metrics().await.unwrap();
    assert_eq!((before.paths[1].contributions, after.paths[1].contributions), (0, 5));
    assert_eq!(after.paths[0].contributions, 0);
    // The session's table has the one stream of before, and nobody is offered another.
    let ids = |metrics: &kwik_client::SessionMetrics| {
        metrics.streams.iter().map(|stream| stream.id).collect::<Vec<_>>()
    };
    assert_eq!((ids(&before), ids(&after)), (vec![3], vec![3]));
    stays_pending("the client was offered a stream", rig.session.accept()).await;
    stays_pending("the primary was offered a stream", rig.primary.accept()).await;
    assert!(rig.primary.handle().metrics().await.unwrap().supplies.is_empty());
    // The next stream of the primary gets the next number, as if nothing had been opened meanwhile.
    assert_eq!(rig.primary.handle().open_send_stream().await.unwrap().id(), 7);
}

/// Everything that an application can do with a session that five secondaries feed, and what it meets: the primary's
/// streams.
#[tokio::test(flavor = "multi_thread")]
async fn r01_5_an_application_meets_nothing_but_the_primarys_streams() {
    const CONTENT: Content = Content(15);
    let mut rig = Rig::new().await;
    let mut secondaries = Vec::new();
    for _ in 0..5 {
        secondaries.push(rig.attach().await);
    }
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    // The grants, and with them the contributions, come before the primary's own first byte: nothing shows of them.
    for (turn, secondary) in (0..).zip(&secondaries) {
        let mut contribution = contribute(&secondary.session, stream.id()).await;
        let offset = turn * 1000;
        contribution.write_at(offset, CONTENT.bytes(offset, 1000)).await.unwrap();
        contribution.finish().await.unwrap();
    }
    eventually("all of it has come", || async {
        let metrics = rig.session.metrics().await.unwrap();
        metrics.paths.iter().map(|path| path.bytes).sum::<u64>() == 5000
    })
    .await;
    stays_pending("a stream that the primary has not begun", rig.session.accept()).await;
    stream.write_at(5000, CONTENT.bytes(5000, 1)).await.unwrap();
    let Some(kwik_client::stream::PeerStream::Receive(mut public)) =
        rig.session.accept().await.unwrap()
    else {
        panic!("the primary's stream is one-way");
    };
    assert_eq!(public.id(), stream.id());
    read_until(&mut public, CONTENT, 0, 5001).await;
    stays_pending("the client was offered a stream", rig.session.accept()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_both_ends_keep_apart() {
    let mut rig = Rig::new().await;
    let mut ours = rig.session.open_bidirectional_stream().await.unwrap();
    ours.send(Content(1).bytes(0, 10)).await.unwrap();
    ours.finish().unwrap();
    let mut theirs = rig.primary.open_send_stream().await.unwrap();
    theirs.send(Content(2).bytes(0, 10)).await.unwrap();
    theirs.finish().unwrap();
    let mut accepted = rig.session.accept_receive_stream().await.unwrap().unwrap();
    assert_eq!(read_whole(&mut accepted, Content(2)).await, 10);
    let mut accepted = rig.primary.accept_bidirectional_stream().await.unwrap().unwrap();
    assert_eq!(read_whole(&mut accepted, Content(1)).await, 10);
}
