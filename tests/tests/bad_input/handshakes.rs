//! Clients that break the rules, or speak another version.

use super::*;

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
    eventually("it is counted", || async { rig.server.metrics().rejected_handshakes > 0 }).await;
    assert_eq!(rig.server.metrics().primary_sessions, 1);
    works(&mut rig).await;
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
