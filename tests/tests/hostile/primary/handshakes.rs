//! Before the session: QUIC's handshake and the Hello.

use std::net::UdpSocket;
use std::time::Duration;

use kwik_client::ErrorCode;
use kwik_io::env::Env;
use kwik_io::tls::{Trust, client_config};
use kwik_proto::frame::{ControlFrame, Hello, Ping};
use kwik_tests::bare::{Message, dial, hello, length_prefix};
use rand::{RngCore as _, SeedableRng as _};

use super::Primary;
use crate::attack::Outcome::{Closed, Ignored, Throttled, Transport};
use crate::attack::{Outcome, attacks, scaled};

/// A Hello with other limits, as a message.
fn limits(bidirectional: u64, unidirectional: u64, window: u64) -> Message {
    let limits = Message::new().varint(1, bidirectional).varint(2, unidirectional);
    Message::new().bytes(1, &[1]).message(3, limits.varint(3, window))
}

/// The verdict on a first frame.
async fn first(arena: &mut Primary, frame: bytes::Bytes) -> Outcome {
    let mut peer = arena.silent().await;
    peer.write(frame).await;
    peer.end().await.into()
}

/// First frames of QUIC connections that nobody goes on with, as a client sends them to `count` servers.
async fn initials(count: u64) -> anyhow::Result<Vec<Vec<u8>>> {
    let (mut frames, mut sockets) = (Vec::new(), Vec::new());
    let (config, _) = client_config(&Env::system(), &Trust::Pin(kwik_client::Pin([1; 32])))?;
    let tls = s2n_quic::provider::tls::rustls::Client::from(config);
    let client = s2n_quic::Client::builder().with_tls(tls)?.with_io("127.0.0.1:0")?.start()?;
    for _ in 0..count {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let connect = s2n_quic::client::Connect::new(socket.local_addr()?);
        let connecting = client.connect(connect.with_server_name("localhost"));
        let task = tokio::spawn(connecting);
        let mut datagram = vec![0; 2048];
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let length = socket.recv(&mut datagram)?;
        datagram.truncate(length);
        task.abort();
        frames.push(datagram);
        sockets.push(socket);
    }
    Ok(frames)
}

