//! Frames on the control stream that a client does not send, or that lie.

use bytes::Bytes;
use kwik_client::ErrorCode;
use kwik_proto::frame::{
    AddPath, ControlFrame, Gap, GapReason, GoAway, HeldRange, MappingSnapshot, Ping, Refuse,
    RemovePath, ServerIdentity, SessionClose, SignedOrders, StreamProgress, Welcome,
};
use kwik_proto::{Epoch, PathId, SessionId, VERSION};
use kwik_tests::bare::{LIMITS, Message, length_prefix, public_frame, public_header};

use super::Primary;
use crate::attack::Outcome::{Closed, Ignored};
use crate::attack::{Outcome, attacks};
use crate::wire::{LAST, at, id, range, reset, stop, window};

/// The verdict on one frame.
async fn one(arena: &mut Primary, frame: ControlFrame) -> Outcome {
    let mut peer = arena.client().await;
    peer.send(frame).await;
    peer.verdict().await.into()
}

/// The verdict on bytes of the control stream.
async fn bytes(arena: &mut Primary, bytes: impl Into<Bytes>) -> Outcome {
    let mut peer = arena.client().await;
    peer.write(bytes.into()).await;
    peer.verdict().await.into()
}

/// A request for 100 kB of the client, on its first stream, which has not been given the window for them.
async fn asked(arena: &Primary) -> kwik_tests::bare::RawPeer {
    let mut peer = arena.client().await;
    let request = [public_header(0), public_frame(0, 0, &100_000_u64.to_be_bytes(), true)];
    let mut reply = peer.request(request.concat()).await.unwrap();
    reply.receive().await.unwrap();
    tokio::spawn(async move { while let Ok(Some(_)) = reply.receive().await {} });
    peer
}

