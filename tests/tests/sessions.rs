//! What servers do with their sessions: messages, grants, positioned writes, paths that come and go.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use kwik_client::{Client, Connect, Pin};
use kwik_core::delegation::DelegateError as OrderError;
use kwik_core::stream::{DelegateError as ReserveError, WriteError};
use kwik_proto::{ByteRange, Offset};
use kwik_server::stream::Error;
use kwik_server::{
    AddPathError, ContributionError, ContributionOpenError, Delegate, DelegateError, Event, PathId,
    PathSpec, PathState, Server, ServerIdentity,
};
use kwik_tests::{
    Content, Rig, SecondaryServer, certificate, contribute, eventually, identity, read_until,
    read_whole, stays_pending,
};

/// The largest message.
const LARGEST: usize = 64 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_through_the_client_both_ways() {
    let mut rig = Rig::new().await;
    let (mut left, mut right) = (rig.attach().await, rig.attach().await);
    let large = Bytes::from(vec![0; LARGEST]);
    // Each to whom it is for, in order, of any size.
    for message in ["one".into(), large.clone(), "two".into()] {
        assert!(rig.primary.send_message(left.path, message.clone()).await);
        assert_eq!(left.session.receive_message().await.unwrap(), message);
    }
    assert!(rig.primary.send_message(right.path, "to the right".into()).await);
    assert_eq!(right.session.receive_message().await.unwrap(), "to the right");
    // And back, with the path that it came on.
    assert!(left.session.send_message("from the left".into()).await.unwrap());
    let received = rig.primary.receive_message().await.unwrap();
    assert_eq!(received, (left.path, Bytes::from("from the left")));
    assert!(right.session.send_message(large.clone()).await.unwrap());
    assert_eq!(rig.primary.receive_message().await.unwrap(), (right.path, large));
    // To nobody, without a byte, or with too many: either end says so.
    assert!(!rig.primary.send_message(PathId::new(99), "x".into()).await);
    for wrong in [Bytes::new(), Bytes::from(vec![0; LARGEST + 1])] {
        assert!(!rig.primary.send_message(left.path, wrong.clone()).await);
        assert!(!left.session.send_message(wrong).await.unwrap());
    }
    // The client's application met nothing of it.
    stays_pending("the client was offered a stream", rig.session.accept()).await;
}

/// Messages have a credit of their own: an application that takes none stops those that send, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_nobody_takes_hold_nothing_back() {
    const CONTENT: Content = Content(80);
    let mut rig = Rig::new().await;
    let mut secondary = rig.attach().await;
    let message = Bytes::from(vec![1; LARGEST]);
    let mut sent = 0;
    while rig.primary.send_message(secondary.path, message.clone()).await {
        sent += 1;
        assert!(sent < 10_000, "the queue has no end");
    }
    let mut stream = rig.primary.open_send_stream().await.unwrap();
    stream.send(CONTENT.bytes(0, 100)).await.unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    let mut contribution = contribute(&secondary.session, stream.id()).await;
    contribution.write_at(100, CONTENT.bytes(100, 100)).await.unwrap();
    read_until(&mut public, CONTENT, 0, 200).await;
    for _ in 0..sent {
        assert_eq!(secondary.session.receive_message().await.unwrap(), message);
    }
    // There is room again.
    eventually("a message is taken again", || async {
        rig.primary.send_message(secondary.path, "more".into()).await
    })
    .await;
    assert_eq!(secondary.session.receive_message().await.unwrap(), "more");
}

