//! Primaries that break the rules of the control plane.

use std::time::Duration;

use bytes::Bytes;
use kwik_client::ErrorCode;
use kwik_io::key::IdentityKey;
use kwik_io::sign::sign_orders;
use kwik_proto::frame::{
    ControlFrame, Delegation, Gap, GapReason, GoAway, Order, Orders, Ping, Refuse, Relay,
    SessionClose, StreamProgress, TokenRequest, Welcome,
};
use kwik_proto::{DelegationId, Epoch, PathId, SessionId, VERSION};
use kwik_tests::bare::{BareServer, LIMITS, Message, Verdict, hello, length_prefix};
use kwik_tests::identity;

use super::ByPrimary;
use crate::attack::Outcome::{Closed, Ignored, Transport};
use crate::attack::{Outcome, attacks};
use crate::wire::{LAST, at, id, range, reset, stop, window};

/// The verdict on one frame.
async fn one(arena: &mut ByPrimary, frame: ControlFrame) -> anyhow::Result<Outcome> {
    let mut peer = arena.session().await?;
    peer.send(frame).await;
    Ok(peer.verdict().await.into())
}

/// The verdict on bytes instead of a Welcome.
async fn instead(arena: &mut ByPrimary, bytes: impl Into<Bytes>) -> anyhow::Result<Outcome> {
    let mut peer = arena.greeted().await?;
    peer.write(bytes.into()).await;
    Ok(peer.end().await.into())
}

/// The verdict on orders for a path, signed by nobody whom the client knows: it need not check.
async fn ordered(arena: &mut ByPrimary, orders: Orders) -> anyhow::Result<Outcome> {
    let mut peer = arena.session().await?;
    // Path 1 is being dialled.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let pin = kwik_proto::frame::ServerIdentity::Pin([1; 32]);
    peer.send(super::addresses::add(1, vec![silent.local_addr()?], pin)).await;
    peer.send(signed(&identity().0, orders)).await;
    Ok(peer.verdict().await.into())
}

fn signed(key: &IdentityKey, orders: Orders) -> ControlFrame {
    ControlFrame::Orders(sign_orders(key, orders.encode()))
}

fn orders(path: u16, order: Order) -> Orders {
    let (session, path, epoch) = (SessionId([7; 16]), PathId::new(path), Epoch::FIRST);
    Orders { session, path, epoch, number: 1, orders: vec![order] }
}

fn delegation(stream: u64) -> Order {
    Order::Delegation(Delegation {
        id: DelegationId(1),
        stream: id(stream),
        range: range(0, LAST),
        resource: Bytes::new(),
        blake3: None,
        rank: kwik_proto::frame::Rank::default(),
    })
}

fn welcome() -> Welcome {
    let (version, features, session) = (VERSION, Vec::new(), SessionId([7; 16]));
    Welcome { version, features, limits: LIMITS, session }
}

