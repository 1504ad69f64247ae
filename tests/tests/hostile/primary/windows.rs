//! Clients whose QUIC takes next to nothing.

use std::time::Duration;

use anyhow::ensure;
use kwik_proto::data::{DataDecoder, DataEvent};
use kwik_tests::bare::{RawPeer, Verdict, public_frame, public_header};
use s2n_quic::provider::limits::Limits;

use super::Primary;
use crate::attack::Outcome::{Ignored, Throttled};
use crate::attack::attacks;
use crate::honest::CONTENT;
use crate::wire::{LAST, window};

/// Bytes of an answer that comes in crumbs.
const LITTLE: u64 = 1_000;

/// Asks for so many bytes, and has room for all of them but for QUIC.
async fn ask(
    peer: &mut RawPeer,
    stream: u64,
    bytes: u64,
) -> Option<s2n_quic::stream::BidirectionalStream> {
    let request = public_frame(stream, 0, &bytes.to_be_bytes(), true);
    let asked = peer.request([public_header(stream), request].concat()).await;
    peer.send(window(stream, LAST)).await;
    asked
}

/// Asks for a little, and reads all of it.
async fn fetch(peer: &mut RawPeer) -> anyhow::Result<()> {
    let Some(mut stream) = ask(peer, 0, LITTLE).await else {
        anyhow::bail!("{:?}", peer.end().await)
    };
    let (mut decoder, mut next) = (DataDecoder::new(), 0);
    while let Some(chunk) = stream.receive().await? {
        decoder.push(chunk);
        while let Some(event) = decoder.poll()? {
            if let DataEvent::Chunk { offset, payload } = event {
                ensure!(offset.value() == next && CONTENT.matches(next, &payload), "wrong bytes");
                next += payload.len() as u64;
            }
        }
    }
    ensure!(next == LITTLE, "{next} bytes");
    Ok(())
}

attacks! { ATTACKS on Primary;
    /// A connection's window of sixteen bytes, which moves by as many as were read.
    a_connection_window_of_sixteen_bytes => Ignored, |arena| {
        let limits = Limits::new().with_data_window(16)?;
        let mut peer = RawPeer::client_within(arena.address, arena.pin, limits).await?;
        fetch(&mut peer).await?;
        peer.verdict().await
    }

    /// Windows of one byte for the answers, which move by one.
    stream_windows_of_one_byte => Ignored, |arena| {
        let limits = Limits::new().with_bidirectional_local_data_window(1)?;
        let mut peer = RawPeer::client_within(arena.address, arena.pin, limits).await?;
        fetch(&mut peer).await?;
        peer.verdict().await
    }

    /// A hundred endless answers, of each of which QUIC takes a byte, and then none.
    a_hundred_answers_of_a_byte within 96 MiB => Throttled, |arena| {
        let limits = Limits::new()
            .with_bidirectional_local_data_window(1)?
            .with_max_open_local_bidirectional_streams(200)?;
        let mut peer = RawPeer::client_within(arena.address, arena.pin, limits).await?;
        let mut held = Vec::new();
        for number in 0..100 {
            held.extend(ask(&mut peer, 4 * number, 1 << 40).await);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(peer.verdict().await, Verdict::Alive);
        Throttled
    }

    /// No stream that the server opens: what it sends in place of its secondary has none to go on.
    no_streams_at_all within 96 MiB => Throttled, |arena| {
        arena.switch(&["delegating"]).await?;
        let limits = Limits::new()
            .with_max_open_remote_unidirectional_streams(0)?
            .with_max_open_remote_bidirectional_streams(0)?
            .with_max_open_local_bidirectional_streams(200)?;
        let mut peer = RawPeer::client_within(arena.address, arena.pin, limits).await?;
        let mut held = Vec::new();
        for number in 0..50 {
            held.extend(ask(&mut peer, 4 * number, 64 << 20).await);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(peer.verdict().await, Verdict::Alive);
        Throttled
    }
}
