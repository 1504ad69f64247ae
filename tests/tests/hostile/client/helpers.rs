//! Secondaries that break the rules of the control plane: the client closes their path, and nothing else.

use kwik_client::ErrorCode;
use kwik_proto::frame::{
    ControlFrame, DelegationState, DelegationStatus, Gap, GapReason, GoAway, MappingQuery,
    MappingSnapshot, PathState, PathStatus, Ping, Refuse, Relay, RelayCredit, RemovePath,
    SessionClose, SignedOrders, StreamBlocked, StreamProgress, TokenRequest,
};
use kwik_proto::{DelegationId, Epoch, PathId, SessionId};
use kwik_server::Event;
use kwik_tests::bare::{Message, hello, length_prefix};

use super::BySecondary;
use crate::attack::Outcome::{Closed, Ignored, Throttled};
use crate::attack::{Outcome, attacks, scaled};
use crate::wire::{LAST, at, id, range, reset, window};

/// The verdict on one frame.
async fn one(arena: &mut BySecondary, frame: ControlFrame) -> anyhow::Result<Outcome> {
    let (mut peer, _) = arena.attached(true).await?;
    peer.send(frame).await;
    Ok(peer.verdict().await.into())
}

/// The verdict on a flood.
async fn flood(
    arena: &mut BySecondary,
    frame: impl FnMut(u64) -> ControlFrame,
) -> anyhow::Result<Outcome> {
    let (mut peer, _) = arena.attached(true).await?;
    peer.flood(scaled(20_000), frame).await;
    Ok(peer.verdict().await.into())
}

/// With which code the primary is told that the attacker's path is down.
async fn down(arena: &mut BySecondary, path: PathId) -> anyhow::Result<ErrorCode> {
    loop {
        match arena.primary.next_event().await {
            Some(Event::PathDown(down, Some(code), _)) if down == path => return Ok(code),
            Some(_) => {}
            None => anyhow::bail!("the session is over"),
        }
    }
}

