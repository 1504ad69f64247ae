//! R5: the mapping of secondaries' streams to those of the session.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use kwik_client::{ErrorCode, SessionMetrics};
use kwik_proto::frame::{ControlFrame, Mapping, MappingQuery, MappingSnapshot};
use kwik_proto::{ByteRange, DelegationId, StreamId};
use kwik_server::{ContributionError, Delegate, LocalSupply};
use kwik_tests::bare::{
    self, BareConnection, BareServer, contribution_frame, contribution_header, messages,
};
use kwik_tests::{
    Content, Gated, Rig, certificate, contribute, eventually, eventually_some, identity,
    read_until, read_whole,
};

/// Which stream each contribution feeds: (server's port, QUIC id) and the stream's id.
fn mappings(metrics: &SessionMetrics) -> BTreeSet<((u16, u64), u64)> {
    let of = |stream: &kwik_client::StreamMetrics| {
        let id = stream.id;
        let source = |source: &kwik_client::SourceMetrics| (source.address.port(), source.quic_id);
        stream.sources.iter().map(|it| (source(it), id)).collect::<Vec<_>>()
    };
    metrics.streams.iter().flat_map(of).collect()
}

/// Streams that the primary has begun with 100 bytes, of the content with their number, read so far.
async fn begun(
    rig: &mut Rig,
    count: u64,
) -> Vec<(kwik_server::stream::SendStream, kwik_client::stream::ReceiveStream)> {
    let mut streams = Vec::new();
    for key in 0..count {
        let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
        stream.send(Content(key).bytes(0, 100)).await.unwrap();
        let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
        read_until(&mut public, Content(key), 0, 100).await;
        streams.push((stream, public));
    }
    streams
}

