//! Frames within the rules, without number.

use kwik_client::ErrorCode;
use kwik_proto::frame::{
    AddPathResult, ControlFrame, DelegationState, DelegationStatus, Gap, GapReason, HeldRange,
    MappingQuery, PathState, PathStatus, Ping, Pong, Relay, RelayCredit, StreamBlocked,
    StreamClosed, StreamProgress, TokenRequest,
};
use kwik_proto::{DelegationId, Epoch, PathId};
use kwik_tests::bare::{Message, RawPeer, Verdict, public_frame, public_header};

use super::Primary;
use crate::attack::Outcome::{Closed, Ignored, Throttled};
use crate::attack::{Outcome, attacks, scaled};
use crate::wire::{LAST, at, id, range, window};

/// Frames of a flood.
const FLOOD: u64 = 20_000;

/// The verdict on a flood of a client that has asked for something, on its first stream.
async fn flood(arena: &mut Primary, frame: impl FnMut(u64) -> ControlFrame) -> Outcome {
    let mut peer = arena.client().await;
    let request = [public_header(0), public_frame(0, 0, &900_000_u64.to_be_bytes(), true)];
    let _reply = peer.request(request.concat()).await;
    peer.flood(scaled(FLOOD), frame).await;
    peer.verdict().await.into()
}

