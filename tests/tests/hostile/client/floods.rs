//! Frames of a primary within the rules, without number.

use bytes::Bytes;
use kwik_client::ErrorCode;
use kwik_io::sign::sign_orders;
use kwik_proto::frame::{
    ControlFrame, Delegation, Gap, GapReason, Grant, MappingQuery, MappingSnapshot, Order, Orders,
    Ping, RelayCredit, StreamBlocked,
};
use kwik_proto::{DelegationId, Epoch, PathId, SessionId};
use kwik_tests::bare::{Message, public_frame, public_header};
use kwik_tests::identity;

use super::ByPrimary;
use super::addresses::add;
use crate::attack::Outcome::{Closed, Ignored};
use crate::attack::{Outcome, attacks, scaled};
use crate::wire::{LAST, at, id, range, window};

/// Frames of a flood.
const FLOOD: u64 = 20_000;

/// The verdict on a flood in a session with one stream of the primary.
async fn flood(
    arena: &mut ByPrimary,
    frame: impl FnMut(u64) -> ControlFrame,
) -> anyhow::Result<Outcome> {
    let mut peer = arena.session().await?;
    let _stream =
        peer.carrier([public_header(3), public_frame(3, 0, b"own", false)].concat()).await;
    peer.flood(scaled(FLOOD), frame).await;
    Ok(peer.verdict().await.into())
}

fn orders(number: u64, orders: Vec<Order>) -> Bytes {
    let (session, path, epoch) = (SessionId([7; 16]), PathId::new(1), Epoch::FIRST);
    Orders { session, path, epoch, number, orders }.encode()
}

/// A delegation of a few bytes.
fn delegation(number: u64) -> Order {
    Order::Delegation(Delegation {
        id: DelegationId(number),
        stream: id(3),
        range: range(1000 + number, 1001 + number),
        resource: Bytes::new(),
        blake3: Some([1; 32]),
        rank: kwik_proto::frame::Rank::default(),
    })
}

/// Orders for a path that is being dialled and never answers.
async fn dialling(
    arena: &mut ByPrimary,
    batches: u64,
    order: impl Fn(u64) -> Order,
) -> anyhow::Result<Outcome> {
    let mut peer = arena.session_in("hold").await?;
    let _stream =
        peer.carrier([public_header(3), public_frame(3, 0, b"own", false)].concat()).await;
    peer.verdict().await;
    let silent = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let pin = kwik_proto::frame::ServerIdentity::Pin([1; 32]);
    peer.send(add(1, vec![silent.local_addr()?], pin)).await;
    let key = identity().0;
    for batch in 0..batches {
        let body = orders(batch + 1, (0..256).map(|it| order(batch * 256 + it)).collect());
        peer.send(ControlFrame::Orders(sign_orders(&key, body))).await;
    }
    Ok(peer.verdict().await.into())
}

attacks! { ATTACKS on ByPrimary;
    pings_at_a_client => Ignored, |arena| {
        flood(arena, |nonce| ControlFrame::Ping(Ping { nonce })).await?
    }

    gaps_of_the_primary => Ignored, |arena| {
        flood(arena, |number| {
            let (stream, range) = (id(3), range(1000 + 2 * number, 1001 + 2 * number));
            let (reason, path, delegation) = (GapReason::Unassigned, None, None);
            ControlFrame::Gap(Gap { stream, range, reason, path, delegation })
        })
        .await?
    }

    gaps_of_many_streams => Closed(ErrorCode::LimitExceeded), |arena| {
        flood(arena, |number| {
            let (stream, range) = (id(3 + 4 * number), range(0, LAST));
            let (reason, path, delegation) = (GapReason::Unassigned, None, None);
            ControlFrame::Gap(Gap { stream, range, reason, path, delegation })
        })
        .await?
    }

    blocked_streams => Ignored, |arena| {
        flood(arena, |number| {
            ControlFrame::StreamBlocked(StreamBlocked { stream: id(3), max_offset: at(number) })
        })
        .await?
    }

    credit_of_paths_that_are_not_there => Ignored, |arena| {
        flood(arena, |number| {
            let path = PathId::new(number as u16);
            ControlFrame::RelayCredit(RelayCredit { path, max_bytes: u64::MAX })
        })
        .await?
    }

    questions_at_a_client => Ignored, |arena| {
        flood(arena, |query| {
            ControlFrame::MappingQuery(MappingQuery { query, carriers: (0..64).collect() })
        })
        .await?
    }

    answers_at_a_client => Ignored, |arena| {
        flood(arena, |query| {
            ControlFrame::MappingSnapshot(MappingSnapshot { query, mappings: Vec::new() })
        })
        .await?
    }

    windows_that_move_byte_by_byte => Ignored, |arena| {
        let mut peer = arena.session().await?;
        arena.uploads(1).await?;
        let _upload = peer.acceptor.accept_receive_stream().await?;
        peer.flood(scaled(FLOOD), |number| window(2, 70_000 + number)).await;
        peer.verdict().await
    }

    unknown_frames => Ignored, |arena| {
        let mut peer = arena.session().await?;
        let frame = Message::frame(300, false, Message::new().bytes(1, &[7; 60_000]));
        for _ in 0..scaled(300) {
            peer.write(frame.clone()).await;
        }
        peer.verdict().await
    }

    /// 64 frames of orders are kept; the delegations in the others come back.
    /// More hashes are awaited than a client keeps.
    orders_for_a_path_that_never_answers => Closed(ErrorCode::LimitExceeded), |arena| {
        dialling(arena, scaled(100), delegation).await?
    }

    grants_for_a_path_that_never_answers => Ignored, |arena| {
        dialling(arena, scaled(100), |number| Order::Grant(Grant {
            stream: id(3),
            start: at(2 * number),
            end: Some(at(2 * number + 1)),
            max_offset: at(LAST),
        }))
        .await?
    }
}
