//! More than a session may have: unread answers, frames, orders, tokens.

use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use kwik_client::{Client, Connect, ErrorCode, Limits};
use kwik_proto::frame::{
    AddPathResult, ControlFrame, DelegationState, DelegationStatus, GapReason, Hello, Order,
    Orders, PathState, PathStatus, Ping, TokenRequest,
};
use kwik_proto::{Epoch, PathId};
use kwik_tests::bare::{Message, RawPeer, Verdict, hello, public_frame, public_header};
use tokio::task::JoinSet;

use super::Primary;
use crate::attack::Outcome::{Closed, Throttled};
use crate::attack::{attacks, scaled};
use crate::honest::CONTENT;
use crate::victim::server::LITTLE;
use crate::wire::{LAST, window};

/// Clients that upload, and uploads of each.
const CLIENTS: u64 = 8;
const UPLOADS: u64 = 4;

attacks! { ATTACKS on Primary;
    /// A hundred answers, as large as can be, of which nothing is read: their window is endless, QUIC's is not.
    a_hundred_answers_never_read within 96 MiB => Throttled, |arena| {
        let mut peer = RawPeer::client(arena.address, arena.pin).await;
        let mut held = Vec::new();
        for number in 0..100 {
            let stream = 4 * number;
            let request = public_frame(stream, 0, &(1_u64 << 40).to_be_bytes(), true);
            held.extend(peer.request([public_header(stream), request].concat()).await);
            peer.send(window(stream, LAST)).await;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        Throttled
    }

    /// Control frames as fast as they can be written.
    half_a_million_control_frames => Closed(ErrorCode::RateExceeded), |arena| {
        let mut peer = arena.client().await;
        peer.flood(scaled(500_000), |nonce| ControlFrame::Ping(Ping { nonce })).await;
        peer.verdict().await
    }

    /// Uploads of which a little is read, so that their windows have grown, and then nothing: what all of them may have is one
    /// memory, and beyond it each has its first window.
    uploads_that_are_read_in_part within 64 MiB => Throttled, |arena| {
        arena.switch(&["hoarding"]).await?;
        let (mut sending, mut kept) = (JoinSet::new(), Vec::new());
        for _ in 0..CLIENTS {
            let limits = Limits::new().with_send_memory(64 << 20, 2 << 20);
            let client = Client::builder().with_tls(arena.pin)?.with_limits(limits).start()?;
            let session = client.connect(Connect::new(arena.address)).await?;
            for _ in 0..UPLOADS {
                let mut upload = session.handle().open_send_stream().await?;
                let chunk = CONTENT.bytes(0, 64 << 10);
                sending.spawn(async move { while upload.send(chunk.clone()).await.is_ok() {} });
            }
            // Each has its turn: whatever it can get is its own.
            let (mut before, mut still) = (0, 0);
            while still < 10 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let sent = session.metrics().await?.sent_bytes;
                still = if sent == before { still + 1 } else { 0 };
                before = sent;
            }
            kept.push((client, session));
        }
        let promised = arena.counter("receive_memory_bytes").await?;
        // Windows of 64 KiB, each byte counted one and a half times.
        let most = LITTLE + CLIENTS * UPLOADS * (96 << 10);
        ensure!(promised <= most, "{promised} bytes are promised, {most} may be");
        ensure!(promised >= LITTLE / 4, "{promised} bytes are hardly a flood");
        Throttled
    }

    /// Frames within the rate that are as large as can be: they count by their bytes, whether they are known or passed over.
    control_frames_of_sixty_kilobytes => Closed(ErrorCode::RateExceeded), |arena| {
        arena.switch(&["strict"]).await?;
        let padded = Message::new().varint(1, 7).bytes(100, &[7; 60_000]);
        let (mut pongs, mut unknown) = (arena.client().await, arena.client().await);
        let (pong, later) = (Message::frame(24, true, padded.clone()), Message::frame(300, false, padded));
        let (known, unknown) = tokio::join!(fill(&mut pongs, pong), fill(&mut unknown, later));
        ensure!(known == unknown, "{known:?} for known ones, {unknown:?} for others");
        known
    }

    /// A path of absurd rate, on which every order is answered with Busy, as fast as it comes.
    a_path_of_absurd_rate_that_is_busy => Throttled, |arena| {
        let (mut peer, path) = delegated(arena, "delegating", 1 << 40).await?;
        let orders = refuse_all(&mut peer, path).await?;
        ensure!(orders < 3000, "{orders} orders in three seconds");
        Throttled
    }

    /// The same of a primary that hashes what it orders: it reads no more of its copy than the client could have under way, and
    /// what it sends itself meanwhile.
    a_busy_path_of_ranges_that_are_hashed within 160 MiB => Throttled, |arena| {
        let (mut peer, path) = delegated(arena, "proving", 1 << 40).await?;
        refuse_all(&mut peer, path).await?;
        let read = arena.counter("read_bytes").await?;
        ensure!((1..=384 << 20).contains(&read), "{} MiB were read", read >> 20);
        Throttled
    }

    /// A token for each time that it is asked for one: no more are signed than the rate allows.
    tokens_without_number => Throttled, |arena| {
        let (mut peer, path) = delegated(arena, "delegating", 1000).await?;
        let start = std::time::Instant::now();
        for epoch in 1..=scaled(2000) as u32 {
            peer.send(status(path, PathState::Gone, 0)).await;
            peer.send(ControlFrame::TokenRequest(TokenRequest { path, epoch: Epoch(epoch) })).await;
        }
        let mut tokens = 0;
        let time = tokio::time::sleep(Duration::from_secs(3));
        tokio::pin!(time);
        loop {
            let token = tokio::select! {
                found = peer.find(|frame| matches!(frame, ControlFrame::AddPath(_)).then_some(())) => found,
                () = &mut time => break,
            };
            ensure!(token.is_ok(), "the session is over: {token:?}");
            tokens += 1;
        }
        // As many as come in a second at once, and what comes while they are counted.
        let most = 200 * (2 + start.elapsed().as_secs());
        ensure!(tokens <= most, "{tokens} tokens were signed, where {most} are allowed");
        ensure!(tokens >= 200, "{tokens} tokens are less than a client may ask for");
        Throttled
    }
}

