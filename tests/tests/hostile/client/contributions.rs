//! Contributions of a secondary that break the rules: each is stopped with a code, which is counted, and the path goes on.

use bytes::{Bytes, BytesMut};
use kwik_client::ErrorCode;
use kwik_proto::DelegationId;
use kwik_proto::data::{self, DataHeader};
use kwik_tests::bare::{
    Message, contribution_frame, contribution_header, length_prefix, public_header,
};

use super::{BySecondary, Target};
use crate::attack::Outcome::{Ignored, Stopped, Throttled};
use crate::attack::{Outcome, attacks, scaled};
use crate::honest::CONTENT;
use crate::wire::{LAST, at, id, range};

/// How the client takes a contribution to a stream that the attacker is granted; whatever it is, it is counted.
async fn carried(
    arena: &mut BySecondary,
    parts: impl FnOnce(u64) -> Vec<Bytes>,
) -> anyhow::Result<Outcome> {
    carried_to(arena, true, parts).await
}

async fn carried_to(
    arena: &mut BySecondary,
    granted: bool,
    parts: impl FnOnce(u64) -> Vec<Bytes>,
) -> anyhow::Result<Outcome> {
    let Target { stream, mut peer, .. } = arena.target(granted).await?;
    let carrier = peer.carrier(parts(stream.id()).concat()).await;
    let seen = Outcome::from(peer.carrier_verdict(carrier).await);
    if let Stopped(code) = seen {
        arena.counts(code, 1).await?;
        assert_eq!(Outcome::from(peer.verdict().await), Ignored, "the path goes on");
    }
    Ok(seen)
}

/// A frame with that checksum, that end, and so many bytes.
fn frame(stream: u64, offset: u64, fin: bool, length: usize, crc32c: Option<u32>) -> Bytes {
    let mut out = BytesMut::new();
    DataHeader { stream: id(stream), offset: at(offset), fin, length, crc32c }.encode(&mut out);
    out.extend_from_slice(&vec![7; length]);
    out.freeze()
}