attacks! { ATTACKS on Primary;
    /// First packets of many connections that go no further, each from an address of its own.
    two_thousand_initials => Throttled, |arena| {
        for frame in initials(scaled(200)).await? {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.send_to(&frame, arena.address)?;
        }
        let mut peer = arena.client().await;
        assert_eq!(Outcome::from(peer.verdict().await), Ignored);
        Throttled
    }

    /// The same first packet again and again.
    one_initial_repeated => Ignored, |arena| {
        let frame = initials(1).await?.remove(0);
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        for _ in 0..scaled(5000) {
            socket.send_to(&frame, arena.address)?;
        }
        arena.client().await.verdict().await
    }

    /// Datagrams of noise.
    datagrams_of_noise => Ignored, |arena| {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let (mut random, mut noise) = (rand::rngs::StdRng::seed_from_u64(1), [0; 1200]);
        for size in 0..scaled(10_000) {
            random.fill_bytes(&mut noise);
            socket.send_to(&noise[..1 + size as usize % 1200], arena.address)?;
        }
        arena.client().await.verdict().await
    }

    /// Long headers of a QUIC version that does not exist: each asks for an answer.
    version_negotiations => Ignored, |arena| {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let mut packet = vec![0; 1200];
        packet[..6].copy_from_slice(&[0xc0, 0xde, 0xad, 0xbe, 0xef, 8]);
        packet[14] = 8;
        for number in 0..scaled(5000) {
            packet[6..14].copy_from_slice(&number.to_be_bytes());
            socket.send_to(&packet, arena.address)?;
        }
        arena.client().await.verdict().await
    }

    /// A client of another protocol.
    another_alpn => Transport, |arena| {
        let (mut config, _) = client_config(&Env::system(), &Trust::Pin(arena.pin))?;
        config.alpn_protocols = vec![b"h3".to_vec()];
        let tls = s2n_quic::provider::tls::rustls::Client::from(config);
        let limits = s2n_quic::provider::limits::Limits::new()
            .with_max_handshake_duration(Duration::from_millis(500))?;
        let client = s2n_quic::Client::builder().with_tls(tls)?.with_limits(limits)?;
        let client = client.with_io("127.0.0.1:0")?.start()?;
        let connect = s2n_quic::client::Connect::new(arena.address).with_server_name("localhost");
        assert!(client.connect(connect).await.is_err());
        assert!(arena.counter("rejected_handshakes").await? > 0);
        Transport
    }

    /// A ClientHello of 60 kB.
    a_client_hello_of_many_protocols => Transport, |arena| {
        let (mut config, _) = client_config(&Env::system(), &Trust::Pin(arena.pin))?;
        config.alpn_protocols = (0..6000).map(|it| format!("p{it:08}").into_bytes()).collect();
        let tls = s2n_quic::provider::tls::rustls::Client::from(config);
        let limits = s2n_quic::provider::limits::Limits::new()
            .with_max_handshake_duration(Duration::from_millis(1500))?;
        let client = s2n_quic::Client::builder().with_tls(tls)?.with_limits(limits)?;
        let client = client.with_io("127.0.0.1:0")?.start()?;
        let connect = s2n_quic::client::Connect::new(arena.address).with_server_name("localhost");
        assert!(client.connect(connect).await.is_err());
        Transport
    }

    /// Connections without so much as a control stream.
    connections_that_say_nothing => Closed(ErrorCode::HandshakeTimeout), |arena| {
        let mut held = Vec::new();
        for _ in 0..scaled(40) {
            held.push(dial(arena.address, arena.pin).await);
        }
        arena.refused(ErrorCode::HandshakeTimeout, held.len() as u64).await?;
        Closed(ErrorCode::HandshakeTimeout)
    }

    /// A Hello that comes byte for byte, and is never whole.
    a_hello_that_drips => Closed(ErrorCode::HandshakeTimeout), |arena| {
        let mut peers = Vec::new();
        for _ in 0..scaled(10) {
            let mut peer = arena.silent().await;
            peer.write(length_prefix(200)).await;
            peers.push(peer);
        }
        let mut alive = true;
        while alive {
            for peer in &mut peers {
                alive &= peer.write(vec![0x8a].into()).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        peers[0].end().await
    }

    /// Another frame than a Hello first.
    a_ping_before_the_hello => Closed(ErrorCode::ProtocolViolation), |arena| {
        let mut peer = arena.silent().await;
        peer.send(ControlFrame::Ping(Ping { nonce: 1 })).await;
        let end = peer.end().await;
        arena.refused(ErrorCode::ProtocolViolation, 1).await?;
        end
    }

    /// A second Hello.
    a_hello_twice => Closed(ErrorCode::ProtocolViolation), |arena| {
        let mut peer = arena.client().await;
        peer.send(ControlFrame::Hello(hello())).await;
        peer.end().await
    }

    /// No version in common.
    a_hello_of_another_version => Closed(ErrorCode::VersionNegotiation), |arena| {
        let mut peer = arena.silent().await;
        peer.send(ControlFrame::Hello(Hello { versions: vec![99, 7], ..hello() })).await;
        let end = peer.end().await;
        arena.refused(ErrorCode::VersionNegotiation, 1).await?;
        end
    }

    /// No version at all.
    a_hello_without_versions => Closed(ErrorCode::FrameEncoding), |arena| {
        let limits = Message::new().varint(1, 9).varint(2, 9).varint(3, 64 << 10);
        first(arena, Message::frame(2, true, Message::new().message(3, limits))).await
    }

    /// More versions than a Hello may name.
    a_hello_of_many_versions => Closed(ErrorCode::FrameEncoding), |arena| {
        let hello = limits(9, 9, 64 << 10).bytes(1, &[1; 20_000]);
        first(arena, Message::frame(2, true, hello)).await
    }

    /// More features than a Hello may name.
    a_hello_of_many_features => Closed(ErrorCode::FrameEncoding), |arena| {
        let hello = limits(9, 9, 64 << 10).bytes(2, &[5; 60_000]);
        first(arena, Message::frame(2, true, hello)).await
    }

    /// Streams without number.
    a_hello_of_absurd_limits => Closed(ErrorCode::FrameEncoding), |arena| {
        first(arena, Message::frame(2, true, limits(u64::from(u32::MAX), 9, 64 << 10))).await
    }

    /// Windows that are too small for the protocol.
    a_hello_of_tiny_windows => Closed(ErrorCode::FrameEncoding), |arena| {
        first(arena, Message::frame(2, true, limits(9, 9, 1))).await
    }

    /// A confirmation key of the wrong size.
    a_hello_of_half_a_key => Closed(ErrorCode::FrameEncoding), |arena| {
        first(arena, Message::frame(2, true, limits(9, 9, 64 << 10).bytes(4, &[1; 16]))).await
    }

    /// A frame that announces four gigabytes.
    a_frame_of_four_gigabytes => Closed(ErrorCode::FrameEncoding), |arena| {
        first(arena, length_prefix(u64::from(u32::MAX))).await
    }

    /// A length that does not fit 64 bits.
    a_length_beyond_64_bits => Closed(ErrorCode::FrameEncoding), |arena| {
        first(arena, vec![0xff; 11].into()).await
    }

    /// A Hello to a secondary, at a server that is none.
    an_admission_at_a_primary => Closed(ErrorCode::RoleRefused), |arena| {
        let mut peer = arena.silent().await;
        let admission =
            Some(kwik_proto::frame::Admission { token: "v4.public.x".into(), proof: [1; 64] });
        peer.send(ControlFrame::Hello(Hello { admission, ..hello() })).await;
        let end = peer.end().await;
        arena.refused(ErrorCode::RoleRefused, 1).await?;
        end
    }

    /// Sessions that begin and end, one after the other.
    sessions_that_come_and_go => Ignored, |arena| {
        for _ in 0..scaled(60) {
            drop(arena.client().await);
        }
        arena.client().await.verdict().await
    }

    /// Many sessions that do nothing.
    idle_sessions => Ignored, |arena| {
        let mut held = Vec::new();
        for _ in 0..scaled(60) {
            held.push(arena.client().await);
        }
        held[0].verdict().await
    }

    /// Sessions that the application never accepts.
    sessions_that_nobody_accepts => Ignored, |arena| {
        arena.switch(&["unaccepted"]).await?;
        let mut held = Vec::new();
        for _ in 0..scaled(60) {
            held.push(arena.client().await);
        }
        held[0].verdict().await
    }
}
