//! Control frames that a client does not send to a secondary, floods of those that it does, and carriers that it refuses.

use kwik_client::ErrorCode;
use kwik_proto::frame::{
    AddPath, ControlFrame, Gap, GapReason, MappingQuery, MappingSnapshot, PathState, PathStatus,
    Ping, Relay, RelayCredit, ServerIdentity, StreamProgress,
};
use kwik_proto::{Epoch, PathId};
use kwik_tests::bare::{Verdict, hello, public_header};

use super::{Secondary, delegation, grant};
use crate::attack::Outcome::{Closed, Ignored, Throttled};
use crate::attack::{Outcome, attacks, scaled};
use crate::wire::{LAST, at, id, range, reset, stop, window};

/// The verdict on one frame.
async fn one(arena: &mut Secondary, frame: ControlFrame) -> Outcome {
    let mut attached = arena.attach().await;
    attached.peer.send(frame).await;
    attached.peer.verdict().await.into()
}

/// The verdict on a flood, on a path with a grant.
async fn flood(arena: &mut Secondary, frame: impl FnMut(u64) -> ControlFrame) -> Outcome {
    let mut attached = arena.attach().await;
    attached.order(&arena.key, vec![grant(3)]).await;
    attached.peer.flood(scaled(20_000), frame).await;
    attached.peer.verdict().await.into()
}

attacks! { ATTACKS on Secondary;
    a_second_hello => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, ControlFrame::Hello(hello())).await
    }

    a_path => Closed(ErrorCode::ProtocolViolation), |arena| {
        let (path, epoch, token) = (PathId::new(1), Epoch::FIRST, "v4.public.x".into());
        let (addresses, identity) = (vec![arena.address], ServerIdentity::Pin([1; 32]));
        one(arena, ControlFrame::AddPath(AddPath { path, epoch, addresses, identity, token })).await
    }

    a_state_of_a_path => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, ControlFrame::PathStatus(PathStatus {
            path: PathId::new(1),
            epoch: Epoch::FIRST,
            state: PathState::Gone,
            reason: None,
            smoothed_rtt_us: 0,
            rtt_variation_us: 0,
            received_bytes: 0,
            busy_us: 0,
        }))
        .await
    }

    progress_of_a_stream => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, ControlFrame::StreamProgress(StreamProgress {
            stream: id(3),
            read_offset: at(0),
            contiguous_end: at(0),
            held: Vec::new(),
            reader_waiting: true,
        }))
        .await
    }

    a_gap => Closed(ErrorCode::ProtocolViolation), |arena| {
        let (stream, range, reason) = (id(3), range(0, 9), GapReason::Late);
        one(arena, ControlFrame::Gap(Gap { stream, range, reason, path: None, delegation: None })).await
    }

    a_message_without_orders => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, ControlFrame::Relay(Relay {
            path: PathId::new(1),
            message_id: 0,
            message_size: 4,
            piece_offset: 0,
            piece: "hell".into(),
        }))
        .await
    }

    pings_at_a_secondary => Ignored, |arena| {
        flood(arena, |nonce| ControlFrame::Ping(Ping { nonce })).await
    }

    windows_at_a_secondary => Ignored, |arena| {
        flood(arena, |number| window(3 + 4 * number, LAST)).await
    }

    resets_of_streams_that_never_were => Ignored, |arena| {
        flood(arena, |number| reset(3 + 4 * number, LAST)).await
    }

    stops_of_streams_that_never_were => Ignored, |arena| {
        flood(arena, |number| stop(3 + 4 * number)).await
    }

    credit_for_messages => Ignored, |arena| {
        flood(arena, |number| {
            ControlFrame::RelayCredit(RelayCredit { path: PathId::new(1), max_bytes: u64::MAX - number })
        })
        .await
    }

    questions => Ignored, |arena| {
        flood(arena, |query| {
            ControlFrame::MappingQuery(MappingQuery { query, carriers: (0..64).collect() })
        })
        .await
    }

    answers => Ignored, |arena| {
        flood(arena, |query| {
            ControlFrame::MappingSnapshot(MappingSnapshot { query, mappings: Vec::new() })
        })
        .await
    }

    /// A client that stops every contribution as it comes.
    contributions_that_are_stopped => Ignored, |arena| {
        let mut attached = arena.attach().await;
        for number in 0..scaled(300) {
            attached.order(&arena.key, vec![delegation(number, 3, range(0, 1 << 30))]).await;
            let carrier = attached.peer.acceptor.accept_receive_stream().await?;
            let Some(mut carrier) = carrier else { break };
            let _ = carrier.stop_sending(3u8.into());
        }
        attached.peer.verdict().await
    }

    /// A client that goes away in the middle of everything.
    paths_that_come_and_go => Ignored, |arena| {
        for number in 0..scaled(30) {
            let mut attached = arena.attach().await;
            attached.order(&arena.key, vec![delegation(number, 3, range(0, 1 << 30))]).await;
            let _ = attached.peer.acceptor.accept_receive_stream().await?;
        }
        arena.attach().await.peer.verdict().await
    }

    /// Streams that a client does not open to a secondary.
    streams_to_a_secondary => Ignored, |arena| {
        let mut attached = arena.attach().await;
        let mut held = Vec::new();
        for number in 0..90 {
            let opening = attached.peer.carrier(public_header(2 + 4 * number));
            match tokio::time::timeout(std::time::Duration::from_millis(300), opening).await {
                Ok(carrier) => held.extend(carrier),
                Err(_) => break,
            }
        }
        assert_eq!(attached.peer.verdict().await, Verdict::Alive);
        Ignored
    }

    /// A grant without end, a window without end, and a client that reads nothing: the secondary has nothing to send.
    a_grant_that_is_never_used => Throttled, |arena| {
        let mut attached = arena.attach().await;
        attached.order(&arena.key, vec![grant(3)]).await;
        for number in 0..scaled(200) {
            attached.peer.send(window(3, (1 << 40) + number)).await;
        }
        assert_eq!(attached.peer.verdict().await, Verdict::Alive);
        Throttled
    }
}
