//! R4: the protocol between servers and client.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kwik_client::ErrorCode;
use kwik_proto::frame::GapReason;
use kwik_proto::{ByteRange, DelegationId};
use kwik_server::{Delegate, LocalSupply};
use kwik_tests::bare::{
    BareConnection, BareServer, Carrier, Field, Intermediary, contribution_frame,
    contribution_header, messages,
};
use kwik_tests::{
    Content, Rig, SecondaryServer, certificate, contribute, eventually, identity, read_until,
    read_whole,
};

const CONTENT: Content = Content(4);

/// What a real secondary sends for a stream: its header first, then frames.
async fn captured() -> (u64, Vec<Vec<Field>>) {
    let (key, public) = identity();
    let server = kwik_server::Server::builder().with_tls(certificate()).unwrap();
    let server = server.with_io("127.0.0.1:0").unwrap().with_identity(key).unwrap();
    let mut server = server.start().unwrap();
    let (address, pin) = (server.local_addr(), server.pin());
    let mut edge = SecondaryServer::start(&public);
    let spec = edge.spec();
    let (mut client, (secondary, _primary, stream)) =
        tokio::join!(Intermediary::connect(address, pin), async {
            let primary = server.accept().await.unwrap();
            primary.handle().add_path(spec).await.unwrap();
            let secondary = edge.acceptor.accept().await.unwrap();
            let stream = primary.handle().open_send_stream().await.unwrap();
            (secondary, primary, stream)
        });
    client.pass_orders().await;
    let mut contribution = contribute(&secondary, stream.id()).await;
    contribution.write_at(1000, CONTENT.bytes(1000, 20_000)).await.unwrap();
    let finishing = async { contribution.finish().await.unwrap() };
    let ((), (_, sent)) = tokio::join!(finishing, client.next_carrier());
    (stream.id(), messages(sent))
}