attacks! { ATTACKS on Primary;
    /// Frames that only servers send.
    a_welcome_from_a_client => Closed(ErrorCode::ProtocolViolation), |arena| {
        let (version, features, session) = (VERSION, Vec::new(), SessionId([1; 16]));
        one(arena, ControlFrame::Welcome(Welcome { version, features, limits: LIMITS, session })).await
    }

    a_refusal_from_a_client => Closed(ErrorCode::ProtocolViolation), |arena| {
        let (code, reason) = (ErrorCode::Busy, "no".into());
        one(arena, ControlFrame::Refuse(Refuse { code, reason, retry_after_ms: None })).await
    }

    a_path_from_a_client => Closed(ErrorCode::ProtocolViolation), |arena| {
        let (path, epoch, token) = (PathId::new(1), Epoch::FIRST, "v4.public.x".into());
        let (addresses, identity) = (vec![arena.address], ServerIdentity::Pin([1; 32]));
        one(arena, ControlFrame::AddPath(AddPath { path, epoch, addresses, identity, token })).await
    }

    a_removal_from_a_client => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, ControlFrame::RemovePath(RemovePath { path: PathId::new(1), drain_ms: 0 })).await
    }

    orders_from_a_client => Closed(ErrorCode::ProtocolViolation), |arena| {
        let (body, key_id) = (Bytes::from_static(b"obey"), "k4.pid.x".into());
        one(arena, ControlFrame::Orders(SignedOrders { body, signature: [1; 64], key_id })).await
    }

    a_go_away_from_a_client => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, ControlFrame::GoAway(GoAway { grace_ms: u32::MAX })).await
    }

    an_answer_that_nobody_asked_for => Closed(ErrorCode::ProtocolViolation), |arena| {
        let snapshot = MappingSnapshot { query: 9, mappings: Vec::new() };
        one(arena, ControlFrame::MappingSnapshot(snapshot)).await
    }

    /// Frames that are none.
    an_empty_frame => Closed(ErrorCode::FrameEncoding), |arena| {
        bytes(arena, vec![0]).await
    }

    two_frames_in_one => Closed(ErrorCode::FrameEncoding), |arena| {
        let ping = || Message::new().varint(1, 1);
        bytes(arena, Message::new().message(23, ping()).message(23, ping()).delimited()).await
    }

    a_frame_of_65_kilobytes => Closed(ErrorCode::FrameEncoding), |arena| {
        bytes(arena, length_prefix(65 << 10)).await
    }

    a_group_of_protobuf => Closed(ErrorCode::FrameEncoding), |arena| {
        // Wire types 3 and 4: groups nest as deep as there are bytes.
        bytes(arena, Message::new().raw(&[0xbb; 60_000]).delimited()).await
    }

    a_field_number_of_zero => Closed(ErrorCode::FrameEncoding), |arena| {
        bytes(arena, Message::new().raw(&[0, 1]).delimited()).await
    }

    a_text_that_is_none => Closed(ErrorCode::FrameEncoding), |arena| {
        let close = Message::new().varint(1, 1).bytes(3, &[0xff, 0xfe, 0xc0]);
        bytes(arena, Message::frame(25, true, close)).await
    }

    a_range_beyond_all_offsets => Closed(ErrorCode::FrameEncoding), |arena| {
        let range = Message::new().varint(1, LAST).varint(2, 2);
        let gap = Message::new().varint(1, 3).message(2, range).varint(3, 1);
        bytes(arena, Message::frame(18, false, gap)).await
    }

    a_stream_id_of_64_bits => Closed(ErrorCode::FrameEncoding), |arena| {
        let stop = Message::new().varint(1, u64::MAX).varint(2, 1);
        bytes(arena, Message::frame(13, true, stop)).await
    }

    an_application_code_of_64_bits => Closed(ErrorCode::FrameEncoding), |arena| {
        let close = Message::new().varint(1, 1).varint(2, u64::MAX);
        bytes(arena, Message::frame(25, true, close)).await
    }

    a_frame_that_must_not_be_skipped => Closed(ErrorCode::UnknownCriticalFrame), |arena| {
        bytes(arena, Message::frame(200, true, Message::new())).await
    }

    a_field_repeated_60_000_times => Closed(ErrorCode::FrameEncoding), |arena| {
        let mut query = Message::new();
        for _ in 0..20_000 {
            query = query.varint(2, 4);
        }
        bytes(arena, Message::frame(21, false, query)).await
    }

    /// The end of the control stream.
    a_control_stream_that_ends => Closed(ErrorCode::ProtocolViolation), |arena| {
        let mut peer = arena.client().await;
        peer.finish_control();
        peer.end().await
    }

    a_control_stream_that_is_reset => Closed(ErrorCode::ProtocolViolation), |arena| {
        let mut peer = arena.client().await;
        peer.reset_control();
        peer.end().await
    }

    a_control_stream_that_ends_in_a_frame => Closed(ErrorCode::FrameEncoding), |arena| {
        let mut peer = arena.client().await;
        peer.write(vec![50, 1, 1].into()).await;
        peer.finish_control();
        peer.end().await
    }

    /// Streams that are not there.
    a_reset_far_ahead => Closed(ErrorCode::LimitExceeded), |arena| {
        one(arena, reset(LAST - 3, 0)).await
    }

    a_reset_of_the_servers_half => Closed(ErrorCode::StreamState), |arena| {
        one(arena, reset(3, 0)).await
    }

    a_stop_of_a_stream_that_never_was => Closed(ErrorCode::StreamState), |arena| {
        one(arena, stop(4003)).await
    }

    a_window_for_a_stream_that_never_was => Closed(ErrorCode::StreamState), |arena| {
        one(arena, window(4003, LAST)).await
    }

    a_window_for_what_the_client_sends => Closed(ErrorCode::StreamState), |arena| {
        one(arena, window(2, LAST)).await
    }

    two_resets_that_differ => Ignored, |arena| {
        let mut peer = arena.client().await;
        peer.send(reset(2, 10)).await;
        peer.send(reset(2, 20)).await;
        peer.verdict().await
    }

    /// It promises no byte, and takes no memory.
    a_reset_at_the_end_of_all_offsets => Closed(ErrorCode::FlowControl), |arena| {
        one(arena, reset(2, LAST)).await
    }

    /// Lies about what arrived.
    a_window_that_shrinks => Ignored, |arena| {
        let mut peer = asked(arena).await;
        peer.send(window(0, 70_000)).await;
        peer.send(window(0, 10)).await;
        peer.send(window(0, 0)).await;
        peer.verdict().await
    }

    a_window_without_end => Ignored, |arena| {
        let mut peer = asked(arena).await;
        peer.send(window(0, LAST)).await;
        peer.verdict().await
    }

    progress_beyond_what_was_sent => Ignored, |arena| {
        let mut peer = asked(arena).await;
        peer.send(progress(LAST, LAST, Vec::new())).await;
        peer.verdict().await
    }

    progress_that_goes_back => Ignored, |arena| {
        let mut peer = asked(arena).await;
        for offset in (0..60_000).rev().step_by(100) {
            peer.send(progress(offset, offset, Vec::new())).await;
        }
        peer.verdict().await
    }

    progress_with_ranges_out_of_order => Ignored, |arena| {
        let mut peer = asked(arena).await;
        let held = |start: u64| HeldRange { range: range(start, start + 9), path: PathId::new(9) };
        let held = (0..32).rev().map(|number| held(number * 5)).collect();
        peer.send(progress(40_000, 3, held)).await;
        peer.verdict().await
    }

    gaps_that_nobody_has => Ignored, |arena| {
        let mut peer = asked(arena).await;
        for reason in [GapReason::Late, GapReason::Conflict, GapReason::Corrupt, GapReason::PathGone] {
            for path in [None, Some(PathId::PRIMARY), Some(PathId::new(7))] {
                let (stream, range) = (id(0), range(0, LAST));
                let gap = Gap { stream, range, reason, path, delegation: None };
                peer.send(ControlFrame::Gap(gap)).await;
            }
        }
        peer.verdict().await
    }

    /// Frames behind the end.
    frames_behind_the_close => Closed(ErrorCode::None), |arena| {
        let mut peer = arena.client().await;
        let (code, reason) = (ErrorCode::None, "\x1b]0;owned\x07\x1b[2J".repeat(14));
        let close = SessionClose { code, application_code: None, reason };
        peer.send(ControlFrame::SessionClose(close)).await;
        peer.flood(2000, |nonce| ControlFrame::Ping(Ping { nonce })).await;
        peer.end().await
    }
}

fn progress(read: u64, contiguous: u64, held: Vec<HeldRange>) -> ControlFrame {
    ControlFrame::StreamProgress(StreamProgress {
        stream: id(0),
        read_offset: at(read),
        contiguous_end: at(contiguous),
        held,
        reader_waiting: true,
    })
}
