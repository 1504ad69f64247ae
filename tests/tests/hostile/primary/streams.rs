//! Carriers of a client that break the rules of streams.

use bytes::{Bytes, BytesMut};
use kwik_client::ErrorCode;
use kwik_proto::data::DataHeader;
use kwik_tests::bare::{
    Message, Verdict, contribution_header, length_prefix, public_frame, public_header,
};

use super::Primary;
use crate::attack::Outcome::{Closed, Ignored, Stopped, Throttled};
use crate::attack::{Outcome, attacks, kept_up, scaled};
use crate::wire::{LAST, at, id};

/// How the primary takes a carrier that carries this, and nothing behind it.
async fn carried(arena: &mut Primary, parts: &[Bytes]) -> Outcome {
    let mut peer = arena.client().await;
    let carrier = peer.carrier(parts.concat()).await;
    peer.carrier_verdict(carrier).await.into()
}

/// A frame that ends beyond all offsets.
fn beyond() -> Bytes {
    Message::new().varint(1, 2).varint(2, LAST).bytes(15, b"xyz").delimited()
}

/// How the primary closes for it.
async fn closed(arena: &mut Primary, parts: &[Bytes]) -> Outcome {
    let mut peer = arena.client().await;
    let _carrier = peer.carrier(parts.concat()).await;
    peer.end().await.into()
}

