//! Peers that break the rules: each is refused with a code that says why, counted, and disturbs nothing else.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use kwik_client::{Client, Connect, ConnectError, ErrorCode, Pin};
use kwik_core::admission::{Claims, TokenId};
use kwik_core::time::WallTime;
use kwik_io::env::Env;
use kwik_io::key::IdentityKey;
use kwik_io::sign::ConfirmationKey;
use kwik_io::tls::{Trust, client_config};
use kwik_io::token;
use kwik_proto::frame::{
    AddPath, AddPathResult, Admission, ControlFrame, Hello, Ping, Pong, ServerIdentity,
    StreamWindow,
};
use kwik_proto::{Epoch, Offset, PathId, SessionId, StreamId};
use kwik_server::{Event, PathSpec};
use kwik_tests::bare::{
    self, BareConnection, BareServer, Carrier, contribution_frame, public_frame, public_header,
};
use kwik_tests::{
    Content, Rig, SecondaryServer, contribute, eventually, identity, read_until, read_whole,
    stays_pending,
};

const CONTENT: Content = Content(66);

/// A session with a secondary that keeps no rule, and one that keeps all.
struct Bench {
    rig: Rig,
    offender: BareConnection,
    honest: kwik_tests::Attached,
    stream: kwik_server::stream::SendStream,
    public: kwik_client::stream::ReceiveStream,
    at: u64,
}

impl Bench {
    async fn new(grant_all: bool) -> Self {
        let mut rig = Rig::new().await;
        let honest = rig.attach().await;
        let mut server = BareServer::start();
        let path = rig.primary.handle().add_path(server.spec(grant_all)).await.unwrap();
        let (mut offender, _) = server.accept_as_secondary(&rig.key).await;
        rig.up(path).await;
        let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
        stream.send(CONTENT.bytes(0, 100)).await.unwrap();
        let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
        read_until(&mut public, CONTENT, 0, 100).await;
        if grant_all {
            offender.granted(stream.id()).await;
        }
        Self { rig, offender, honest, stream, public, at: 100 }
    }

    /// The offender's carrier is stopped with `code`, that is counted once against it, and the session is as it was.
    async fn refused(&mut self, mut carrier: Carrier, code: ErrorCode) {
        assert_eq!(carrier.refusal().await, code);
        self.counted(code).await;
    }

    async fn counted(&mut self, code: ErrorCode) {
        eventually("the fault is counted", || async {
            let metrics = self.rig.session.metrics().await.unwrap();
            let faults: Vec<_> =
                metrics.faults.iter().map(|it| (it.address, it.code, it.count)).collect();
            faults == [(metrics.paths[2].address, code, 1)]
        })
        .await;
        self.undisturbed().await;
    }

