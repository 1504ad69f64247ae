//! R3: aggregation.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use kwik_server::{Delegate, LocalSupply};
use kwik_tests::bare::{Intermediary, messages};
use kwik_tests::{
    Attached, Content, Rig, SecondaryServer, certificate, contribute, identity, read_until, seed,
};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tokio::io::AsyncReadExt;

/// What a real secondary puts on the wire, read as protobuf by somebody else: each frame says whose byte it is and
/// where it goes.
#[tokio::test(flavor = "multi_thread")]
async fn r03_1_every_frame_names_its_stream_and_its_offset() {
    const CONTENT: Content = Content(31);
    let (key, public) = identity();
    let server = kwik_server::Server::builder().with_tls(certificate()).unwrap();
    let server = server.with_io("127.0.0.1:0").unwrap().with_identity(key).unwrap();
    let mut server = server.start().unwrap();
    let (address, pin) = (server.local_addr(), server.pin());
    let mut edge = SecondaryServer::start(&public);
    let spec = edge.spec();
    let (mut client, (secondary, stream)) =
        tokio::join!(Intermediary::connect(address, pin), async {
            let primary = server.accept().await.unwrap();
            primary.handle().add_path(spec).await.unwrap();
            let secondary = edge.acceptor.accept().await.unwrap();
            let stream = primary.handle().open_send_stream().await.unwrap();
            (secondary, (primary, stream))
        });
    let id = stream.1.id();
    client.pass_orders().await;
    let mut contribution = contribute(&secondary, id).await;
    for offset in [40_000, 100, 20_000] {
        contribution.write_at(offset, CONTENT.bytes(offset, 5_000)).await.unwrap();
    }
    let (carrier, (_, sent)) =
        tokio::join!(async { contribution.finish().await.unwrap() }, client.next_carrier());
    assert_eq!(carrier, ());
    let frames = messages(sent);
    let (header, frames) = frames.split_first().unwrap();
    assert_eq!((header[0].number, header[0].value), (1, id));
    let mut bytes = 0;
    for frame in frames {
        let [stream, offset, .., payload] = &frame[..] else { panic!("too few fields: {frame:?}") };
        assert_eq!((stream.number, stream.value), (1, id));
        assert_eq!((offset.number, payload.number), (2, 15));
        assert!(CONTENT.matches(offset.value, &payload.bytes), "not the bytes of {offset:?}");
        bytes += payload.bytes.len();
    }
    assert_eq!(bytes, 15_000);
}

/// A stream that the primary has begun, fed by so many secondaries.
async fn fed(secondaries: usize) -> (Rig, Vec<Attached>, kwik_server::stream::SendStream) {
    let mut rig = Rig::new().await;
    let mut attached = Vec::new();
    for _ in 0..secondaries {
        attached.push(rig.attach().await);
    }
    let stream = rig.primary.handle().open_send_stream().await.unwrap();
    (rig, attached, stream)
}

const CONTENT: Content = Content(32);
/// Below the first window of a stream, so that pieces may be sent in any order.
const SIZE: u64 = 2 << 20;

/// Cuts 0..SIZE into pieces of 1 byte to 20 kB, in a random order; each reaches into its neighbours by up to `overlap`.
fn pieces(random: &mut StdRng, overlap: u64) -> Vec<(u64, u64)> {
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < SIZE {
        let end = (at + random.random_range(1..=20_000)).min(SIZE);
        let (low, high) = (random.random_range(0..=overlap), random.random_range(0..=overlap));
        pieces.push((at.saturating_sub(low), (end + high).min(SIZE)));
        at = end;
    }
    pieces.shuffle(random);
    pieces
}