/// The verdict on a frame that comes again and again, 240 MB in all: at 20,000 units a second they take 23 s.
async fn fill(peer: &mut RawPeer, frame: Bytes) -> Verdict {
    for _ in 0..scaled(4_000) {
        if !peer.write(frame.clone()).await {
            break;
        }
    }
    peer.verdict().await
}

/// Answers every order with Busy for three seconds, from a path of absurd rate and with a window without end; how many came.
async fn refuse_all(peer: &mut RawPeer, path: PathId) -> anyhow::Result<u64> {
    peer.send(status(path, PathState::Live, u64::MAX / 2)).await;
    let time = tokio::time::sleep(Duration::from_secs(3));
    tokio::pin!(time);
    let mut orders = 0_u64;
    loop {
        let signed = tokio::select! {
            signed = peer.find(|frame| match frame {
                ControlFrame::Orders(signed) => Some(signed.clone()),
                _ => None,
            }) => signed,
            () = &mut time => return Ok(orders),
        };
        let Ok(signed) = signed else { return Ok(orders) };
        for order in Orders::decode(&signed.body)?.orders {
            let Order::Delegation(delegation) = order else { continue };
            orders += 1;
            peer.send(ControlFrame::DelegationStatus(DelegationStatus {
                path,
                delegation: delegation.id,
                state: DelegationState::Refused(GapReason::Busy),
            }))
            .await;
            peer.send(window(0, (orders << 20) + (1 << 30))).await;
            peer.send(status(path, PathState::Live, u64::MAX / 2 + orders)).await;
        }
    }
}

/// A client that was sent to a secondary of a primary of that kind, and has asked for so many bytes.
async fn delegated(
    arena: &mut Primary,
    kind: &str,
    bytes: u64,
) -> anyhow::Result<(RawPeer, PathId)> {
    arena.switch(&[kind]).await?;
    let hello = Hello { confirmation_key: Some([1; 32]), ..hello() };
    let mut peer = RawPeer::client_with(arena.address, arena.pin, hello).await;
    let path = peer.next(|frame| match frame {
        ControlFrame::AddPath(add) => Some(add.path),
        _ => None,
    });
    let path = path.await;
    let (code, detail) = (ErrorCode::None, String::new());
    let result = AddPathResult { path, epoch: Epoch::FIRST, code, detail };
    peer.send(ControlFrame::AddPathResult(result)).await;
    let request = [public_header(0), public_frame(0, 0, &bytes.to_be_bytes(), true)];
    let request = peer.request(request.concat()).await;
    // Its answer is read as it comes.
    tokio::spawn(async move {
        if let Some(mut request) = request {
            while let Ok(Some(_)) = request.receive().await {}
        }
    });
    Ok((peer, path))
}

fn status(path: PathId, state: PathState, received_bytes: u64) -> ControlFrame {
    ControlFrame::PathStatus(PathStatus {
        path,
        epoch: Epoch::FIRST,
        state,
        reason: None,
        smoothed_rtt_us: 1,
        rtt_variation_us: 0,
        received_bytes,
        busy_us: 1,
    })
}