attacks! { ATTACKS on Primary;
    pings => Ignored, |arena| {
        flood(arena, |nonce| ControlFrame::Ping(Ping { nonce })).await
    }

    /// The answers are not read. At this size they fit QUIC's window of the client (16 MiB); from a scale of 20 on they fill
    /// the queue behind it, 1 MiB, and the primary closes.
    pings_whose_answers_are_not_read => Throttled, |arena| {
        let mut peer = RawPeer::deaf_client(arena.address, arena.pin).await;
        let taken = peer.flood(scaled(100_000), |nonce| {
            ControlFrame::Ping(Ping { nonce: nonce << 32 })
        });
        let _ = tokio::time::timeout(std::time::Duration::from_secs(20), taken).await;
        Throttled
    }

    pongs => Ignored, |arena| {
        flood(arena, |nonce| ControlFrame::Pong(Pong { nonce })).await
    }

    windows => Ignored, |arena| {
        flood(arena, |number| window(0, 70_000 + number)).await
    }

    windows_of_streams_that_are_not_asked_on => Closed(ErrorCode::LimitExceeded), |arena| {
        flood(arena, |number| window(4 * number, LAST)).await
    }

    progress_with_all_ranges => Ignored, |arena| {
        flood(arena, |number| {
            let held = |it: u64| HeldRange {
                range: range(100 + 100 * it, 110 + 100 * it + number % 50),
                path: PathId::new(1 + it as u16),
            };
            ControlFrame::StreamProgress(StreamProgress {
                stream: id(0),
                read_offset: at(0),
                contiguous_end: at(number % 60),
                held: (0..32).map(held).collect(),
                reader_waiting: number % 2 == 0,
            })
        })
        .await
    }

    gaps => Ignored, |arena| {
        flood(arena, |number| {
            let range = range(number, number + 9);
            let (stream, reason, delegation) = (id(0), GapReason::Late, Some(DelegationId(number)));
            ControlFrame::Gap(Gap { stream, range, reason, path: None, delegation })
        })
        .await
    }

    blocked => Ignored, |arena| {
        flood(arena, |number| {
            ControlFrame::StreamBlocked(StreamBlocked { stream: id(2), max_offset: at(number) })
        })
        .await
    }

    closed_streams => Ignored, |arena| {
        flood(arena, |_| {
            ControlFrame::StreamClosed(StreamClosed { stream: id(0), complete: false })
        })
        .await
    }

    states_of_paths_that_are_not_there => Ignored, |arena| {
        flood(arena, |number| {
            let states = [PathState::Live, PathState::Suspect, PathState::Gone];
            ControlFrame::PathStatus(PathStatus {
                path: PathId::new(1 + number as u16 % 60_000),
                epoch: Epoch::FIRST,
                state: states[number as usize % 3],
                reason: None,
                smoothed_rtt_us: u64::MAX,
                rtt_variation_us: u64::MAX,
                received_bytes: u64::MAX,
                busy_us: 1,
            })
        })
        .await
    }

    /// A rate beyond all measure, for the primary's own path.
    a_rate_beyond_measure => Ignored, |arena| {
        flood(arena, |number| {
            ControlFrame::PathStatus(PathStatus {
                path: PathId::PRIMARY,
                epoch: Epoch::FIRST,
                state: PathState::Live,
                reason: None,
                smoothed_rtt_us: 1,
                rtt_variation_us: 0,
                received_bytes: number.wrapping_mul(u64::MAX / 7),
                busy_us: number,
            })
        })
        .await
    }

    results_of_paths_that_are_not_there => Ignored, |arena| {
        flood(arena, |number| {
            ControlFrame::AddPathResult(AddPathResult {
                path: PathId::new(1 + number as u16 % 60_000),
                epoch: Epoch(1 + number as u32),
                code: ErrorCode::Busy,
                detail: "\x1b[31m".repeat(50),
            })
        })
        .await
    }

    tokens_for_paths_that_are_not_there => Closed(ErrorCode::RateExceeded), |arena| {
        flood(arena, |number| {
            let path = PathId::new(1 + number as u16 % 60_000);
            ControlFrame::TokenRequest(TokenRequest { path, epoch: Epoch::FIRST })
        })
        .await
    }

    states_of_delegations_that_are_not_there => Ignored, |arena| {
        flood(arena, |number| {
            let states = [
                DelegationState::Accepted,
                DelegationState::Pending,
                DelegationState::Sent,
                DelegationState::Refused(GapReason::Busy),
            ];
            ControlFrame::DelegationStatus(DelegationStatus {
                path: PathId::new(1),
                delegation: DelegationId(number),
                state: states[number as usize % 4],
            })
        })
        .await
    }

    relays_of_paths_that_are_not_there => Ignored, |arena| {
        flood(arena, |number| {
            ControlFrame::Relay(Relay {
                path: PathId::new(1),
                message_id: number / 16,
                message_size: 64 << 10,
                piece_offset: (number as u32 % 16) << 12,
                piece: vec![1; 512].into(),
            })
        })
        .await
    }

    relay_credit => Ignored, |arena| {
        flood(arena, |number| {
            let path = PathId::new(1 + number as u16 % 16);
            ControlFrame::RelayCredit(RelayCredit { path, max_bytes: u64::MAX })
        })
        .await
    }

    questions_about_carriers => Ignored, |arena| {
        flood(arena, |query| {
            let carriers = (0..64).map(|it| 4 * it + query).collect();
            ControlFrame::MappingQuery(MappingQuery { query, carriers })
        })
        .await
    }

    frames_of_a_later_version => Ignored, |arena| {
        let mut peer = arena.client().await;
        let frame = Message::frame(200, false, Message::new().bytes(1, &[7; 60_000]));
        for _ in 0..scaled(300) {
            peer.write(frame.clone()).await;
        }
        peer.verdict().await
    }

    /// Many clients at once, each with a small flood.
    floods_of_many_clients => Ignored, |arena| {
        let mut peers = Vec::new();
        for _ in 0..scaled(20) {
            peers.push(arena.client().await);
        }
        let mut floods = Vec::new();
        for mut peer in peers {
            floods.push(tokio::spawn(async move {
                peer.flood(2000, |nonce| ControlFrame::Ping(Ping { nonce })).await;
                peer.verdict().await
            }));
        }
        for flood in floods {
            assert_eq!(flood.await?, Verdict::Alive);
        }
        Ignored
    }
}