/// Sends every piece from `copies` random sources, all at once, and checks what the reader gets.
async fn scatter(mut random: StdRng, secondaries: usize, overlap: u64, copies: usize) {
    let (mut rig, attached, mut stream) = fed(secondaries).await;
    let mut plans = vec![Vec::new(); secondaries];
    for piece in pieces(&mut random, overlap) {
        for _ in 0..copies {
            plans[random.random_range(0..secondaries)].push(piece);
        }
    }
    stream.send(CONTENT.bytes(0, 1)).await.unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    let id = stream.id();
    let sending: Vec<_> = attached
        .into_iter()
        .zip(plans)
        .map(|(secondary, plan)| {
            tokio::spawn(async move {
                // Several contributions of one secondary, one after another.
                for part in plan.chunks(plan.len().div_ceil(3).max(1)) {
                    let mut contribution = contribute(&secondary.session, id).await;
                    for (start, end) in part {
                        let data = CONTENT.bytes(*start, (end - start) as usize);
                        contribution.write_at(*start, data).await.unwrap();
                    }
                    contribution.finish().await.unwrap();
                }
                secondary
            })
        })
        .collect();
    read_until(&mut public, CONTENT, 0, SIZE).await;
    for sending in sending {
        sending.await.unwrap();
    }
    let metrics = rig.session.metrics().await.unwrap();
    let per_path: Vec<u64> = metrics.paths.iter().map(|path| path.bytes).collect();
    assert_eq!(per_path.iter().sum::<u64>(), SIZE, "each byte counts once: {per_path:?}");
    assert!(per_path[1..].iter().all(|bytes| *bytes > 0), "all have contributed: {per_path:?}");
    assert_eq!(metrics.faults, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn r03_2_data_lands_at_its_offset() {
    scatter(seed(), 4, 0, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r03_3_eight_sources_that_overlap_make_one_stream() {
    scatter(seed(), 8, 5_000, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r03_4_the_content_of_three_servers_has_the_hash_of_the_whole() {
    const SIZE: u64 = 8 << 20;
    let mut rig = Rig::new().await;
    for _ in 0..3 {
        let spec = SecondaryServer::start(&rig.key).obey();
        let path = rig.primary.handle().add_path(spec).await.unwrap();
        rig.up(path).await;
    }
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    let order = Delegate::new(0..SIZE, CONTENT.resource());
    let order = order.with_local(Arc::new(CONTENT), LocalSupply::Fallback);
    stream.delegate(order).await.unwrap();
    stream.finish().unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    let mut hash = blake3::Hasher::new();
    while let Some(chunk) = public.receive().await.unwrap() {
        hash.update(&chunk);
    }
    assert_eq!(hash.finalize(), blake3::hash(&CONTENT.bytes(0, SIZE as usize)));
    let metrics = rig.session.metrics().await.unwrap();
    assert!(metrics.paths[1..].iter().all(|path| path.bytes > 0), "{metrics:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r03_5_the_reader_sees_one_ordinary_stream() {
    const SIZE: u64 = 3 << 20;
    let mut rig = Rig::new().await;
    let mut paths = Vec::new();
    for _ in 0..2 {
        let spec = SecondaryServer::start(&rig.key).obey();
        let path = rig.primary.handle().add_path(spec).await.unwrap();
        rig.up(path).await;
        paths.push(path);
    }
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    // From the primary, from one secondary, from the primary again, from the other.
    stream.send(CONTENT.bytes(0, 1000)).await.unwrap();
    let (middle, end) = (1 << 20, SIZE);
    let order = |start, end, path| {
        let order = Delegate::new(start..end, CONTENT.resource());
        order
            .with_paths(kwik_server::Paths::List(vec![path]))
            .with_local(Arc::new(CONTENT), LocalSupply::Fallback)
    };
    stream.delegate(order(1000, middle, paths[0])).await.unwrap();
    stream.send(CONTENT.bytes(middle, 5000)).await.unwrap();
    stream.delegate(order(middle + 5000, end, paths[1])).await.unwrap();
    stream.finish().unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    let mut all = Vec::new();
    public.read_to_end(&mut all).await.unwrap();
    assert!(all == CONTENT.bytes(0, SIZE as usize), "not the content");
}

/// Even and odd chunks come from two servers, none next to another: more than 10,000 frames that only together make a
/// stream.
#[tokio::test(flavor = "multi_thread")]
async fn even_and_odd_chunks_of_two_servers_are_coalesced() {
    // A client holds so many pieces apart as it allows for each 512 bytes of the window, and each hole counts as two.
    const CHUNK: u64 = 2_000;
    const CHUNKS: u64 = 10_400;
    let (mut rig, attached, mut stream) = fed(2).await;
    stream.send(CONTENT.bytes(0, 1)).await.unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    let id = stream.id();
    let sending: Vec<_> = (0..)
        .zip(attached)
        .map(|(first, secondary)| {
            tokio::spawn(async move {
                let mut contribution = contribute(&secondary.session, id).await;
                for chunk in (first..CHUNKS).step_by(2) {
                    let offset = chunk * CHUNK;
                    let data: Bytes = CONTENT.bytes(offset, CHUNK as usize);
                    contribution.write_at(offset, data).await.unwrap();
                }
                contribution.finish().await.unwrap();
                secondary
            })
        })
        .collect();
    read_until(&mut public, CONTENT, 0, CHUNK * CHUNKS).await;
    for sending in sending {
        sending.await.unwrap();
    }
    let metrics = rig.session.metrics().await.unwrap();
    let shares: Vec<u64> = metrics.paths[1..].iter().map(|path| path.bytes).collect();
    assert!(shares.iter().all(|bytes| *bytes >= CHUNK * (CHUNKS / 2 - 1)), "{shares:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_two_halves_comes_from_two_secondaries() {
    const HALF: u64 = 4 << 20;
    let mut rig = Rig::new().await;
    let mut paths = Vec::new();
    for _ in 0..2 {
        let spec = SecondaryServer::start(&rig.key).obey();
        let path = rig.primary.handle().add_path(spec).await.unwrap();
        rig.up(path).await;
        paths.push(path);
    }
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    for (half, path) in (0..).zip(paths) {
        let order = Delegate::new(half * HALF..(half + 1) * HALF, CONTENT.resource());
        stream.delegate(order.with_paths(kwik_server::Paths::List(vec![path]))).await.unwrap();
    }
    stream.finish().unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    read_until(&mut public, CONTENT, 0, 2 * HALF).await;
    assert_eq!(public.receive().await.unwrap(), None);
    let metrics = rig.session.metrics().await.unwrap();
    let shares: Vec<u64> = metrics.paths.iter().map(|path| path.bytes).collect();
    assert_eq!(shares, [0, HALF, HALF]);
}