attacks! { ATTACKS on ByPrimary;
    /// Answers to the Hello.
    an_answer_that_never_comes => Closed(ErrorCode::HandshakeTimeout), |arena| {
        arena.greeted().await?.end().await
    }

    an_answer_that_drips => Closed(ErrorCode::HandshakeTimeout), |arena| {
        let mut peer = arena.greeted().await?;
        peer.write(length_prefix(200)).await;
        while peer.write(vec![0x8a].into()).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        peer.end().await
    }

    a_welcome_of_another_version => Closed(ErrorCode::VersionNegotiation), |arena| {
        let mut peer = arena.greeted().await?;
        peer.send(ControlFrame::Welcome(Welcome { version: 99, ..welcome() })).await;
        peer.end().await
    }

    a_welcome_with_features => Closed(ErrorCode::VersionNegotiation), |arena| {
        let mut peer = arena.greeted().await?;
        peer.send(ControlFrame::Welcome(Welcome { features: vec![1, 2, 3], ..welcome() })).await;
        peer.end().await
    }

    a_welcome_of_absurd_limits => Closed(ErrorCode::FrameEncoding), |arena| {
        let limits = Message::new().varint(1, u64::MAX).varint(2, 1).varint(3, 1 << 16);
        let welcome = Message::new().varint(1, 1).message(3, limits).bytes(4, &[7; 16]);
        instead(arena, Message::frame(3, true, welcome)).await?
    }

    a_welcome_without_a_session => Closed(ErrorCode::FrameEncoding), |arena| {
        let limits = Message::new().varint(1, 1).varint(2, 1).varint(3, 1 << 16);
        let welcome = Message::new().varint(1, 1).message(3, limits);
        instead(arena, Message::frame(3, true, welcome)).await?
    }

    a_welcome_of_four_gigabytes => Closed(ErrorCode::FrameEncoding), |arena| {
        instead(arena, length_prefix(u64::from(u32::MAX))).await?
    }

    a_welcome_twice => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, ControlFrame::Welcome(welcome())).await?
    }

    a_refusal_with_escapes => Closed(ErrorCode::Busy), |arena| {
        let mut peer = arena.greeted().await?;
        let (code, reason) = (ErrorCode::Busy, "\x1b]0;owned\x07\r\n".repeat(20));
        peer.send(ControlFrame::Refuse(Refuse { code, reason, retry_after_ms: Some(0) })).await;
        // The refusal is the end of it, for the client too.
        let said = arena.victim.ask_until("session last", "its end", |said| said["ended"].is_string()).await?;
        let ended = said["ended"].as_str().unwrap_or_default().to_owned();
        anyhow::ensure!(!ended.contains('\x1b'), "an escape sequence in {ended:?}");
        Closed(ErrorCode::Busy)
    }

    a_refusal_after_the_welcome => Closed(ErrorCode::Busy), |arena| {
        let mut peer = arena.session().await?;
        let (code, reason) = (ErrorCode::Busy, String::new());
        peer.send(ControlFrame::Refuse(Refuse { code, reason, retry_after_ms: None })).await;
        peer.end().await
    }

    /// Frames that only clients send.
    a_hello_from_a_server => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, ControlFrame::Hello(hello())).await?
    }

    a_token_request_from_a_primary => Closed(ErrorCode::ProtocolViolation), |arena| {
        let request = TokenRequest { path: PathId::new(1), epoch: Epoch::FIRST };
        one(arena, ControlFrame::TokenRequest(request)).await?
    }

    progress_from_a_primary => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, ControlFrame::StreamProgress(StreamProgress {
            stream: id(0),
            read_offset: at(0),
            contiguous_end: at(0),
            held: Vec::new(),
            reader_waiting: false,
        }))
        .await?
    }

    a_message_from_a_primary => Closed(ErrorCode::ProtocolViolation), |arena| {
        let (message_id, message_size, piece_offset) = (0, 4, 0);
        let (path, piece) = (PathId::new(1), "hell".into());
        one(arena, ControlFrame::Relay(Relay { path, message_id, message_size, piece_offset, piece })).await?
    }

    a_gap_that_blames_a_path => Closed(ErrorCode::ProtocolViolation), |arena| {
        let (stream, range, reason, path) = (id(3), range(0, 9), GapReason::Late, Some(PathId::new(1)));
        one(arena, ControlFrame::Gap(Gap { stream, range, reason, path, delegation: None })).await?
    }

    /// Frames that are none.
    two_frames_in_one_to_a_client => Closed(ErrorCode::FrameEncoding), |arena| {
        let ping = || Message::new().varint(1, 1);
        let mut peer = arena.session().await?;
        peer.write(Message::new().message(23, ping()).message(23, ping()).delimited()).await;
        peer.end().await
    }

    a_path_without_addresses => Closed(ErrorCode::FrameEncoding), |arena| {
        let add = Message::new().varint(1, 1).varint(2, 1).bytes(5, b"x");
        let mut peer = arena.session().await?;
        peer.write(Message::frame(5, true, add)).await;
        peer.end().await
    }

    an_unknown_frame_that_counts => Closed(ErrorCode::UnknownCriticalFrame), |arena| {
        let mut peer = arena.session().await?;
        peer.write(Message::frame(300, true, Message::new())).await;
        peer.end().await
    }

    a_control_stream_of_the_primary_that_ends => Closed(ErrorCode::ProtocolViolation), |arena| {
        let mut peer = arena.session().await?;
        peer.finish_control();
        peer.end().await
    }

    a_control_stream_of_the_primary_that_is_reset => Closed(ErrorCode::ProtocolViolation), |arena| {
        let mut peer = arena.session().await?;
        peer.reset_control();
        peer.end().await
    }

    /// Orders that nobody may give.
    orders_for_another_session => Closed(ErrorCode::ProtocolViolation), |arena| {
        let orders = Orders { session: SessionId([8; 16]), ..orders(1, delegation(3)) };
        ordered(arena, orders).await?
    }

    orders_for_a_path_that_is_not_there => Ignored, |arena| {
        ordered(arena, orders(9, delegation(3))).await?
    }

    orders_for_what_the_client_sends => Closed(ErrorCode::StreamState), |arena| {
        ordered(arena, orders(1, delegation(2))).await?
    }

    orders_for_a_stream_far_ahead => Closed(ErrorCode::LimitExceeded), |arena| {
        ordered(arena, orders(1, delegation(LAST))).await?
    }

    orders_that_are_noise => Closed(ErrorCode::FrameEncoding), |arena| {
        let mut peer = arena.session().await?;
        let frame = sign_orders(&identity().0, vec![0xff; 40_000].into());
        peer.send(ControlFrame::Orders(frame)).await;
        peer.end().await
    }

    /// Streams that are not there.
    a_reset_of_what_the_client_sends => Closed(ErrorCode::StreamState), |arena| {
        one(arena, reset(2, 0)).await?
    }

    a_reset_far_ahead_at_a_client => Closed(ErrorCode::LimitExceeded), |arena| {
        one(arena, reset(LAST, 0)).await?
    }

    a_reset_of_two_to_the_62 => Closed(ErrorCode::FlowControl), |arena| {
        one(arena, reset(3, LAST)).await?
    }

    a_stop_of_a_stream_that_the_client_has_not => Closed(ErrorCode::StreamState), |arena| {
        one(arena, stop(4002)).await?
    }

    a_window_for_what_the_primary_sends => Closed(ErrorCode::StreamState), |arena| {
        one(arena, window(3, LAST)).await?
    }

    /// Ends.
    a_close_with_escapes => Closed(ErrorCode::Internal), |arena| {
        let mut peer = arena.session().await?;
        let (code, reason) = (ErrorCode::Internal, "\x1b[2J\x1b]0;owned\x07\n".repeat(14));
        peer.send(ControlFrame::SessionClose(SessionClose { code, application_code: None, reason })).await;
        let said = arena.victim.ask_until("session last", "its end", |said| said["ended"].is_string()).await?;
        let ended = said["ended"].as_str().unwrap_or_default().to_owned();
        anyhow::ensure!(!ended.contains('\x1b'), "an escape sequence in {ended:?}");
        Closed(ErrorCode::Internal)
    }

    a_farewell_of_seven_weeks => Ignored, |arena| {
        let mut peer = arena.session().await?;
        peer.flood(5000, |number| ControlFrame::GoAway(GoAway { grace_ms: u32::MAX - number as u32 })).await;
        peer.verdict().await
    }

    /// A certificate with hundreds of kilobytes of names.
    a_certificate_of_many_names within 64 MiB => Ignored, |arena| {
        let names = (0..900).map(|it| format!("host-{it}.{}.example", "a".repeat(40)));
        arena.server = BareServer::with(kwik_server::ServerCertificate::self_signed(names)?);
        let (address, pin) = (arena.server.address(), arena.server.pin());
        let connecting = super::connect(&mut arena.victim, address, pin, "read");
        let accepting = tokio::time::timeout(Duration::from_secs(4), arena.server.accept_raw());
        let (said, peer) = tokio::join!(connecting, accepting);
        match peer {
            Ok(mut peer) => {
                peer.hello().await;
                peer.welcome(SessionId([7; 16])).await;
                assert_eq!(peer.verdict().await, Verdict::Alive);
                Ignored
            }
            Err(_) => {
                anyhow::ensure!(said?["error"].is_string());
                Transport
            }
        }
    }

    /// Another key than the pin's, and a certificate whose text is not for terminals.
    a_server_with_another_key => Transport, |arena| {
        let address = arena.server.address();
        let accepting = arena.server.accept();
        let error = tokio::select! {
            said = super::connect(&mut arena.victim, address, kwik_client::Pin([5; 32]), "read") => said?,
            _ = accepting => anyhow::bail!("it is talked to"),
        };
        anyhow::ensure!(error["error"].as_str().is_some_and(|it| it.contains("pin")), "{error}");
        Transport
    }

    pings_before_the_welcome => Ignored, |arena| {
        let mut peer = arena.greeted().await?;
        peer.flood(1000, |nonce| ControlFrame::Ping(Ping { nonce })).await;
        peer.welcome(SessionId([7; 16])).await;
        peer.verdict().await
    }
}
