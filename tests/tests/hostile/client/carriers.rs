//! Carriers of a primary that break the rules of streams.

use bytes::Bytes;
use kwik_client::ErrorCode;
use kwik_proto::DelegationId;
use kwik_proto::frame::ControlFrame;
use kwik_tests::bare::{
    Message, Verdict, contribution_frame, contribution_header, length_prefix, public_frame,
    public_header,
};

use super::ByPrimary;
use crate::attack::Outcome::{Closed, Ignored, Stopped, Throttled};
use crate::attack::{Outcome, attacks, scaled};
use crate::honest::CONTENT;
use crate::wire::{LAST, range};

/// How the client takes a carrier that carries this, and nothing behind it.
async fn carried(arena: &mut ByPrimary, parts: &[Bytes]) -> anyhow::Result<Outcome> {
    let mut peer = arena.session().await?;
    let carrier = peer.carrier(parts.concat()).await;
    Ok(peer.carrier_verdict(carrier).await.into())
}

/// How the client closes for it.
async fn closed(arena: &mut ByPrimary, parts: &[Bytes]) -> anyhow::Result<Outcome> {
    let mut peer = arena.session().await?;
    let _carrier = peer.carrier(parts.concat()).await;
    Ok(peer.end().await.into())
}

attacks! { ATTACKS on ByPrimary;
    a_carrier_of_the_primary_without_a_header => Stopped(ErrorCode::HeaderMissing), |arena| {
        carried(arena, &[public_frame(3, 0, b"who am I?", false)]).await?
    }

    a_header_of_the_clients_stream => Stopped(ErrorCode::StreamClosed), |arena| {
        carried(arena, &[public_header(2), public_frame(2, 0, b"x", false)]).await?
    }

    a_header_of_a_stream_far_ahead => Closed(ErrorCode::LimitExceeded), |arena| {
        closed(arena, &[public_header(LAST)]).await?
    }

    a_header_of_a_stream_that_goes_both_ways => Stopped(ErrorCode::StreamState), |arena| {
        carried(arena, &[public_header(1), public_frame(1, 0, b"x", false)]).await?
    }

    bytes_of_the_primary_beyond_the_window => Closed(ErrorCode::FlowControl), |arena| {
        closed(arena, &[public_header(3), public_frame(3, 1 << 40, b"far", false)]).await?
    }

    /// A final size of all that can be.
    two_to_the_62_bytes => Closed(ErrorCode::FlowControl), |arena| {
        closed(arena, &[public_header(3), public_frame(3, LAST, b"", true)]).await?
    }

    bytes_behind_the_end => Stopped(ErrorCode::FinalSize), |arena| {
        let end = public_frame(3, 5, b"", true);
        carried(arena, &[public_header(3), end, public_frame(3, 9, b"more", false)]).await?
    }

    a_payload_of_the_primary_that_is_too_large => Stopped(ErrorCode::FrameEncoding), |arena| {
        carried(arena, &[public_header(3), length_prefix(1 << 30)]).await?
    }

    a_payload_that_is_not_last => Stopped(ErrorCode::FrameEncoding), |arena| {
        let frame = Message::new().varint(1, 3).bytes(15, b"payload").varint(2, 7).delimited();
        carried(arena, &[public_header(3), frame]).await?
    }

    /// The primary needs no grant, and names its own delegations.
    a_contribution_with_an_unknown_delegation => Ignored, |arena| {
        let mut peer = arena.session().await?;
        let own = [public_header(3), public_frame(3, 0, b"own", false)];
        let _own = peer.carrier(own.concat()).await;
        peer.verdict().await;
        let _carrier =
            peer.carrier(contribution_header(3, Some((DelegationId(77), range(0, 9))))).await;
        peer.verdict().await
    }

    a_contribution_with_a_wrong_checksum => Stopped(ErrorCode::Checksum), |arena| {
        let mut peer = arena.session().await?;
        let _own = peer.carrier([public_header(3), public_frame(3, 0, b"own", false)].concat()).await;
        peer.verdict().await;
        let mut frame = contribution_frame(3, 10, b"payload").to_vec();
        *frame.last_mut().unwrap() ^= 1;
        let frames = [&contribution_header(3, None)[..], &frame, &frame, &frame, &frame].concat();
        let carrier = peer.carrier(frames).await;
        peer.carrier_verdict(carrier).await
    }

    /// Every second byte of a window: too many pieces.
    one_byte_frames_from_behind => Stopped(ErrorCode::LimitExceeded), |arena| {
        let mut peer = arena.session_in("hold").await?;
        let mut frames = public_header(3).to_vec();
        for offset in (0..30_000).rev() {
            frames.extend_from_slice(&public_frame(3, 2 * offset, b"z", false));
        }
        let carrier = peer.carrier(frames).await;
        peer.carrier_verdict(carrier).await
    }

    /// A byte now and then.
    a_stream_that_drips => Ignored, |arena| {
        let mut peer = arena.session().await?;
        let mut carrier = peer.carrier(public_header(3)).await.unwrap();
        for offset in 0..20 {
            carrier.send(public_frame(3, offset, &CONTENT.bytes(offset, 1), false)).await?;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        peer.verdict().await
    }

    frames_of_nothing => Ignored, |arena| {
        let mut peer = arena.session().await?;
        let mut carrier = peer.carrier(public_header(3)).await.unwrap();
        let empty = public_frame(3, 0, b"", false).repeat(2000);
        for _ in 0..scaled(200) {
            carrier.send(empty.clone().into()).await?;
        }
        carrier.flush().await?;
        peer.verdict().await
    }

    the_same_bytes_without_end => Ignored, |arena| {
        let mut peer = arena.session_in("hold").await?;
        let mut carrier = peer.carrier(public_header(3)).await.unwrap();
        let frame = public_frame(3, 0, &[1; 60_000], false);
        for _ in 0..scaled(300) {
            carrier.send(frame.clone()).await?;
        }
        carrier.flush().await?;
        peer.verdict().await
    }

    /// What an application that reads nothing can be made to hold.
    a_hundred_streams_unread within 24 MiB => Ignored, |arena| {
        let mut peer = arena.session_in("hold").await?;
        let mut held = Vec::new();
        for number in 0..100 {
            let stream = 3 + 4 * number;
            let frames = [public_header(stream), public_frame(stream, 0, &[1; 60_000], false)];
            held.extend(peer.carrier(frames.concat()).await);
        }
        peer.verdict().await
    }

    more_streams_than_the_client_takes => Throttled, |arena| {
        let mut peer = arena.session_in("ignore").await?;
        let mut held = Vec::new();
        for number in 0..scaled(400) {
            let opening = peer.carrier(public_header(3 + 4 * number));
            match tokio::time::timeout(std::time::Duration::from_millis(500), opening).await {
                Ok(carrier) => held.extend(carrier),
                Err(_) => break,
            }
        }
        assert!(held.len() < 300, "{} streams", held.len());
        assert_eq!(peer.verdict().await, Verdict::Alive);
        Throttled
    }

    /// Without a look at what the client has closed: either it keeps up, or they are too many.
    streams_opened_and_reset => Throttled, |arena| {
        let mut peer = arena.session().await?;
        for number in 0..scaled(2000) {
            let stream = 3 + 4 * number;
            let Some(mut carrier) = peer.carrier(public_header(stream)).await else { break };
            peer.send(crate::wire::reset(stream, 0)).await;
            let _ = carrier.reset(1u8.into());
        }
        crate::attack::kept_up(peer.verdict().await)?
    }

    carriers_of_the_primary_that_end_at_once => Ignored, |arena| {
        let mut peer = arena.session().await?;
        for _ in 0..scaled(2000) {
            let Some(mut carrier) = peer.carrier(vec![4]).await else { break };
            let _ = carrier.finish();
        }
        peer.verdict().await
    }

    /// Repairs that nobody needs: contributions on the primary's own path.
    contributions_of_the_primary_that_end_at_once => Ignored, |arena| {
        let mut peer = arena.session_in("hold").await?;
        let _own = peer.carrier([public_header(3), public_frame(3, 0, b"own", false)].concat()).await;
        peer.verdict().await;
        for _ in 0..scaled(2000) {
            let Some(mut carrier) = peer.carrier(contribution_header(3, None)).await else { break };
            let _ = carrier.finish();
        }
        peer.verdict().await
    }

    /// A client that uploads, and is never given a larger window: its application may write 4 MiB ahead on each stream.
    uploads_that_are_never_read within 72 MiB => Throttled, |arena| {
        let mut peer = arena.session().await?;
        arena.uploads(10).await?;
        let mut held = Vec::new();
        for _ in 0..10 {
            let Ok(Some(carrier)) = peer.acceptor.accept_receive_stream().await else { break };
            held.push(carrier);
        }
        peer.send(ControlFrame::StreamBlocked(kwik_proto::frame::StreamBlocked {
            stream: crate::wire::id(3),
            max_offset: crate::wire::at(0),
        }))
        .await;
        assert_eq!(peer.verdict().await, Verdict::Alive);
        Throttled
    }
}