#[tokio::test(flavor = "multi_thread")]
async fn positioned_writes_go_anywhere_in_the_window_and_nowhere_else() {
    const CONTENT: Content = Content(81);
    let mut rig = Rig::new().await;
    let mut stream = rig.primary.open_send_stream().await.unwrap();
    let window = stream.window();
    assert!(window >= 64 << 10);
    // From the back to the front.
    for offset in (0..10_u64).rev().map(|turn| turn * 1000) {
        stream.write_at(offset, CONTENT.bytes(offset, 1000)).await.unwrap();
    }
    assert_eq!(stream.position(), 10_000);
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    read_until(&mut public, CONTENT, 0, 10_000).await;
    // Up to the window's end, with a hole before it, and not one byte further.
    let window = stream.window();
    let beyond = stream.write_at(window - 9, CONTENT.bytes(window - 9, 10)).await.unwrap_err();
    assert!(matches!(beyond, WriteError::BeyondWindow { end, .. } if end.value() == window + 1));
    let far = stream.write_at(1 << 60, CONTENT.bytes(0, 10)).await.unwrap_err();
    assert!(matches!(far, WriteError::BeyondWindow { .. }), "{far}");
    stream.write_at(20_000, CONTENT.bytes(20_000, 1000)).await.unwrap();
    // Nothing twice.
    let range = ByteRange::new(Offset::new(20_000).unwrap(), Offset::new(20_010).unwrap()).unwrap();
    let twice = stream.write_at(19_990, CONTENT.bytes(19_990, 20)).await.unwrap_err();
    assert_eq!(twice, WriteError::Overlap { range });
    // The hole has to be filled before the end.
    let hole = stream.finish().unwrap_err();
    assert!(matches!(hole, Error::Missing { offset: 10_000, len: 10_000, .. }), "{hole:?}");
    stream.write_at(10_000, CONTENT.bytes(10_000, 10_000)).await.unwrap();
    stream.send(CONTENT.bytes(21_000, 10)).await.unwrap();
    stream.finish().unwrap();
    read_until(&mut public, CONTENT, 10_000, 21_010).await;
    assert_eq!(public.receive().await.unwrap(), None);
    let late = stream.write_at(21_010, CONTENT.bytes(21_010, 1)).await.unwrap_err();
    assert_eq!(late, WriteError::Finished);
}