attacks! { ATTACKS on Primary;
    /// Headers that are none.
    a_carrier_without_a_header => Stopped(ErrorCode::HeaderMissing), |arena| {
        carried(arena, &[public_frame(2, 0, b"who am I?", false)]).await
    }

    a_header_of_a_megabyte => Stopped(ErrorCode::HeaderMissing), |arena| {
        carried(arena, &[length_prefix(1 << 20)]).await
    }

    a_header_without_a_kind => Stopped(ErrorCode::HeaderMissing), |arena| {
        carried(arena, &[Message::new().varint(1, 2).delimited()]).await
    }

    a_header_of_long_varints => Stopped(ErrorCode::HeaderMissing), |arena| {
        carried(arena, &[Message::new().raw(&[8, 0x82, 0x80, 0, 16, 1]).delimited()]).await
    }

    a_header_that_ends_early => Stopped(ErrorCode::HeaderMissing), |arena| {
        let mut peer = arena.client().await;
        let mut stream = peer.request(vec![4, 8]).await.unwrap();
        stream.finish()?;
        loop {
            match stream.receive().await {
                Ok(Some(_)) => {}
                Ok(None) => anyhow::bail!("it ends the other direction as if all were well"),
                Err(error) => break kwik_tests::bare::verdict_of(error),
            }
        }
    }

    /// Headers of streams that the client has not.
    /// Refused, as if it were over.
    a_header_of_the_servers_stream => Stopped(ErrorCode::StreamClosed), |arena| {
        carried(arena, &[public_header(3)]).await
    }

    a_header_far_ahead => Closed(ErrorCode::LimitExceeded), |arena| {
        closed(arena, &[public_header(LAST - 1)]).await
    }

    a_contribution_of_a_client => Closed(ErrorCode::ProtocolViolation), |arena| {
        closed(arena, &[contribution_header(2, None)]).await
    }

    a_second_carrier_for_a_stream => Stopped(ErrorCode::Mapping), |arena| {
        let mut peer = arena.client().await;
        let _first = peer.carrier([public_header(2), public_frame(2, 0, b"one", false)].concat()).await;
        // The first one is known before the second comes.
        peer.verdict().await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let second = peer.carrier([public_header(2), public_frame(2, 3, b"two", false)].concat()).await;
        peer.carrier_verdict(second).await
    }

    /// Frames that break the rules.
    bytes_beyond_the_window => Closed(ErrorCode::FlowControl), |arena| {
        closed(arena, &[public_header(2), public_frame(2, 1 << 40, b"far", false)]).await
    }

    a_final_size_beyond_the_window => Closed(ErrorCode::FlowControl), |arena| {
        closed(arena, &[public_header(2), public_frame(2, LAST, b"", true)]).await
    }

    bytes_beyond_all_offsets => Stopped(ErrorCode::FrameEncoding), |arena| {
        carried(arena, &[public_header(2), beyond()]).await
    }

    a_payload_of_two_megabytes => Stopped(ErrorCode::FrameEncoding), |arena| {
        carried(arena, &[public_header(2), length_prefix(2 << 20)]).await
    }

    a_frame_whose_head_never_ends => Stopped(ErrorCode::FrameEncoding), |arena| {
        let frame = length_prefix(100_000);
        let fields = Message::new().raw(&[0x70, 1].repeat(400)).delimited().slice(2..);
        carried(arena, &[public_header(2), frame, fields]).await
    }

    a_checksum_on_a_public_stream => Stopped(ErrorCode::FrameEncoding), |arena| {
        let mut frame = BytesMut::new();
        DataHeader { stream: id(2), offset: at(0), fin: false, length: 1, crc32c: Some(1) }
            .encode(&mut frame);
        carried(arena, &[public_header(2), frame.freeze(), Bytes::from_static(b"x")]).await
    }

    a_frame_of_another_stream => Stopped(ErrorCode::Mapping), |arena| {
        let frames = [public_frame(2, 0, b"mine", false), public_frame(6, 4, b"theirs", false)];
        carried(arena, &[&[public_header(2)], &frames[..]].concat()).await
    }

    two_final_sizes => Stopped(ErrorCode::FinalSize), |arena| {
        let mut peer = arena.client().await;
        let end = [public_header(2), public_frame(2, 100, b"", true)];
        let mut carrier = peer.carrier(end.concat()).await.unwrap();
        // The first is taken before the second comes.
        carrier.flush().await?;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        carrier.send(public_frame(2, 0, b"more", true)).await?;
        peer.carrier_verdict(Some(carrier)).await
    }

    /// Within the window, and in too many pieces: every second byte.
    a_window_of_one_byte_frames => Stopped(ErrorCode::LimitExceeded), |arena| {
        let mut peer = arena.client().await;
        let mut frames = public_header(2).to_vec();
        for offset in (0..30_000).rev() {
            frames.extend_from_slice(&public_frame(2, 2 * offset, b"z", false));
        }
        let carrier = peer.carrier(frames).await;
        peer.carrier_verdict(carrier).await
    }

    the_same_bytes_again_and_again => Ignored, |arena| {
        let mut peer = arena.client().await;
        let frame = public_frame(2, 0, &[1; 60_000], false);
        let mut upload = peer.carrier(public_header(2)).await.unwrap();
        for _ in 0..scaled(300) {
            upload.send(frame.clone()).await?;
        }
        upload.flush().await?;
        peer.verdict().await
    }

    frames_without_bytes => Ignored, |arena| {
        let mut peer = arena.client().await;
        let empty = public_frame(2, 0, b"", false);
        let mut upload = peer.carrier(public_header(2)).await.unwrap();
        for _ in 0..scaled(200) {
            upload.send(empty.repeat(2000).into()).await?;
        }
        upload.flush().await?;
        peer.verdict().await
    }

    a_megabyte_that_is_never_whole => Ignored, |arena| {
        let mut peer = arena.client().await;
        let mut held = Vec::new();
        for number in 0..50 {
            let stream = 2 + 4 * number;
            // Announced whole, within the first window; the last byte never comes.
            let frame = public_frame(stream, 0, &[1; 60_000], false);
            let cut = frame.slice(..frame.len() - 1);
            held.extend(peer.carrier([public_header(stream), cut].concat()).await);
        }
        peer.verdict().await
    }

    /// Streams beyond number.
    more_streams_than_may_be_open => Throttled, |arena| {
        arena.switch(&["streamless"]).await?;
        let mut peer = arena.client().await;
        let mut held = Vec::new();
        for number in 0..scaled(300) {
            let stream = 2 + 4 * number;
            let header = [public_header(stream), public_frame(stream, 0, &[1; 1000], false)];
            let opening = peer.carrier(header.concat());
            match tokio::time::timeout(std::time::Duration::from_millis(500), opening).await {
                Ok(carrier) => held.extend(carrier),
                Err(_) => break,
            }
        }
        assert!(held.len() < 250, "{} streams", held.len());
        assert_eq!(peer.verdict().await, Verdict::Alive);
        Throttled
    }

    uploads_that_nobody_accepts within 24 MiB => Ignored, |arena| {
        arena.switch(&["streamless"]).await?;
        let mut peer = arena.client().await;
        let mut held = Vec::new();
        for number in 0..100 {
            let stream = 2 + 4 * number;
            let header = [public_header(stream), public_frame(stream, 0, &[1; 60_000], false)];
            held.extend(peer.carrier(header.concat()).await);
        }
        peer.verdict().await
    }

    /// Rapid reset (CVE-2023-44487), for KWIK's streams: on the control stream. Either the primary keeps up, or they are
    /// too many.
    streams_reset_at_once => Throttled, |arena| {
        let mut peer = arena.client().await;
        for number in 0..scaled(2000) {
            let stream = 2 + 4 * number;
            let Some(mut carrier) = peer.carrier(public_header(stream)).await else { break };
            peer.send(crate::wire::reset(stream, 0)).await;
            let _ = carrier.reset(1u8.into());
        }
        kept_up(peer.verdict().await)?
    }

    /// The same for requests, whose answers are given up too, without the word that their places are free.
    requests_reset_at_once => Closed(ErrorCode::LimitExceeded), |arena| {
        let mut peer = arena.client().await;
        for number in 0..scaled(1000) {
            let stream = 4 * number;
            let frames = [public_header(stream), public_frame(stream, 0, &[0, 0, 0, 0, 0, 9, 0, 0], true)];
            let Some(request) = peer.request(frames.concat()).await else { break };
            let (mut answer, mut request) = request.split();
            peer.send(crate::wire::reset(stream, 8)).await;
            peer.send(crate::wire::stop(stream)).await;
            let _ = (request.reset(1u8.into()), answer.stop_sending(1u8.into()));
        }
        peer.verdict().await
    }

    /// The same for QUIC's streams, before they have a header.
    carriers_reset_at_once => Ignored, |arena| {
        let mut peer = arena.client().await;
        for _ in 0..scaled(2000) {
            let Some(mut carrier) = peer.carrier(vec![4]).await else { break };
            let _ = carrier.reset(1u8.into());
        }
        peer.verdict().await
    }

    carriers_ended_at_once => Ignored, |arena| {
        let mut peer = arena.client().await;
        for _ in 0..scaled(2000) {
            let Some(mut carrier) = peer.carrier(vec![4]).await else { break };
            let _ = carrier.finish();
        }
        peer.verdict().await
    }

    /// Complete, small and many.
    uploads_of_one_byte => Throttled, |arena| {
        let mut peer = arena.client().await;
        for number in 0..scaled(2000) {
            let stream = 2 + 4 * number;
            let frames = [public_header(stream), public_frame(stream, 0, b"x", true)];
            let Some(mut carrier) = peer.carrier(frames.concat()).await else { break };
            let _ = carrier.finish();
            peer.send(kwik_proto::frame::ControlFrame::StreamBlocked(
                kwik_proto::frame::StreamBlocked { stream: id(stream), max_offset: at(1) },
            )).await;
        }
        kept_up(peer.verdict().await)?
    }
}