    /// Both servers' bytes still arrive, both paths are up, and the reader met nothing else.
    async fn undisturbed(&mut self) {
        let mut contribution = contribute(&self.honest.session, self.stream.id()).await;
        contribution.write_at(self.at, CONTENT.bytes(self.at, 100)).await.unwrap();
        contribution.finish().await.unwrap();
        self.stream.write_at(self.at + 100, CONTENT.bytes(self.at + 100, 100)).await.unwrap();
        read_until(&mut self.public, CONTENT, self.at, self.at + 200).await;
        self.at += 200;
        let metrics = self.rig.session.metrics().await.unwrap();
        assert_eq!((metrics.paths[1].state, metrics.paths[2].state), ("live", "live"));
        stays_pending("a stream was offered", self.rig.session.accept()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_without_a_header_is_refused() {
    let mut bench = Bench::new(true).await;
    let mut carrier = bench.offender.open().await;
    carrier.write(contribution_frame(bench.stream.id(), 100, b"who am I?")).await;
    bench.refused(carrier, ErrorCode::HeaderMissing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_to_an_unknown_stream_is_isolated() {
    let mut bench = Bench::new(true).await;
    let mut carrier = bench.offender.contribute(395).await;
    carrier.write(contribution_frame(395, 0, b"nobody knows it")).await;
    bench.refused(carrier, ErrorCode::Mapping).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_to_what_the_client_sends_is_refused() {
    let mut bench = Bench::new(true).await;
    let upload = bench.rig.session.handle().open_send_stream().await.unwrap();
    let carrier = bench.offender.contribute(upload.id()).await;
    bench.refused(carrier, ErrorCode::StreamState).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_to_a_closed_stream_is_refused() {
    let mut bench = Bench::new(true).await;
    let mut over = bench.rig.primary.handle().open_send_stream().await.unwrap();
    over.send(CONTENT.bytes(0, 10)).await.unwrap();
    over.finish().unwrap();
    let mut read = bench.rig.session.accept_receive_stream().await.unwrap().unwrap();
    assert_eq!(read_whole(&mut read, CONTENT).await, 10);
    let id = over.id();
    eventually("the stream is over", || async {
        let metrics = bench.rig.session.metrics().await.unwrap();
        metrics.streams.iter().all(|stream| stream.id != id)
    })
    .await;
    let carrier = bench.offender.contribute(id).await;
    bench.refused(carrier, ErrorCode::StreamClosed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_past_the_final_size_is_refused() {
    let mut bench = Bench::new(true).await;
    // Finished by the primary, not read to its end yet.
    let mut ended = bench.rig.primary.handle().open_send_stream().await.unwrap();
    ended.send(CONTENT.bytes(0, 1000)).await.unwrap();
    ended.finish().unwrap();
    let mut read = bench.rig.session.accept_receive_stream().await.unwrap().unwrap();
    bench.offender.granted(ended.id()).await;
    eventually("the end has arrived", || async {
        let metrics = bench.rig.session.metrics().await.unwrap();
        metrics.streams[1].bytes.iter().map(|(_, bytes)| bytes).sum::<u64>() == 1000
    })
    .await;
    let mut carrier = bench.offender.contribute(ended.id()).await;
    carrier.write(contribution_frame(ended.id(), 995, b"0123456789")).await;
    bench.refused(carrier, ErrorCode::FinalSize).await;
    assert_eq!(read_whole(&mut read, CONTENT).await, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_outside_every_grant_is_refused() {
    // Nothing was granted at all.
    let mut bench = Bench::new(false).await;
    let carrier = bench.offender.contribute(bench.stream.id()).await;
    bench.refused(carrier, ErrorCode::NotGranted).await;
    // A little was.
    let mut bench = Bench::new(false).await;
    let path = bench.rig.primary.handle().paths().await[1].path;
    assert!(bench.rig.primary.handle().grant(path, bench.stream.id(), 100..200).await);
    bench.offender.granted(bench.stream.id()).await;
    let mut carrier = bench.offender.contribute(bench.stream.id()).await;
    carrier.write(contribution_frame(bench.stream.id(), 150, &CONTENT.bytes(150, 51))).await;
    bench.refused(carrier, ErrorCode::NotGranted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_beyond_the_window_is_refused() {
    let mut bench = Bench::new(true).await;
    let mut carrier = bench.offender.contribute(bench.stream.id()).await;
    carrier.write(contribution_frame(bench.stream.id(), 1 << 40, b"far beyond")).await;
    bench.refused(carrier, ErrorCode::FlowControl).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_that_changes_its_stream_is_isolated() {
    let mut bench = Bench::new(true).await;
    let id = bench.stream.id();
    let mut carrier = bench.offender.contribute(id).await;
    carrier.write(contribution_frame(id, 100, &CONTENT.bytes(100, 20))).await;
    carrier.write(contribution_frame(id + 4, 120, b"elsewhere")).await;
    bench.refused(carrier, ErrorCode::Mapping).await;
}

/// A public stream is the primary's to open.
#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_opens_a_public_stream_is_refused() {
    let mut bench = Bench::new(true).await;
    let mut carrier = bench.offender.open().await;
    carrier.write(public_header(7)).await;
    bench.refused(carrier, ErrorCode::NotGranted).await;
}

/// QUIC gives it no stream to open: by its limits, before any rule of KWIK's.
#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_gets_no_bidirectional_stream() {
    let mut bench = Bench::new(true).await;
    let mut handle = bench.offender.handle.clone();
    let opening = tokio::spawn(async move { handle.open_bidirectional_stream().await.is_ok() });
    bench.undisturbed().await;
    bench.undisturbed().await;
    assert!(!opening.is_finished(), "the client has given credit for a bidirectional stream");
    opening.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_breaks_the_control_plane_loses_its_path_alone() {
    let mut bench = Bench::new(true).await;
    // Only a primary tells to remove paths.
    let remove = kwik_proto::frame::RemovePath { path: PathId::new(1), drain_ms: 0 };
    bench.offender.send(ControlFrame::RemovePath(remove));
    loop {
        let event = bench.rig.primary.next_event().await.unwrap();
        if let Event::PathDown(path, Some(code), _) = event {
            assert_eq!((path.value(), code), (2, ErrorCode::ProtocolViolation));
            break;
        }
    }
    let metrics = bench.rig.session.metrics().await.unwrap();
    assert_eq!((metrics.paths[1].state, metrics.paths[2].state), ("live", "gone"));
    let mut contribution = contribute(&bench.honest.session, bench.stream.id()).await;
    contribution.write_at(100, CONTENT.bytes(100, 100)).await.unwrap();
    read_until(&mut bench.public, CONTENT, 100, 200).await;
}

/// A client's session with a primary that keeps no rule, and one stream of it.
async fn with_bare_primary() -> (kwik_client::Session, BareConnection, Carrier, Client) {
    let mut server = BareServer::start();
    let client = Client::builder().with_tls(server.pin()).unwrap().start().unwrap();
    let connecting = client.connect(Connect::new(server.address()));
    let (session, (mut primary, _)) = tokio::join!(connecting, server.accept_as_primary());
    let mut carrier = primary.open().await;
    carrier.write(public_header(3)).await;
    carrier.write(public_frame(3, 0, &CONTENT.bytes(0, 100), false)).await;
    // The server has to last as long as its connection.
    tokio::spawn(async move {
        server.accept().await;
    });
    (session.unwrap(), primary, carrier, client)
}

async fn result(primary: &mut BareConnection) -> AddPathResult {
    loop {
        if let ControlFrame::AddPathResult(result) = primary.next().await {
            return result;
        }
    }
}

fn add(path: u16, address: SocketAddr, identity: ServerIdentity) -> ControlFrame {
    let (path, epoch, addresses) = (PathId::new(path), Epoch::FIRST, vec![address]);
    ControlFrame::AddPath(AddPath { path, epoch, addresses, identity, token: "v4.public.x".into() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_floods_with_paths_gets_sixteen() {
    const FLOOD: u16 = 3000;
    let (mut session, mut primary, mut carrier, _client) = with_bare_primary().await;
    let mut public = session.accept_receive_stream().await.unwrap().unwrap();
    // Nobody answers there, so that the sixteen keep their places.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    for path in 1..=FLOOD {
        primary.send(add(path, address, ServerIdentity::Pin([1; 32])));
        if path % 100 == 0 {
            primary.sender.flushed().await.unwrap();
        }
    }
    for _ in 16..FLOOD {
        let refused = result(&mut primary).await;
        assert!(refused.path.value() > 16, "{refused:?}");
        assert_eq!(refused.code, ErrorCode::LimitExceeded);
    }
    let metrics = session.metrics().await.unwrap();
    assert_eq!(metrics.paths.len(), 1 + 16);
    let faults: Vec<_> = metrics.faults.iter().map(|it| (it.address, it.code, it.count)).collect();
    let refused = u64::from(FLOOD) - 16;
    assert_eq!(faults, [(metrics.paths[0].address, ErrorCode::LimitExceeded, refused)]);
    carrier.write(public_frame(3, 100, &CONTENT.bytes(100, 100), true)).await;
    assert_eq!(read_whole(&mut public, CONTENT).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_and_names_that_the_policy_forbids_are_never_dialled() {
    let (mut session, mut primary, mut carrier, _client) = with_bare_primary().await;
    let mut public = session.accept_receive_stream().await.unwrap().unwrap();
    let pin = ServerIdentity::Pin([1; 32]);
    let name = |name: &str| ServerIdentity::Name(name.to_owned());
    let local: SocketAddr = "127.0.0.1:4433".parse().unwrap();
    let forbidden = [
        ("0.0.0.0:4433".parse().unwrap(), pin.clone()),
        ("224.0.0.1:4433".parse().unwrap(), pin.clone()),
        ("255.255.255.255:4433".parse().unwrap(), pin.clone()),
        ("[ff02::1]:4433".parse().unwrap(), pin),
        (local, name("edge\0.example")),
        (local, name("-edge.example")),
        (local, name("edge..example")),
        (local, name("1.2.3.4.5")),
    ];
    let count = forbidden.len() as u64;
    for (path, (address, identity)) in (1..).zip(forbidden) {
        primary.send(add(path, address, identity.clone()));
        let refused = result(&mut primary).await;
        let expected = (path, ErrorCode::PathPolicy);
        assert_eq!((refused.path.value(), refused.code), expected, "{address} {identity:?}");
    }
    let metrics = session.metrics().await.unwrap();
    assert_eq!(metrics.paths.len(), 1, "no path came of it");
    assert_eq!((metrics.faults[0].code, metrics.faults[0].count), (ErrorCode::PathPolicy, count));
    carrier.write(public_frame(3, 100, &CONTENT.bytes(100, 100), true)).await;
    assert_eq!(read_whole(&mut public, CONTENT).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_protocol_is_turned_away_and_counted() {
    let mut rig = Rig::new().await;
    let (mut config, _) = client_config(&Env::system(), &Trust::Pin(rig.server.pin())).unwrap();
    config.alpn_protocols = vec![b"h3".to_vec()];
    let tls = s2n_quic::provider::tls::rustls::Client::from(config);
    let limits = s2n_quic::provider::limits::Limits::new()
        .with_max_handshake_duration(Duration::from_millis(500))
        .unwrap();
    let stranger = s2n_quic::Client::builder().with_tls(tls).unwrap();
    let stranger = stranger.with_limits(limits).unwrap().with_io("127.0.0.1:0").unwrap();
    let stranger = stranger.start().unwrap();
    let connect = s2n_quic::client::Connect::new(rig.server.local_addr());
    assert!(stranger.connect(connect.with_server_name("localhost")).await.is_err());
    assert!(rig.server.metrics().rejected_handshakes > 0);
    assert_eq!(rig.server.metrics().primary_sessions, 1);
    works(&mut rig).await;
}

/// The session of the rig is as good as ever.
async fn works(rig: &mut Rig) {
    let mut stream = rig.session.open_bidirectional_stream().await.unwrap();
    stream.send(CONTENT.bytes(0, 1000)).await.unwrap();
    stream.finish().unwrap();
    let mut theirs = rig.primary.accept_bidirectional_stream().await.unwrap().unwrap();
    assert_eq!(read_whole(&mut theirs, CONTENT).await, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_version_is_refused_and_counted() {
    let mut rig = Rig::new().await;
    let mut stranger = bare::connect(rig.server.local_addr(), rig.server.pin()).await;
    stranger.send(ControlFrame::Hello(Hello { versions: vec![99], ..bare::hello() }));
    assert_eq!(stranger.refusal().await, ErrorCode::VersionNegotiation);
    let refused = rig.server.metrics().refused;
    assert_eq!(refused.get(&ErrorCode::VersionNegotiation), Some(&1));
    works(&mut rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_begin_with_hello_is_refused_and_counted() {
    let mut rig = Rig::new().await;
    let mut stranger = bare::connect(rig.server.local_addr(), rig.server.pin()).await;
    stranger.send(ControlFrame::Ping(Ping { nonce: 1 }));
    assert_eq!(stranger.refusal().await, ErrorCode::ProtocolViolation);
    let refused = rig.server.metrics().refused;
    assert_eq!(refused.get(&ErrorCode::ProtocolViolation), Some(&1));
    works(&mut rig).await;
}

/// A token for `server` that is as it should be.
fn claims(server: Pin, owner: &ConfirmationKey) -> Claims {
    let now = Env::system().wall();
    Claims {
        session: SessionId([9; 16]),
        path: PathId::new(1),
        epoch: Epoch::FIRST,
        audience: ServerIdentity::Pin(server.0),
        not_before: now,
        expires: WallTime(now.0 + 60),
        confirmation_key: owner.public(),
        token_id: TokenId(Env::system().random()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_the_clients_own_admit_nobody() {
    let (key, public) = identity();
    let (other_key, _) = identity();
    let mut edge = SecondaryServer::start(&public);
    let address = edge.acceptor.local_addr();
    let ServerIdentity::Pin(pin) = edge.spec().identity else { panic!("it has a pin") };
    let env = Env::system();
    let (owner, thief) = (ConfirmationKey::generate(&env), ConfirmationKey::generate(&env));
    let good = claims(Pin(pin), &owner);
    let past = WallTime(good.not_before.0 - 1000);
    let expired = Claims { not_before: past, expires: WallTime(past.0 + 60), ..good.clone() };
    let ahead = WallTime(good.not_before.0 + 1000);
    let early = Claims { not_before: ahead, expires: WallTime(ahead.0 + 60), ..good.clone() };
    let eternal = Claims { expires: WallTime(good.expires.0 + 100_000), ..good.clone() };
    let foreign = Claims { audience: ServerIdentity::Pin([3; 32]), ..good.clone() };
    let by_name = Claims { audience: ServerIdentity::Name("localhost".into()), ..good.clone() };
    let sign = |key: &IdentityKey, claims: &Claims| token::sign(key, claims).unwrap();
    let mut tampered = sign(&key, &good);
    let middle = tampered.len() / 2;
    let swapped = if tampered.as_bytes()[middle] == b'A' { "B" } else { "A" };
    tampered.replace_range(middle..=middle, swapped);
    let cases = [
        ("forged", sign(&other_key, &good), &owner, ErrorCode::TokenInvalid),
        ("tampered", tampered, &owner, ErrorCode::TokenInvalid),
        ("expired", sign(&key, &expired), &owner, ErrorCode::TokenExpired),
        ("not valid yet", sign(&key, &early), &owner, ErrorCode::TokenExpired),
        ("too long a life", sign(&key, &eternal), &owner, ErrorCode::TokenInvalid),
        ("another server's", sign(&key, &foreign), &owner, ErrorCode::TokenAudience),
        ("another name's", sign(&key, &by_name), &owner, ErrorCode::TokenAudience),
        ("stolen", sign(&key, &good), &thief, ErrorCode::TokenProof),
    ];
    let (mut expected, good_token) = (std::collections::BTreeMap::new(), sign(&key, &good));
    for (what, token, prover, code) in cases {
        let mut client = bare::connect(address, Pin(pin)).await;
        let proof = prover.prove(&token, &client.exporter);
        let admission = Some(Admission { token, proof });
        client.send(ControlFrame::Hello(Hello { admission, ..bare::hello() }));
        assert_eq!(client.refusal().await, code, "{what}");
        *expected.entry(code).or_default() += 1;
    }
    // No token at all: a Hello whose admission has another field instead.
    let mut silent = bare::dial(address, Pin(pin)).await.connection;
    let mut control = silent.open_bidirectional_stream().await.unwrap();
    let admission = Some(Admission { token: "x".into(), proof: [1; 64] });
    let mut encoded = bytes::BytesMut::new();
    ControlFrame::Hello(Hello { admission, ..bare::hello() }).encode(&mut encoded);
    let token = encoded.windows(3).position(|field| field == [1 << 3 | 2, 1, b'x']).unwrap();
    encoded[token] = 15 << 3 | 2;
    control.send(encoded.freeze()).await.unwrap();
    let (mut reader, _sender, _writer) = kwik_io::control::split(control);
    let code = match reader.recv().await {
        Ok(Some(ControlFrame::Refuse(refuse))) => refuse.code,
        Err(kwik_io::control::ControlError::Stream(error)) => bare::closing_code(error),
        other => panic!("expected a refusal, not {other:?}"),
    };
    assert_eq!(code, ErrorCode::TokenMissing);
    expected.insert(ErrorCode::TokenMissing, 1);
    assert_eq!(edge.acceptor.metrics().refused, expected);
    assert_eq!(edge.acceptor.metrics().secondary_sessions, 0);
    // The good one admits its owner, once; a copy with the very same proof comes too late and from elsewhere.
    for (what, code) in [("good", None), ("used before", Some(ErrorCode::TokenReplayed))] {
        let mut client = bare::connect(address, Pin(pin)).await;
        let proof = owner.prove(&good_token, &client.exporter);
        let admission = Some(Admission { token: good_token.clone(), proof });
        client.send(ControlFrame::Hello(Hello { admission, ..bare::hello() }));
        match code {
            Some(code) => assert_eq!(client.refusal().await, code, "{what}"),
            None => {
                assert!(matches!(client.next().await, ControlFrame::Welcome(_)), "{what}");
                edge.acceptor.accept().await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_serves_no_client_without_a_token() {
    let (_, public) = identity();
    let edge = SecondaryServer::start(&public);
    let ServerIdentity::Pin(pin) = edge.spec().identity else { panic!("it has a pin") };
    // A Hello without admission makes a session in which the server is primary: not one in which it contributes.
    let mut client = bare::connect(edge.acceptor.local_addr(), Pin(pin)).await;
    client.send(ControlFrame::Hello(bare::hello()));
    assert!(matches!(client.next().await, ControlFrame::Welcome(_)));
    let metrics = edge.acceptor.metrics();
    assert_eq!((metrics.primary_sessions, metrics.secondary_sessions), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_with_another_pin_is_not_connected_to() {
    let mut rig = Rig::new().await;
    let client = Client::builder().with_tls(Pin([5; 32])).unwrap().start().unwrap();
    let error = client.connect(Connect::new(rig.server.local_addr())).await.unwrap_err();
    let ConnectError::Dial(error) = error else { panic!("{error}") };
    assert!(matches!(error, kwik_io::endpoint::DialError::Identity { .. }), "{error}");
    works(&mut rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_with_another_pin_gets_no_payload() {
    let mut rig = Rig::new().await;
    let edge = SecondaryServer::start(&rig.key);
    let wrong = PathSpec { identity: ServerIdentity::Pin([5; 32]), ..edge.spec() };
    let path = rig.primary.handle().add_path(wrong).await.unwrap();
    loop {
        if let Event::PathDown(down, code, detail) = rig.primary.next_event().await.unwrap() {
            assert_eq!((down, code), (path, Some(ErrorCode::IdentityMismatch)), "{detail}");
            break;
        }
    }
    let metrics = rig.session.metrics().await.unwrap();
    assert_eq!((metrics.paths[1].state, metrics.paths[1].bytes), ("gone", 0));
    let fault = metrics.faults[0];
    assert_eq!(
        (fault.address, fault.code),
        (metrics.paths[1].address, ErrorCode::IdentityMismatch)
    );
    let seen = edge.acceptor.metrics();
    assert_eq!((seen.secondary_sessions, seen.primary_sessions), (0, 0));
    works(&mut rig).await;
}

/// A control stream of a client, written byte for byte.
struct Raw {
    control: s2n_quic::stream::BidirectionalStream,
    decoder: kwik_proto::control::ControlDecoder,
    connection: s2n_quic::Connection,
}

impl Raw {
    async fn connect(rig: &Rig) -> Self {
        let mut connection = bare::dial(rig.server.local_addr(), rig.server.pin()).await.connection;
        let control = connection.open_bidirectional_stream().await.unwrap();
        Self { control, decoder: kwik_proto::control::ControlDecoder::new(), connection }
    }

    async fn send(&mut self, message: &[&[u8]]) {
        let message = message.concat();
        let length = [u8::try_from(message.len()).unwrap()];
        self.control.send([&length[..], &message].concat().into()).await.unwrap();
    }

    async fn next(&mut self) -> ControlFrame {
        loop {
            if let Some(frame) = self.decoder.poll().unwrap() {
                return frame;
            }
            self.decoder.push(self.control.receive().await.unwrap().unwrap());
        }
    }

    /// The code with which the server closes.
    async fn closed(&mut self) -> ErrorCode {
        loop {
            if let Some(frame) = self.decoder.poll().unwrap() {
                let ControlFrame::SessionClose(close) = frame else { continue };
                return close.code;
            }
            match self.control.receive().await {
                Ok(chunk) => self.decoder.push(chunk.unwrap()),
                Err(error) => return bare::closing_code(error),
            }
        }
    }
}

/// A Hello of a client that speaks versions 3, 2 and 1 and features 7 and 300, in which every message has a field that
/// version 1 does not know (200, two bytes).
const NEWER_HELLO: [&[u8]; 5] = [
    &[0x08, 1, 0x12, 30],
    &[0x0a, 3, 3, 2, 1, 0x12, 3, 7, 0xac, 2],
    &[0x1a, 13, 0x08, 9, 0x10, 9, 0x18, 0x80, 0x80, 4, 0xc2, 0x0c, 2, 1, 2],
    &[0xc2, 0x0c, 2, 1, 2],
    &[0xc2, 0x0c, 2, 1, 2],
];

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_client_gets_what_both_speak() {
    let mut rig = Rig::new().await;
    let mut newer = Raw::connect(&rig).await;
    newer.send(&NEWER_HELLO).await;
    // A frame of a later version that may be passed over, and a Ping.
    newer.send(&[&[0x82, 0x0d, 3, 1, 2, 3]]).await;
    newer.send(&[&[0xba, 1, 2, 0x08, 7]]).await;
    let ControlFrame::Welcome(welcome) = newer.next().await else { panic!("no Welcome") };
    assert_eq!((welcome.version, &welcome.features[..]), (1, &[][..]));
    let pong = ControlFrame::Pong(Pong { nonce: 7 });
    assert_eq!(newer.next().await, pong);
    // Header and frame with fields of a later version; what they say in this one counts.
    let mut carrier = newer.connection.open_send_stream().await.unwrap();
    let header = [&[9, 0x08, 2, 0x10, 1][..], &[0xc2, 0x0c, 2, 1, 2]].concat();
    let frame = [&[10, 0x08, 2, 0x70, 9, 0x18, 1, 0x7a, 2][..], b"ok"].concat();
    carrier.send([header, frame].concat().into()).await.unwrap();
    let mut session = rig.server.accept().await.unwrap();
    let mut stream = session.accept_receive_stream().await.unwrap().unwrap();
    assert_eq!(stream.receive().await.unwrap().as_deref(), Some(&b"ok"[..]));
    assert_eq!(stream.receive().await.unwrap(), None);
    works(&mut rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_client_insists_on_is_refused() {
    let mut rig = Rig::new().await;
    let mut newer = Raw::connect(&rig).await;
    newer.send(&NEWER_HELLO).await;
    newer.send(&[&[0x08, 1, 0x82, 0x0d, 3, 1, 2, 3]]).await;
    assert_eq!(newer.closed().await, ErrorCode::UnknownCriticalFrame);
    works(&mut rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ends_its_control_stream_loses_its_session() {
    let mut rig = Rig::new().await;
    let mut rude = Raw::connect(&rig).await;
    rude.send(&NEWER_HELLO).await;
    assert!(matches!(rude.next().await, ControlFrame::Welcome(_)));
    rude.control.finish().unwrap();
    assert_eq!(rude.closed().await, ErrorCode::ProtocolViolation);
    works(&mut rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_broken_upload_fails_alone() {
    let mut rig = Rig::new().await;
    let mut client = bare::connect(rig.server.local_addr(), rig.server.pin()).await;
    client.send(ControlFrame::Hello(bare::hello()));
    assert!(matches!(client.next().await, ControlFrame::Welcome(_)));
    let mut session = rig.server.accept().await.unwrap();
    let mut good = client.open().await;
    good.write(public_header(2)).await;
    good.write(public_frame(2, 0, b"be", false)).await;
    let mut read = session.accept_receive_stream().await.unwrap().unwrap();
    assert_eq!(read.receive().await.unwrap().as_deref(), Some(&b"be"[..]));
    // No final size; bytes that are no frame; a frame of another stream.
    let broken: [(&[u8], Option<ErrorCode>); 3] = [
        (b"", None),
        (&[0xff; 20], Some(ErrorCode::FrameEncoding)),
        (&public_frame(2, 0, b"theirs", false), Some(ErrorCode::Mapping)),
    ];
    for (id, (bytes, code)) in [6, 10, 14].into_iter().zip(broken) {
        let mut upload = client.open().await;
        upload.write(public_header(id)).await;
        upload.write(public_frame(id, 0, b"some", false)).await;
        let mut stream = session.accept_receive_stream().await.unwrap().unwrap();
        assert_eq!(stream.receive().await.unwrap().as_deref(), Some(&b"some"[..]));
        if bytes.is_empty() {
            upload.0.finish().unwrap();
        } else {
            upload.write(bytes.to_vec().into()).await;
        }
        assert!(stream.receive().await.is_err(), "its reader waits for ever");
        if code == Some(ErrorCode::FrameEncoding) {
            assert_eq!(upload.refusal().await, ErrorCode::FrameEncoding);
        }
    }
    good.write(public_frame(2, 2, b"fore", true)).await;
    assert_eq!(read.receive().await.unwrap().as_deref(), Some(&b"fore"[..]));
    works(&mut rig).await;
}

/// Bytes of a large answer: 64 MiB, or as many MiB as `KWIK_ANSWER_MIB` says.
fn answer() -> u64 {
    let mib = std::env::var("KWIK_ANSWER_MIB").ok().and_then(|text| text.parse().ok());
    mib.unwrap_or(64) << 20
}

/// The primary never reads a hundred uploads of this client, whose windows are full; the answer that it asks for comes
/// all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_unread_uploads_hold_back_no_answer() {
    let answer = answer();
    let (chunk, mut at) = (bytes::Bytes::from(vec![7; 1 << 20]), 0);
    let mut rig = Rig::new().await;
    let mut handle = rig.session.handle();
    let mut uploads = Vec::new();
    for _ in 0..100 {
        let mut upload = handle.open_send_stream().await.unwrap();
        uploads.push(tokio::spawn(async move {
            loop {
                upload.send(bytes::Bytes::from(vec![1; 64 * 1024])).await.unwrap();
            }
        }));
    }
    let mut stream = rig.session.open_bidirectional_stream().await.unwrap();
    stream.send("much, please".into()).await.unwrap();
    stream.finish().unwrap();
    let mut unread = Vec::new();
    for _ in 0..100 {
        unread.push(rig.primary.accept_receive_stream().await.unwrap().unwrap());
    }
    let mut theirs = rig.primary.accept_bidirectional_stream().await.unwrap().unwrap();
    let answering = tokio::spawn(async move {
        for _ in 0..answer >> 20 {
            theirs.send(chunk.clone()).await.unwrap();
        }
        theirs.close().await.unwrap();
    });
    while let Some(chunk) = stream.receive().await.unwrap() {
        at += chunk.len() as u64;
    }
    assert_eq!(at, answer);
    answering.await.unwrap();
    rig.session.handle().ping().unwrap();
    assert_eq!(rig.session.metrics().await.unwrap().paths[0].state, "live");
    assert!(uploads.iter().all(|upload| !upload.is_finished()), "an upload has failed");

    drop((unread, uploads));
}

/// The same over one connection that is written frame by frame: a Pong for every MiB of the answer.
#[tokio::test(flavor = "multi_thread")]
async fn pong_flows_beside_unread_uploads_and_an_answer() {
    let answer = answer();
    let mut rig = Rig::new().await;
    let mut client = bare::connect(rig.server.local_addr(), rig.server.pin()).await;
    client.send(ControlFrame::Hello(bare::hello()));
    assert!(matches!(client.next().await, ControlFrame::Welcome(_)));
    let mut session = rig.server.accept().await.unwrap();
    let mut uploads = Vec::new();
    for turn in 0..100 {
        let (id, full) = (2 + 4 * turn, vec![1; 60_000]);
        let mut upload = client.open().await;
        upload.write(public_header(id)).await;
        upload.write(public_frame(id, 0, &full, false)).await;
        uploads.push(upload);
    }
    let request = client.handle.open_bidirectional_stream().await.unwrap();
    let (mut reply, request) = request.split();
    let mut request = Carrier(request);
    request.write(public_header(0)).await;
    request.write(public_frame(0, 0, b"much, please", true)).await;
    let (stream, max_offset) = (StreamId::from_wire(0).unwrap(), Offset::new(1 << 40).unwrap());
    client.send(ControlFrame::StreamWindow(StreamWindow { stream, max_offset }));
    let mut theirs = session.accept_bidirectional_stream().await.unwrap().unwrap();
    let answering = tokio::spawn(async move {
        let chunk = bytes::Bytes::from(vec![7; 1 << 20]);
        for _ in 0..answer >> 20 {
            theirs.send(chunk.clone()).await.unwrap();
        }
        theirs.close().await.unwrap();
    });
    // Drained all the time, as every end must: otherwise QUIC's window, which Pong needs too, would be full.
    let (each_mib, mut mibs) = tokio::sync::mpsc::unbounded_channel();
    let reading = tokio::spawn(async move {
        let (mut read, mut told) = (0, 0);
        while let Some(chunk) = reply.receive().await.unwrap() {
            read += chunk.len() as u64;
            while told < read >> 20 {
                told += 1;
                each_mib.send(told).unwrap();
            }
        }
        read
    });
    let mut pongs = 0;
    while let Some(nonce) = mibs.recv().await {
        client.send(ControlFrame::Ping(Ping { nonce }));
        while client.next().await != ControlFrame::Pong(Pong { nonce }) {}
        pongs += 1;
    }
    // What came is the answer and its framing.
    let read = reading.await.unwrap();
    assert!(read > answer && pongs >= answer >> 20, "{read} bytes, {pongs} pongs");
    answering.await.unwrap();
    drop((session, uploads, request));
}

/// The same the other way round: a client whose application leaves a hundred streams of the primary unread.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_unread_streams_of_the_primary_hold_back_no_answer() {
    let answer = answer();
    let mut rig = Rig::new().await;
    let mut pushing = Vec::new();
    for _ in 0..100 {
        let mut stream = rig.primary.open_send_stream().await.unwrap();
        pushing.push(tokio::spawn(async move {
            loop {
                stream.send(bytes::Bytes::from(vec![1; 64 * 1024])).await.unwrap();
            }
        }));
    }
    let mut unread = Vec::new();
    for _ in 0..100 {
        unread.push(rig.session.accept_receive_stream().await.unwrap().unwrap());
    }
    let mut stream = rig.session.open_bidirectional_stream().await.unwrap();
    stream.send("much, please".into()).await.unwrap();
    stream.finish().unwrap();
    let mut theirs = rig.primary.accept_bidirectional_stream().await.unwrap().unwrap();
    let answering = tokio::spawn(async move {
        for turn in 0..answer >> 20 {
            theirs.send(CONTENT.bytes(turn << 20, 1 << 20)).await.unwrap();
        }
        theirs.close().await.unwrap();
    });
    assert_eq!(read_whole(&mut stream, CONTENT).await, answer);
    answering.await.unwrap();
    let metrics = rig.session.metrics().await.unwrap();
    assert_eq!(metrics.paths[0].state, "live");
    assert!(metrics.promised_bytes <= 128 << 20, "{metrics:?}");
    assert!(pushing.iter().all(|pushing| !pushing.is_finished()), "a stream has failed");
}