attacks! { ATTACKS on BySecondary;
    a_second_welcome_of_a_secondary => Closed(ErrorCode::ProtocolViolation), |arena| {
        let (mut peer, _) = arena.attached(true).await?;
        peer.welcome(SessionId([1; 16])).await;
        peer.verdict().await
    }

    a_welcome_of_another_session => Closed(ErrorCode::ProtocolViolation), |arena| {
        let (mut peer, path) = arena.dialled(true).await?;
        peer.welcome(SessionId([1; 16])).await;
        assert_eq!(down(arena, path).await?, ErrorCode::ProtocolViolation);
        Closed(ErrorCode::ProtocolViolation)
    }

    a_welcome_that_never_comes => Closed(ErrorCode::HandshakeTimeout), |arena| {
        let (_peer, path) = arena.dialled(true).await?;
        Closed(down(arena, path).await?)
    }

    a_refusal_of_a_secondary_with_escapes => Closed(ErrorCode::Busy), |arena| {
        let (mut peer, path) = arena.dialled(true).await?;
        let (code, reason) = (ErrorCode::Busy, "\x1b]0;owned\x07".repeat(20));
        peer.send(ControlFrame::Refuse(Refuse { code, reason, retry_after_ms: None })).await;
        Closed(down(arena, path).await?)
    }

    a_hello_of_a_secondary => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, ControlFrame::Hello(hello())).await?
    }

    orders_of_a_secondary => Closed(ErrorCode::ProtocolViolation), |arena| {
        let (body, key_id) = ("obey".into(), "k4.pid.x".into());
        one(arena, ControlFrame::Orders(SignedOrders { body, signature: [1; 64], key_id })).await?
    }

    a_removal_of_a_secondary => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, ControlFrame::RemovePath(RemovePath { path: PathId::new(1), drain_ms: 0 })).await?
    }

    a_reset_of_a_secondary => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, reset(1, 0)).await?
    }

    a_window_of_a_secondary => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, window(0, LAST)).await?
    }

    a_gap_of_a_secondary => Closed(ErrorCode::ProtocolViolation), |arena| {
        let (stream, range, reason) = (id(1), range(0, LAST), GapReason::Unassigned);
        one(arena, ControlFrame::Gap(Gap { stream, range, reason, path: None, delegation: None })).await?
    }

    progress_of_a_secondary => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, ControlFrame::StreamProgress(StreamProgress {
            stream: id(1),
            read_offset: at(0),
            contiguous_end: at(0),
            held: Vec::new(),
            reader_waiting: false,
        }))
        .await?
    }

    a_state_of_a_secondary => Closed(ErrorCode::ProtocolViolation), |arena| {
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
        .await?
    }

    a_token_request_of_a_secondary => Closed(ErrorCode::ProtocolViolation), |arena| {
        one(arena, ControlFrame::TokenRequest(TokenRequest { path: PathId::new(1), epoch: Epoch::FIRST })).await?
    }

    a_frame_of_noise => Closed(ErrorCode::FrameEncoding), |arena| {
        let (mut peer, _) = arena.attached(true).await?;
        peer.write(vec![0; 9].into()).await;
        peer.end().await
    }

    a_frame_of_a_gigabyte => Closed(ErrorCode::FrameEncoding), |arena| {
        let (mut peer, _) = arena.attached(true).await?;
        peer.write(length_prefix(1 << 30)).await;
        peer.end().await
    }

    an_unknown_frame_of_a_secondary => Closed(ErrorCode::UnknownCriticalFrame), |arena| {
        let (mut peer, _) = arena.attached(true).await?;
        peer.write(Message::frame(99, true, Message::new())).await;
        peer.end().await
    }

    a_control_stream_of_a_secondary_that_ends => Closed(ErrorCode::ProtocolViolation), |arena| {
        let (mut peer, _) = arena.attached(true).await?;
        peer.finish_control();
        peer.end().await
    }

    /// Messages to the primary, without the credit for them.
    messages_of_a_secondary_beyond_the_credit => Closed(ErrorCode::FlowControl), |arena| {
        flood(arena, |number| ControlFrame::Relay(Relay {
            path: PathId::new(1),
            message_id: number / 16,
            message_size: 64 << 10,
            piece_offset: (number as u32 % 16) << 12,
            piece: vec![1; 4096].into(),
        }))
        .await?
    }

    pings_of_a_secondary => Ignored, |arena| {
        flood(arena, |nonce| ControlFrame::Ping(Ping { nonce })).await?
    }

    states_of_delegations_of_others => Ignored, |arena| {
        flood(arena, |number| {
            let states = [
                DelegationState::Accepted,
                DelegationState::Pending,
                DelegationState::Sent,
                DelegationState::Failed(GapReason::SourceFailed),
            ];
            ControlFrame::DelegationStatus(DelegationStatus {
                path: PathId::new(1),
                delegation: DelegationId(number),
                state: states[number as usize % 4],
            })
        })
        .await?
    }

    credit_of_a_secondary => Ignored, |arena| {
        flood(arena, |number| {
            let (path, max_bytes) = (PathId::new(1), number << 20);
            ControlFrame::RelayCredit(RelayCredit { path, max_bytes })
        })
        .await?
    }

    questions_of_a_secondary => Ignored, |arena| {
        flood(arena, |query| {
            ControlFrame::MappingQuery(MappingQuery { query, carriers: (0..64).collect() })
        })
        .await?
    }

    answers_of_a_secondary => Ignored, |arena| {
        flood(arena, |query| {
            ControlFrame::MappingSnapshot(MappingSnapshot { query, mappings: Vec::new() })
        })
        .await?
    }

    blocked_of_a_secondary => Ignored, |arena| {
        flood(arena, |number| {
            ControlFrame::StreamBlocked(StreamBlocked { stream: id(1), max_offset: at(number) })
        })
        .await?
    }

    a_secondary_that_says_goodbye_for_ever => Throttled, |arena| {
        let (mut peer, _) = arena.attached(true).await?;
        peer.flood(scaled(5000), |number| ControlFrame::GoAway(GoAway { grace_ms: number as u32 })).await;
        // It drains, for as long as it said first, or is gone.
        let _ = peer.verdict().await;
        Throttled
    }

    /// A secondary that closes each connection as it comes: the client comes back, and ever more rarely.
    a_secondary_that_closes_at_once => Throttled, |arena| {
        let (mut peer, _) = arena.attached(true).await?;
        let mut connections = 0;
        let time = tokio::time::sleep(std::time::Duration::from_secs(3));
        tokio::pin!(time);
        loop {
            let (code, reason) = (ErrorCode::Internal, "\x1b[2J".repeat(60));
            peer.send(ControlFrame::SessionClose(SessionClose { code, application_code: None, reason })).await;
            connections += 1;
            peer = tokio::select! {
                peer = arena.server.accept_raw() => peer,
                () = &mut time => break,
            };
        }
        anyhow::ensure!(connections < 20, "{connections} connections in three seconds");
        Throttled
    }
}