attacks! { ATTACKS on BySecondary;
    a_contribution_without_a_header => Stopped(ErrorCode::HeaderMissing), |arena| {
        carried(arena, |stream| vec![contribution_frame(stream, 100, b"who am I?")]).await?
    }

    a_contribution_of_noise => Stopped(ErrorCode::HeaderMissing), |arena| {
        carried(arena, |_| vec![vec![0xff; 300].into()]).await?
    }

    a_stream_of_its_own => Stopped(ErrorCode::NotGranted), |arena| {
        carried(arena, |_| vec![public_header(7)]).await?
    }

    a_contribution_to_a_stream_that_is_not_there => Stopped(ErrorCode::Mapping), |arena| {
        carried(arena, |_| vec![contribution_header(40_003, None), contribution_frame(40_003, 0, b"x")]).await?
    }

    a_contribution_to_what_the_client_sends => Stopped(ErrorCode::StreamState), |arena| {
        carried(arena, |_| vec![contribution_header(2, None)]).await?
    }

    a_contribution_without_a_grant => Stopped(ErrorCode::NotGranted), |arena| {
        carried_to(arena, false, |stream| vec![contribution_header(stream, None)]).await?
    }

    a_delegation_that_nobody_gave => Stopped(ErrorCode::NotGranted), |arena| {
        carried_to(arena, false, |stream| {
            vec![contribution_header(stream, Some((DelegationId(1 << 40), range(0, 9))))]
        })
        .await?
    }

    a_contribution_beyond_the_window => Stopped(ErrorCode::FlowControl), |arena| {
        carried(arena, |stream| {
            vec![contribution_header(stream, None), contribution_frame(stream, 1 << 40, b"far")]
        })
        .await?
    }

    a_contribution_beyond_all_offsets => Stopped(ErrorCode::FrameEncoding), |arena| {
        carried(arena, |stream| {
            let beyond = Message::new().varint(1, stream).varint(2, LAST).raw(&[0x25, 0, 0, 0, 0]);
            vec![contribution_header(stream, None), beyond.bytes(15, b"xyz").delimited()]
        })
        .await?
    }

    a_contribution_that_ends_the_stream => Stopped(ErrorCode::FrameEncoding), |arena| {
        carried(arena, |stream| {
            vec![contribution_header(stream, None), frame(stream, 100, true, 3, Some(1))]
        })
        .await?
    }

    a_contribution_without_checksums => Stopped(ErrorCode::FrameEncoding), |arena| {
        carried(arena, |stream| {
            vec![contribution_header(stream, None), frame(stream, 100, false, 3, None)]
        })
        .await?
    }

    a_contribution_with_wrong_checksums => Stopped(ErrorCode::Checksum), |arena| {
        carried(arena, |stream| {
            let wrong = frame(stream, 100, false, 3, Some(1));
            vec![contribution_header(stream, None), wrong.clone(), wrong.clone(), wrong.clone(), wrong]
        })
        .await?
    }

    a_contribution_of_large_frames => Stopped(ErrorCode::FrameEncoding), |arena| {
        carried(arena, |stream| vec![contribution_header(stream, None), length_prefix(100 << 10)]).await?
    }

    a_contribution_with_an_endless_head => Stopped(ErrorCode::FrameEncoding), |arena| {
        carried(arena, |stream| {
            let fields = Message::new().raw(&[0x70, 1].repeat(400)).delimited().slice(2..);
            vec![contribution_header(stream, None), length_prefix(60_000), fields]
        })
        .await?
    }

    a_contribution_that_changes_its_stream => Stopped(ErrorCode::Mapping), |arena| {
        carried(arena, |stream| {
            let other = contribution_frame(stream + 4, 120, b"elsewhere");
            vec![contribution_header(stream, None), contribution_frame(stream, 100, &CONTENT.bytes(100, 20)), other]
        })
        .await?
    }

    /// Within the grant, and in too many pieces: every second byte.
    contributions_of_single_bytes => Stopped(ErrorCode::LimitExceeded), |arena| {
        carried(arena, |stream| {
            let byte = |offset: u64| contribution_frame(stream, 2 * offset, b"z");
            [contribution_header(stream, None)].into_iter().chain((60..30_000).rev().map(byte)).collect()
        })
        .await?
    }

    contributions_of_the_same_bytes => Ignored, |arena| {
        let Target { stream, mut peer, .. } = arena.target(true).await?;
        let mut carrier = peer.carrier(contribution_header(stream.id(), None)).await.unwrap();
        let frame = contribution_frame(stream.id(), 200, &[1; 30_000]);
        for _ in 0..scaled(300) {
            carrier.send(frame.clone()).await?;
        }
        carrier.flush().await?;
        peer.verdict().await
    }

    /// A frame that is never whole has to be held, for its checksum; on as many QUIC streams as there may be.
    frames_that_are_never_whole within 112 MiB => Ignored, |arena| {
        let Target { stream, mut peer, .. } = arena.target(true).await?;
        let whole = contribution_frame(stream.id(), 200, &vec![1; data::MAX_CONTRIBUTION_PAYLOAD]);
        let cut = whole.slice(..whole.len() - 1);
        let mut held = Vec::new();
        for _ in 0..1000 {
            let opening = peer.carrier([contribution_header(stream.id(), None), cut.clone()].concat());
            match tokio::time::timeout(std::time::Duration::from_millis(500), opening).await {
                Ok(carrier) => held.extend(carrier),
                Err(_) => break,
            }
        }
        peer.verdict().await
    }

    /// As many QUIC streams as there may be, of which nothing comes but the header.
    headers_and_nothing_else => Throttled, |arena| {
        let Target { stream, mut peer, .. } = arena.target(true).await?;
        let mut held = Vec::new();
        for _ in 0..1100 {
            let opening = peer.carrier(contribution_header(stream.id(), None));
            match tokio::time::timeout(std::time::Duration::from_millis(500), opening).await {
                Ok(carrier) => held.extend(carrier),
                Err(_) => break,
            }
        }
        assert!(held.len() <= 1024, "{} contributions", held.len());
        assert_eq!(Outcome::from(peer.verdict().await), Ignored);
        Throttled
    }

    /// As many QUIC streams as there may be, without a header, or with half of one.
    streams_without_a_header => Throttled, |arena| {
        let Target { mut peer, .. } = arena.target(true).await?;
        let mut held = Vec::new();
        for _ in 0..1100 {
            match tokio::time::timeout(std::time::Duration::from_millis(500), peer.carrier(vec![4])).await {
                Ok(carrier) => held.extend(carrier),
                Err(_) => break,
            }
        }
        assert!(held.len() <= 1024, "{} streams", held.len());
        assert_eq!(Outcome::from(peer.verdict().await), Ignored);
        Throttled
    }

    /// Streams that begin and end, without a header.
    streams_that_end_without_a_header within 32 MiB => Throttled, |arena| {
        let Target { mut peer, .. } = arena.target(true).await?;
        for _ in 0..scaled(5_000) {
            let Some(mut carrier) = peer.carrier(vec![4]).await else { break };
            let _ = carrier.finish();
        }
        let _ = peer.verdict().await;
        Throttled
    }
}