/// Bytes far ahead are queued and never in the way of those that are next.
#[tokio::test(flavor = "multi_thread")]
async fn a_far_write_does_not_block_the_head() {
    const CONTENT: Content = Content(82);
    let mut rig = Rig::new().await;
    let mut stream = rig.primary.open_send_stream().await.unwrap();
    let mut end = stream.window();
    let first = end / 2;
    stream.write_at(first, CONTENT.bytes(first, (end - first) as usize)).await.unwrap();
    stream.write_at(0, CONTENT.bytes(0, first as usize)).await.unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    read_until(&mut public, CONTENT, 0, end).await;
    // The window has moved with the reader.
    eventually("the window moves", || {
        let moved = stream.window() > end;
        async move { moved }
    })
    .await;
    let more = stream.window();
    stream.write_at(end, CONTENT.bytes(end, (more - end) as usize)).await.unwrap();
    end = more;
    stream.finish().unwrap();
    read_until(&mut public, CONTENT, first * 2, end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_for_its_path_stream_and_range() {
    const CONTENT: Content = Content(83);
    let mut rig = Rig::new().await;
    let mut servers = [SecondaryServer::start(&rig.key), SecondaryServer::start(&rig.key)];
    let (mut paths, mut sessions) = (Vec::new(), Vec::new());
    for server in &mut servers {
        let spec = PathSpec { grant_all: false, ..server.spec() };
        let path = rig.primary.add_path(spec).await.unwrap();
        sessions.push(server.acceptor.accept().await.unwrap());
        rig.up(path).await;
        paths.push(path);
    }
    let mut stream = rig.primary.open_send_stream().await.unwrap();
    let mut other = rig.primary.open_send_stream().await.unwrap();
    for (stream, content) in [(&mut stream, CONTENT), (&mut other, Content(84))] {
        stream.send(content.bytes(0, 100)).await.unwrap();
    }
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    // What can't be granted.
    assert!(!stream.grant(PathId::new(99), 0..10).await, "there is no such path");
    assert!(!rig.primary.grant(paths[0], 399, 0..10).await, "there is no such stream");
    assert!(!rig.primary.grant(paths[0], u64::MAX, 0..10).await, "that is no stream");
    assert!(!stream.grant(paths[0], 10..10).await, "that is no range");
    // What can, to one of two.
    assert!(stream.grant(paths[0], 100..200).await);
    let mut contribution = contribute(&sessions[0], stream.id()).await;
    assert_eq!(contribution.allowed(), 100..200);
    let refused = sessions[1].open_stream(stream.id()).await.unwrap_err();
    assert!(matches!(refused, ContributionOpenError::Rule(_)), "{refused}");
    let refused = sessions[0].open_stream(other.id()).await.unwrap_err();
    assert!(matches!(refused, ContributionOpenError::Rule(_)), "{refused}");
    // Not before it, not behind it; a write outside costs nothing.
    for offset in [99, 191, 200, 1 << 40] {
        let outside = contribution.write_at(offset, CONTENT.bytes(offset, 10)).await.unwrap_err();
        assert!(matches!(outside, ContributionError::OutsideGrant { .. }), "at {offset}");
    }
    contribution.write_at(100, CONTENT.bytes(100, 100)).await.unwrap();
    contribution.finish().await.unwrap();
    read_until(&mut public, CONTENT, 0, 200).await;
    // An open-ended one reaches as far as the window.
    assert!(rig.primary.grant(paths[1], stream.id(), 200..).await);
    let mut contribution = contribute(&sessions[1], stream.id()).await;
    assert_eq!(contribution.allowed().start, 200);
    contribution.write_at(200, CONTENT.bytes(200, 50_000)).await.unwrap();
    read_until(&mut public, CONTENT, 200, 50_200).await;
}

/// Waits for the end of a path.
async fn down(rig: &mut Rig, path: PathId) {
    loop {
        match rig.primary.next_event().await.unwrap() {
            Event::PathDown(down, ..) if down == path => return,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_path_finishes_what_it_accepted_and_gets_no_more() {
    const CONTENT: Content = Content(85);
    const SIZE: u64 = 2_000_000;
    let mut rig = Rig::new().await;
    let mut secondary = rig.attach().await;
    let mut stream = rig.primary.open_send_stream().await.unwrap();
    stream.delegate(Delegate::new(0..SIZE, CONTENT.resource())).await.unwrap();
    stream.finish().unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    let order = secondary.session.next_delegation().await.unwrap().unwrap();
    let range = order.range();
    assert!(range.end < SIZE, "something is left for another: {range:?}");
    let mut contribution = order.accept().await.unwrap();
    contribution.write_at(range.start, CONTENT.bytes(range.start, 1000)).await.unwrap();
    read_until(&mut public, CONTENT, 0, 1000).await;

    assert!(rig.primary.remove_path(secondary.path).await);
    assert!(!rig.primary.remove_path(secondary.path).await, "it is removed already");
    assert_eq!(rig.primary.paths().await, [], "it is not among the session's paths any more");
    // What was accepted still arrives.
    let rest = (range.end - 1000) as usize;
    contribution.write_at(1000, CONTENT.bytes(1000, rest)).await.unwrap();
    // The client closes the path once it has everything, perhaps before this end has heard that it has.
    let finished = contribution.finish().await;
    assert!(matches!(finished, Ok(()) | Err(ContributionError::Connection(_))), "{finished:?}");
    read_until(&mut public, CONTENT, 1000, range.end).await;
    // What was ordered before and not accepted goes back. Then its session is over, in order.
    while let Some(order) = secondary.session.next_delegation().await.unwrap() {
        let late = order.range();
        assert!(late.start >= range.end && late.end < SIZE, "{late:?}");
        order.refuse(kwik_server::Refusal::Busy);
    }
    eventually("the path is gone", || async {
        rig.session.metrics().await.unwrap().paths[1].state == "gone"
    })
    .await;
    // The session goes on with another.
    let spec = SecondaryServer::start(&rig.key).obey();
    let path = rig.primary.add_path(spec).await.unwrap();
    assert_ne!(path, secondary.path, "numbers of paths are not used again");
    assert_eq!(read_from(&mut public, CONTENT, range.end).await, SIZE);
}

async fn read_from(
    stream: &mut kwik_client::stream::ReceiveStream,
    content: Content,
    mut at: u64,
) -> u64 {
    while let Some(chunk) = stream.receive().await.unwrap() {
        assert!(content.matches(at, &chunk), "wrong bytes at {at}");
        at += chunk.len() as u64;
    }
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_reported_by_what_became_of_them() {
    let mut rig = Rig::new().await;
    let up = rig.attach().await;
    // Nobody is there; and somebody else is.
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let spec = |address, pin| PathSpec {
        addresses: vec![address],
        identity: ServerIdentity::Pin(pin),
        grant_all: false,
    };
    let dialing = rig.primary.add_path(spec(nobody.local_addr().unwrap(), [1; 32])).await.unwrap();
    let wrong = spec(up.server.acceptor.local_addr(), [2; 32]);
    let dead = rig.primary.add_path(wrong).await.unwrap();
    down(&mut rig, dead).await;
    let states: Vec<_> = rig.primary.paths().await.iter().map(|it| (it.path, it.state)).collect();
    assert_eq!(states[0], (up.path, PathState::Live));
    assert_eq!(states[1].0, dialing);
    assert!(!matches!(states[1].1, PathState::Live | PathState::Gone), "{states:?}");
    assert_eq!(states[2], (dead, PathState::Gone));
    let only = |paths: Vec<kwik_server::PathReport>| paths.iter().map(|it| it.path).collect();
    let active: Vec<PathId> = only(rig.primary.active_paths().await);
    let gone: Vec<PathId> = only(rig.primary.dead_paths().await);
    assert_eq!((active, gone), (vec![up.path], vec![dead]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_an_identity_adds_no_path() {
    let mut server = Server::builder().with_tls(certificate()).unwrap();
    server = server.with_io(("127.0.0.1", 0)).unwrap();
    let mut server = server.start().unwrap();
    let client = Client::builder().with_tls(server.pin()).unwrap().start().unwrap();
    let (session, primary) =
        tokio::join!(client.connect(Connect::new(server.local_addr())), server.accept());
    let (_session, primary) = (session.unwrap(), primary.unwrap());
    let spec = SecondaryServer::start(&identity().1).spec();
    assert_eq!(primary.add_path(spec).await.unwrap_err(), AddPathError::NoIdentity);
}

/// Two servers, each primary of its own client and secondary of the other's, at the same time on one port.
#[tokio::test(flavor = "multi_thread")]
async fn one_server_is_primary_and_secondary_at_once() {
    const SIZE: u64 = 300_000;
    let keys = [identity(), identity()];
    let publics = [keys[1].1.clone(), keys[0].1.clone()];
    let (mut acceptors, mut specs, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for ((key, _), trusted) in keys.into_iter().zip(publics) {
        let server = Server::builder().with_tls(certificate()).unwrap();
        let server = server.with_io("127.0.0.1:0").unwrap().with_identity(key).unwrap();
        let server = server.with_trusted_primaries([trusted]).unwrap().start().unwrap();
        let pin: Pin = server.pin();
        targets.push((server.local_addr(), pin));
        let (primaries, secondaries) = server.split();
        acceptors.push(primaries);
        specs.push(SecondaryServer::of(secondaries, pin).obey());
    }
    specs.reverse();
    let mut clients = Vec::new();
    for (key, ((mut primaries, spec), (address, pin))) in
        (86..).zip(acceptors.into_iter().zip(specs).zip(targets))
    {
        let content = Content(key);
        tokio::spawn(async move {
            let session = primaries.accept().await.unwrap();
            session.add_path(spec).await.unwrap();
            let mut stream = session.handle().open_send_stream().await.unwrap();
            stream.send(content.bytes(0, 10)).await.unwrap();
            stream.delegate(Delegate::new(10..SIZE, content.resource())).await.unwrap();
            stream.finish().unwrap();
            session.handle().closed().await;
        });
        clients.push(tokio::spawn(async move {
            let client = Client::builder().with_tls(pin).unwrap().start().unwrap();
            let mut session = client.connect(Connect::new(address)).await.unwrap();
            let mut stream = session.accept_receive_stream().await.unwrap().unwrap();
            assert_eq!(read_whole(&mut stream, content).await, SIZE);
            let metrics = session.metrics().await.unwrap();
            (metrics.paths[0].bytes, metrics.paths[1].bytes)
        }));
    }
    for client in clients {
        assert_eq!(client.await.unwrap(), (10, SIZE - 10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delegated_is_said_and_changes_nothing() {
    const CONTENT: Content = Content(88);
    let mut rig = Rig::new().await;
    let mut stream = rig.primary.open_send_stream().await.unwrap();
    stream.send(CONTENT.bytes(0, 1000)).await.unwrap();
    let delegate = |range| Delegate::new(range, CONTENT.resource());
    #[allow(clippy::reversed_empty_ranges)]
    let backwards = stream.delegate(delegate(3000..2000)).await.unwrap_err();
    assert_eq!(backwards, DelegateError::Range { start: 3000, end: 2000 });
    let huge = stream.delegate(delegate(1000..1 << 62)).await.unwrap_err();
    assert!(matches!(huge, DelegateError::Range { .. }), "{huge}");
    let behind = stream.delegate(delegate(999..2000)).await.unwrap_err();
    assert!(matches!(behind, DelegateError::Reserve(ReserveError::BehindPosition { .. })));
    let empty = stream.delegate(delegate(1000..1000)).await.unwrap_err();
    assert!(matches!(empty, DelegateError::Order(OrderError::Empty)), "{empty}");
    assert_eq!(stream.position(), 1000);
    stream.finish().unwrap();
    let closed = stream.delegate(delegate(1000..2000)).await.unwrap_err();
    assert!(matches!(closed, DelegateError::Reserve(ReserveError::Closed)), "{closed}");
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    assert_eq!(read_whole(&mut public, CONTENT).await, 1000);
}