#[tokio::test(flavor = "multi_thread")]
async fn r04_1_the_first_message_names_the_stream() {
    let (stream, messages) = captured().await;
    let header = &messages[0];
    assert_eq!((header[0].number, header[0].value), (1, stream));
    assert!(header.iter().all(|field| field.number != 15), "a header has no payload: {header:?}");

    // Without it a contribution is nothing: it is refused, whatever follows.
    let mut bench = Bench::new().await;
    let mut carrier = bench.secondary.open().await;
    carrier.write(contribution_frame(bench.stream.id(), 100, b"no header before")).await;
    assert_eq!(carrier.refusal().await, ErrorCode::HeaderMissing);
    bench.goes_on(&[ErrorCode::HeaderMissing]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r04_2_a_frame_is_data_with_stream_and_offset_around_it() {
    let (stream, messages) = captured().await;
    let mut next = 1000;
    for frame in &messages[1..] {
        let numbers: Vec<u64> = frame.iter().map(|field| field.number).collect();
        assert_eq!(numbers, [1, 2, 4, 15], "stream, offset, checksum, and last the payload");
        assert_eq!((frame[0].value, frame[1].value), (stream, next));
        assert!(CONTENT.matches(next, &frame[3].bytes));
        next += frame[3].bytes.len() as u64;
    }
    assert_eq!(next, 21_000);

    // And it is the offset in the frame that counts, not the order of arrival.
    let mut bench = Bench::new().await;
    let id = bench.stream.id();
    let mut carrier = bench.secondary.contribute(id).await;
    for offset in [500, 400, 300, 200, 100] {
        carrier.write(contribution_frame(id, offset, &CONTENT.bytes(offset, 100))).await;
    }
    read_until(&mut bench.public, CONTENT, 100, 600).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r04_3_one_secondary_feeds_five_streams_at_once() {
    const SIZE: u64 = 200_000;
    let mut rig = Rig::new().await;
    let secondary = rig.attach().await;
    let (mut streams, mut contributions) = (Vec::new(), Vec::new());
    for key in 0..5 {
        let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
        stream.send(Content(key).bytes(0, 1)).await.unwrap();
        contributions.push(contribute(&secondary.session, stream.id()).await);
        let public = rig.session.accept_receive_stream().await.unwrap().unwrap();
        assert_eq!(public.id(), stream.id());
        streams.push((stream, public));
    }
    // Round and round, so that the contributions are on the wire side by side.
    for offset in (1..SIZE).step_by(5000) {
        let length = (SIZE - offset).min(5000) as usize;
        for (key, contribution) in (0..).zip(&mut contributions) {
            let data = Content(key).bytes(offset, length);
            contribution.write_at(offset, data).await.unwrap();
        }
    }
    eventually("all five are there", || async {
        rig.session.metrics().await.unwrap().paths[1].contributions == 5
    })
    .await;
    for (key, (_, public)) in (0..).zip(&mut streams) {
        read_until(public, Content(key), 0, SIZE).await;
    }
}

/// The fields of a message in `proto/`, which is the one definition.
fn defined(message: &str) -> BTreeSet<u64> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/kwik/v1/data.proto");
    let text = std::fs::read_to_string(path).unwrap();
    let body = text.split(&format!("message {message} {{")).nth(1).unwrap();
    let body = body.split("\n}").next().unwrap();
    let fields = body.lines().filter(|line| !line.trim_start().starts_with("//"));
    fields.filter_map(|line| line.split(" = ").nth(1)?.trim_end_matches(';').parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r04_4_all_that_is_sent_is_defined_in_one_place() {
    let (_, messages) = captured().await;
    let numbers = |message: &[Field]| message.iter().map(|field| field.number).collect();
    let header: BTreeSet<u64> = numbers(&messages[0]);
    assert_eq!(defined("StreamHeader"), BTreeSet::from([1, 2, 3, 4]));
    assert!(header.is_subset(&defined("StreamHeader")), "{header:?}");
    assert_eq!(defined("DataFrame"), BTreeSet::from([1, 2, 3, 4, 15]));
    assert!(messages.len() > 1);
    for frame in &messages[1..] {
        let frame: BTreeSet<u64> = numbers(frame);
        assert!(frame.is_subset(&defined("DataFrame")), "{frame:?}");
    }
}

/// A session whose one secondary does what the test tells it to.
struct Bench {
    rig: Rig,
    secondary: BareConnection,
    stream: kwik_server::stream::SendStream,
    public: kwik_client::stream::ReceiveStream,
}

impl Bench {
    async fn new() -> Self {
        let mut rig = Rig::new().await;
        let mut bare = BareServer::start();
        let path = rig.primary.handle().add_path(bare.spec(true)).await.unwrap();
        let (mut secondary, _) = bare.accept_as_secondary(&rig.key).await;
        rig.up(path).await;
        let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
        stream.send(CONTENT.bytes(0, 100)).await.unwrap();
        let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
        read_until(&mut public, CONTENT, 0, 100).await;
        secondary.granted(stream.id()).await;
        Self { rig, secondary, stream, public }
    }

    /// The stream ends with the right bytes, the path still counts, and the faults are those.
    async fn goes_on(mut self, faults: &[ErrorCode]) {
        let id = self.stream.id();
        let mut carrier = self.secondary.contribute(id).await;
        carrier.write(contribution_frame(id, 100, &CONTENT.bytes(100, 100))).await;
        carrier.finish().await;
        read_until(&mut self.public, CONTENT, 100, 200).await;
        self.stream.write_at(100, CONTENT.bytes(100, 1000)).await.unwrap();
        self.stream.finish().unwrap();
        let mut rest = Vec::new();
        while let Some(chunk) = self.public.receive().await.unwrap() {
            rest.extend_from_slice(&chunk);
        }
        assert!(rest == CONTENT.bytes(200, 900), "{} wrong bytes", rest.len());
        let metrics = self.rig.session.metrics().await.unwrap();
        let counted: Vec<ErrorCode> = metrics.faults.iter().map(|fault| fault.code).collect();
        assert_eq!(counted, faults);
        assert!(metrics.faults.iter().all(|fault| fault.address == metrics.paths[1].address));
        assert_eq!(metrics.paths[1].state, "live");
    }
}

/// A message that says it is that long.
fn announced(length: u64, rest: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    let mut left = length;
    while left >= 0x80 {
        out.put_u8(left as u8 | 0x80);
        left >>= 7;
    }
    out.put_u8(left as u8);
    out.extend_from_slice(rest);
    out.freeze()
}

async fn after_header(bench: &mut Bench, bytes: Bytes) -> Carrier {
    let mut carrier = bench.secondary.contribute(bench.stream.id()).await;
    carrier.write(bytes).await;
    carrier
}

#[tokio::test(flavor = "multi_thread")]
async fn r04_5_malformed_frames_cost_their_contribution_alone() {
    let id = 3;
    let whole = contribution_frame(id, 300, &CONTENT.bytes(300, 100));
    let mut without_checksum = BytesMut::new();
    without_checksum.extend_from_slice(&[8, 8, 3, 16, 100, 15 << 3 | 2, 2, b'h', b'i']);
    let malformed: [(&str, Bytes); 5] = [
        ("a field number of zero", Bytes::from_static(&[4, 0, 0, 0, 0])),
        ("no checksum", without_checksum.freeze()),
        ("a frame of 1 MiB", announced(1 << 20, &[8, 3])),
        ("a frame of 2^60 bytes", announced(1 << 60, &[8, 3])),
        ("a varint without an end", Bytes::from_static(&[0xff; 16])),
    ];
    for (what, bytes) in malformed {
        let mut bench = Bench::new().await;
        let mut carrier = after_header(&mut bench, bytes).await;
        assert_eq!(carrier.refusal().await, ErrorCode::FrameEncoding, "{what}");
        bench.goes_on(&[ErrorCode::FrameEncoding]).await;
    }
    // Truncated: the carrier ends within a frame.
    let mut bench = Bench::new().await;
    let mut carrier = after_header(&mut bench, whole.slice(..50)).await;
    carrier.finish().await;
    bench.goes_on(&[ErrorCode::FrameEncoding]).await;
    // Reset within a frame: that is allowed.
    let mut bench = Bench::new().await;
    let mut carrier = after_header(&mut bench, whole.slice(..50)).await;
    carrier.0.flush().await.unwrap();
    carrier.0.reset(s2n_quic::application::Error::new(9).unwrap()).unwrap();
    bench.goes_on(&[]).await;
    // A header that is none.
    let mut bench = Bench::new().await;
    let mut carrier = bench.secondary.open().await;
    carrier.write(announced(5000, &[8, 3])).await;
    assert_eq!(carrier.refusal().await, ErrorCode::HeaderMissing);
    bench.goes_on(&[ErrorCode::HeaderMissing]).await;
    // Bytes that changed on the way: the frame is dropped.
    let mut bench = Bench::new().await;
    let mut damaged = BytesMut::from(&whole[..]);
    *damaged.last_mut().unwrap() ^= 1;
    let mut carrier = after_header(&mut bench, damaged.freeze()).await;
    assert_eq!(carrier.refusal().await, ErrorCode::Checksum);
    bench.goes_on(&[ErrorCode::Checksum]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r04_5_a_silent_secondary_is_made_good_by_the_primarys_copy() {
    const SIZE: u64 = 1 << 20;
    let mut rig = Rig::new().await;
    let mut bare = BareServer::start();
    let path = rig.primary.handle().add_path(bare.spec(false)).await.unwrap();
    let (mut secondary, _) = bare.accept_as_secondary(&rig.key).await;
    rig.up(path).await;
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    let order = Delegate::new(0..SIZE, CONTENT.resource());
    let order = order.with_local(Arc::new(CONTENT), LocalSupply::Fallback);
    stream.delegate(order).await.unwrap();
    stream.finish().unwrap();
    // It takes orders and promises; one it begins, to say no more.
    let silent = tokio::spawn(async move {
        let first = secondary.next_delegation().await;
        let mut carrier = secondary.open().await;
        let promised = Some((
            DelegationId(first.id.0),
            ByteRange::new(first.range.start(), first.range.end()).unwrap(),
        ));
        carrier.write(contribution_header(first.stream.value(), promised)).await;
        loop {
            secondary.next_delegation().await;
        }
    });
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    assert_eq!(read_whole(&mut public, CONTENT).await, SIZE);
    assert!(rig.session.metrics().await.unwrap().repairs > 0);
    silent.abort();
}

/// A reason that is one of the application's own, not a fault: a refusal names it, and others send the range.
#[tokio::test(flavor = "multi_thread")]
async fn r04_5_a_secondary_that_fails_says_so_and_others_send() {
    let mut rig = Rig::new().await;
    let mut failing = rig.attach().await;
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    let order = Delegate::new(0..100_000, CONTENT.resource());
    let order = order.with_local(Arc::new(CONTENT), LocalSupply::Fallback);
    stream.delegate(order).await.unwrap();
    stream.finish().unwrap();
    let first = failing.session.next_delegation().await.unwrap().unwrap();
    first.refuse(kwik_server::Refusal::Failed);
    let refusing = tokio::spawn(async move {
        while let Ok(Some(order)) = failing.session.next_delegation().await {
            order.refuse(kwik_server::Refusal::NotFound);
        }
    });
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    assert_eq!(read_whole(&mut public, CONTENT).await, 100_000);
    assert_eq!(GapReason::from(kwik_server::Refusal::Failed), GapReason::SourceFailed);
    refusing.abort();
}