#[tokio::test(flavor = "multi_thread")]
async fn r05_1_each_contribution_is_mapped_and_seen_in_the_metrics() {
    let mut rig = Rig::new().await;
    let (left, right) = (rig.attach().await, rig.attach().await);
    let mut streams = begun(&mut rig, 2).await;
    assert_eq!(mappings(&rig.session.metrics().await.unwrap()), BTreeSet::new());
    let mut open = Vec::new();
    for (secondary, stream, offset) in
        [(&left, 0, 100), (&left, 1, 100), (&right, 1, 200), (&right, 0, 200)]
    {
        let mut contribution = contribute(&secondary.session, streams[stream].0.id()).await;
        let data = Content(stream as u64).bytes(offset, 100);
        contribution.write_at(offset, data).await.unwrap();
        open.push(contribution);
    }
    for (key, (_, public)) in (0..).zip(&mut streams) {
        read_until(public, Content(key), 100, 300).await;
    }
    // Server-initiated one-way QUIC streams have the numbers 3, 7, 11, ... on each connection.
    let (left, right) =
        (left.server.acceptor.local_addr().port(), right.server.acceptor.local_addr().port());
    let (first, second) = (streams[0].0.id(), streams[1].0.id());
    let expected = BTreeSet::from([
        ((left, 3), first),
        ((left, 7), second),
        ((right, 3), second),
        ((right, 7), first),
    ]);
    let metrics = rig.session.metrics().await.unwrap();
    assert_eq!(mappings(&metrics), expected);
    let bytes: Vec<u64> =
        metrics.streams.iter().flat_map(|stream| &stream.sources).map(|it| it.bytes).collect();
    assert_eq!(bytes, [100; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn r05_2_data_follows_the_mapping() {
    const PIECE: u64 = 1000;
    let mut rig = Rig::new().await;
    let secondary = rig.attach().await;
    let mut streams = begun(&mut rig, 3).await;
    let mut contributions = Vec::new();
    for (stream, _) in &streams {
        contributions.push(contribute(&secondary.session, stream.id()).await);
    }
    // The same offsets for all, at the same time, on one connection: only the mapping tells them apart.
    for offset in (100..50_000).step_by(PIECE as usize) {
        for (key, contribution) in (0..).zip(&mut contributions) {
            let data = Content(key).bytes(offset, PIECE as usize);
            contribution.write_at(offset, data).await.unwrap();
        }
    }
    for (key, (_, public)) in (0..).zip(&mut streams) {
        read_until(public, Content(key), 100, 50_100).await;
    }
}

/// What a contribution's writer is told when nobody wants its bytes any more.
async fn write_error(contribution: &mut kwik_server::Contribution) -> ContributionError {
    let mut offset = 200;
    eventually_some("the writer is told", || {
        let told = now(contribution.write_at(offset, Content(0).bytes(offset, 1)));
        offset += 1;
        async move { told.and_then(Result::err) }
    })
    .await
}

/// What a future gives without waiting.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut cx) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r05_3_closing_a_stream_closes_its_contributions_everywhere() {
    let mut rig = Rig::new().await;
    let secondaries = [rig.attach().await, rig.attach().await];
    let mut streams = begun(&mut rig, 2).await;
    let (mut doomed, mut kept) = (Vec::new(), Vec::new());
    for secondary in &secondaries {
        for _ in 0..3 {
            let mut contribution = contribute(&secondary.session, streams[0].0.id()).await;
            contribution.write_at(100, Content(0).bytes(100, 10)).await.unwrap();
            doomed.push(contribution);
        }
        let mut contribution = contribute(&secondary.session, streams[1].0.id()).await;
        contribution.write_at(100, Content(1).bytes(100, 10)).await.unwrap();
        kept.push(contribution);
    }
    eventually("all are mapped", || async {
        mappings(&rig.session.metrics().await.unwrap()).len() == 8
    })
    .await;
    let (mut theirs, mut ours) = streams.remove(0);
    ours.stop_sending(kwik_client::application::Error::new(77).unwrap()).unwrap();
    for mut contribution in doomed {
        assert_eq!(write_error(&mut contribution).await, ContributionError::StreamClosed);
    }
    // The primary's writer is told as s2n-quic tells it: the client's own code.
    let mut offset = 100;
    let error = eventually_some("the primary's writer is told", || {
        let told = theirs.write_at(offset, Content(0).bytes(offset, 10));
        offset += 10;
        let told = now(told);
        async move { told.and_then(Result::err) }
    })
    .await;
    assert_eq!(error, kwik_core::stream::WriteError::Stopped { code: 77 });
    // Nothing of it is left, at either end; the other stream is as it was.
    for secondary in &secondaries {
        eventually("the secondary has one contribution", || async {
            secondary.session.metrics().await.unwrap().contributions == 1
        })
        .await;
    }
    eventually("the client has two mappings", || async {
        let metrics = rig.session.metrics().await.unwrap();
        mappings(&metrics).len() == 2
            && metrics.streams.iter().filter(|stream| stream.is_open).count() == 1
    })
    .await;
    for contribution in &mut kept {
        contribution.write_at(110, Content(1).bytes(110, 10)).await.unwrap();
    }
    read_until(&mut streams[0].1, Content(1), 100, 120).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r05_3_a_reset_by_the_primary_reaches_the_writers_too() {
    let mut rig = Rig::new().await;
    let secondary = rig.attach().await;
    let mut streams = begun(&mut rig, 1).await;
    let mut contribution = contribute(&secondary.session, streams[0].0.id()).await;
    contribution.write_at(100, Content(0).bytes(100, 10)).await.unwrap();
    read_until(&mut streams[0].1, Content(0), 100, 110).await;
    streams[0].0.reset(kwik_server::application::Error::new(5).unwrap()).unwrap();
    let error = streams[0].1.receive().await.unwrap_err();
    let code = kwik_client::application::Error::new(5).unwrap();
    assert!(
        matches!(error, kwik_client::stream::Error::StreamReset { error, .. } if error == code)
    );
    assert_eq!(write_error(&mut contribution).await, ContributionError::StreamClosed);
    eventually("nothing is left", || async {
        let metrics = rig.session.metrics().await.unwrap();
        !metrics.streams.iter().any(|stream| stream.is_open) && metrics.paths[1].contributions == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r05_4_one_contribution_less_leaves_the_stream_to_the_others() {
    let mut rig = Rig::new().await;
    let (left, right) = (rig.attach().await, rig.attach().await);
    let mut streams = begun(&mut rig, 1).await;
    let id = streams[0].0.id();
    let mut ending = contribute(&left.session, id).await;
    ending.write_at(100, Content(0).bytes(100, 100)).await.unwrap();
    let mut staying = contribute(&right.session, id).await;
    staying.write_at(200, Content(0).bytes(200, 100)).await.unwrap();
    read_until(&mut streams[0].1, Content(0), 100, 300).await;
    assert_eq!(mappings(&rig.session.metrics().await.unwrap()).len(), 2);
    ending.finish().await.unwrap();
    let right = right.server.acceptor.local_addr().port();
    eventually("one mapping is left", || async {
        mappings(&rig.session.metrics().await.unwrap()) == BTreeSet::from([((right, 3), id)])
    })
    .await;
    staying.write_at(300, Content(0).bytes(300, 100)).await.unwrap();
    read_until(&mut streams[0].1, Content(0), 300, 400).await;
}

/// A session with a bare secondary that has grants for two streams.
async fn doubtful()
-> (Rig, BareConnection, Vec<(kwik_server::stream::SendStream, kwik_client::stream::ReceiveStream)>)
{
    let mut rig = Rig::new().await;
    let mut bare = BareServer::start();
    let path = rig.primary.handle().add_path(bare.spec(true)).await.unwrap();
    let (mut secondary, _) = bare.accept_as_secondary(&rig.key).await;
    rig.up(path).await;
    let streams = begun(&mut rig, 2).await;
    secondary.granted(streams[1].0.id()).await;
    (rig, secondary, streams)
}

async fn query(secondary: &mut BareConnection) -> MappingQuery {
    loop {
        if let ControlFrame::MappingQuery(query) = secondary.next().await {
            return query;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r05_5_a_mapping_that_its_server_explains_is_put_right() {
    let (rig, mut secondary, mut streams) = doubtful().await;
    let (first, second) = (streams[0].0.id(), streams[1].0.id());
    let mut carrier = secondary.contribute(first).await;
    carrier.write(contribution_frame(first, 100, &Content(0).bytes(100, 50))).await;
    read_until(&mut streams[0].1, Content(0), 100, 150).await;
    // The carrier now names another stream than it began with. Its server is asked, and says that this is right.
    carrier.write(contribution_frame(second, 100, &Content(1).bytes(100, 50))).await;
    let asked = query(&mut secondary).await;
    assert_eq!(asked.carriers, [carrier.id()]);
    let stream = StreamId::from_wire(second).unwrap();
    let mapping = Mapping { carrier: carrier.id(), stream, delegation: None, promised: None };
    let mappings = vec![mapping];
    secondary.send(ControlFrame::MappingSnapshot(MappingSnapshot { query: asked.query, mappings }));
    // What was sent before the answer is lost, and sent again; what follows it lands where it belongs.
    let port = rig.session.metrics().await.unwrap().paths[1].address.port();
    eventually("the mapping is put right", || async {
        let metrics = rig.session.metrics().await.unwrap();
        self::mappings(&metrics).contains(&((port, carrier.id()), second))
    })
    .await;
    carrier.write(contribution_frame(second, 100, &Content(1).bytes(100, 100))).await;
    read_until(&mut streams[1].1, Content(1), 100, 200).await;
    let metrics = rig.session.metrics().await.unwrap();
    let faults: Vec<_> = metrics.faults.iter().map(|fault| (fault.code, fault.count)).collect();
    assert_eq!(faults, [(ErrorCode::Mapping, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn r05_5_what_is_not_explained_is_isolated_and_asked_for_again() {
    const SIZE: u64 = 400_000;
    const CONTENT: Content = Content(55);
    let mut rig = Rig::new().await;
    let mut bare = BareServer::start();
    let path = rig.primary.handle().add_path(bare.spec(false)).await.unwrap();
    let (mut secondary, _) = bare.accept_as_secondary(&rig.key).await;
    rig.up(path).await;
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    let order = Delegate::new(0..SIZE, CONTENT.resource());
    let (gate, copy) = Gated::new(CONTENT);
    let order = order.with_local(copy, LocalSupply::Fallback);
    stream.delegate(order).await.unwrap();
    stream.finish().unwrap();
    let lying = tokio::spawn(async move {
        // The first range: half of it is right, then another stream's name.
        let order = secondary.next_delegation().await;
        let (id, start) = (order.stream.value(), order.range.start().value());
        let promised = Some((
            DelegationId(order.id.0),
            ByteRange::new(order.range.start(), order.range.end()).unwrap(),
        ));
        let mut carrier = secondary.open().await;
        carrier.write(contribution_header(id, promised)).await;
        carrier.write(contribution_frame(id, start, &CONTENT.bytes(start, 1000))).await;
        carrier.write(contribution_frame(id + 4, start + 1000, b"lost its way")).await;
        let asked = query(&mut secondary).await;
        let snapshot = MappingSnapshot { query: asked.query, mappings: Vec::new() };
        secondary.send(ControlFrame::MappingSnapshot(snapshot));
        let refusal = carrier.refusal().await;
        drop(gate);
        (refusal, secondary)
    });
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    assert_eq!(read_whole(&mut public, CONTENT).await, SIZE);
    let (code, _secondary) = lying.await.unwrap();
    assert_eq!(code, ErrorCode::Mapping);
    let metrics = rig.session.metrics().await.unwrap();
    assert!(metrics.repairs > 0, "the range was asked for again");
    // Suspect for a moment, if the machine held it up.
    eventually("the path stays", || async {
        rig.session.metrics().await.unwrap().paths[1].state == "live"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r05_5_a_mapping_to_a_stream_that_nobody_announced_is_refused() {
    let (rig, mut secondary, mut streams) = doubtful().await;
    let frame = contribution_frame(399, 0, b"for nobody");
    let mut carrier = secondary.contribute_at_once(399, frame).await;
    let asked = query(&mut secondary).await;
    assert_eq!(asked.carriers, [carrier.id()]);
    // No answer: after two round trips the contribution is isolated.
    assert_eq!(carrier.refusal().await, ErrorCode::Mapping);
    let id = streams[0].0.id();
    let mut carrier = secondary.contribute(id).await;
    carrier.write(contribution_frame(id, 100, &Content(0).bytes(100, 100))).await;
    read_until(&mut streams[0].1, Content(0), 100, 200).await;
    assert_eq!(rig.session.metrics().await.unwrap().streams.len(), 2);
}

/// The primary contributes too, where it sends its own copy of a delegated range, and answers for it as a secondary does.
#[tokio::test(flavor = "multi_thread")]
async fn r05_5_a_primary_explains_what_it_supplies_itself() {
    let (key, _) = identity();
    let server = kwik_server::Server::builder().with_tls(certificate()).unwrap();
    let server = server.with_io("127.0.0.1:0").unwrap().with_identity(key).unwrap();
    let mut server = server.start().unwrap();
    let mut client = bare::connect(server.local_addr(), server.pin()).await;
    client.send(ControlFrame::Hello(bare::hello()));
    let primary = server.accept().await.unwrap();
    let mut stream = primary.handle().open_send_stream().await.unwrap();
    let order = Delegate::new(0..60_000, Content(5).resource());
    let (_gate, copy) = Gated::new(Content(5));
    stream.delegate(order.with_local(copy, LocalSupply::Fallback)).await.unwrap();
    let (mut stream_of, mut open) = (None, Vec::new());
    while stream_of.is_none() {
        let mut carrier = client.acceptor.accept_receive_stream().await.unwrap().unwrap();
        let header = &messages(first_message(&mut carrier).await)[0];
        // Kind 2 is a contribution.
        if header.iter().any(|field| (field.number, field.value) == (2, 2)) {
            stream_of = Some((carrier.id(), header[0].value));
        }
        open.push(carrier);
    }
    let (carrier, stream_id) = stream_of.unwrap();
    assert_eq!(stream_id, stream.id());
    client.send(ControlFrame::MappingQuery(MappingQuery { query: 9, carriers: vec![carrier] }));
    let snapshot = loop {
        if let ControlFrame::MappingSnapshot(snapshot) = client.next().await {
            break snapshot;
        }
    };
    let said: Vec<_> = snapshot.mappings.iter().map(|it| (it.carrier, it.stream.value())).collect();
    assert_eq!((snapshot.query, said), (9, vec![(carrier, stream_id)]));
}

/// The bytes of a carrier's first message, which is short enough for one byte of length.
async fn first_message(carrier: &mut s2n_quic::stream::ReceiveStream) -> bytes::Bytes {
    let mut bytes = bytes::BytesMut::new();
    loop {
        if let Some(length) = bytes.first().map(|length| usize::from(*length) + 1)
            && bytes.len() >= length
        {
            return bytes.split_to(length).freeze();
        }
        bytes.extend_from_slice(&carrier.receive().await.unwrap().unwrap());
    }
}
