//! `kwik get` from servers whose QUIC takes next to nothing.

use kwik_proto::SessionId;
use kwik_tests::bare::{NarrowServer, RawPeer, public_frame, public_header};
use s2n_quic::provider::limits::Limits;

use super::{Ended, Program, found, tag};
use crate::attack::Outcome::{Fails, Ignored};
use crate::attack::attacks;
use crate::honest::CONTENT;
use crate::wire::{LAST, window};

/// Bytes of the file.
const SIZE: usize = 1_000;

/// Answers one request, with the file.
async fn answer(peer: &mut RawPeer) -> anyhow::Result<()> {
    peer.hello().await;
    peer.welcome(SessionId([7; 16])).await;
    peer.send(window(0, LAST)).await;
    let Some(stream) = peer.acceptor.accept_bidirectional_stream().await? else { return Ok(()) };
    let (mut request, mut reply) = stream.split();
    while request.receive().await?.is_some() {}
    let head = found(SIZE as u64, &tag(SIZE), 0, SIZE as u64);
    let bytes = [&head[..], &CONTENT.bytes(0, SIZE)].concat();
    let reply_bytes = [public_header(0), public_frame(0, 0, &bytes, true)].concat();
    reply.send(reply_bytes.into()).await?;
    Ok(reply.finish()?)
}

/// What becomes of a download from a server of those limits.
async fn get(arena: &Program, limits: Limits) -> anyhow::Result<Ended> {
    let mut server = NarrowServer::start(limits)?;
    let from = (server.address(), server.pin());
    let serving = tokio::spawn(async move {
        loop {
            if let Ok(mut peer) = server.accept_raw().await {
                tokio::spawn(async move {
                    let _ = answer(&mut peer).await;
                    peer.end().await
                });
            }
        }
    });
    let ended = arena.get(from).await;
    serving.abort();
    ended
}

attacks! { ATTACKS on Program;
    a_download_through_a_window_of_sixteen_bytes => Ignored, |arena| {
        let ended = get(arena, Limits::new().with_data_window(16)?).await?;
        anyhow::ensure!(ended.code == Some(0), "{ended:?}");
        Ignored
    }

    a_download_through_windows_of_one_byte => Ignored, |arena| {
        let ended = get(arena, Limits::new().with_bidirectional_remote_data_window(1)?).await?;
        anyhow::ensure!(ended.code == Some(0), "{ended:?}");
        Ignored
    }

    /// Neither a control stream nor a request, now or ever.
    a_download_from_a_server_that_takes_no_stream => Fails, |arena| {
        let limits = Limits::new().with_max_open_remote_bidirectional_streams(0)?;
        get(arena, limits).await?.fails()?;
        arena.nothing_there()?;
        Fails
    }

    /// A control stream, and no request.
    a_download_from_a_server_that_takes_no_request => Fails, |arena| {
        let limits = Limits::new().with_max_open_remote_bidirectional_streams(1)?;
        get(arena, limits).await?.fails()?;
        arena.nothing_there()?;
        Fails
    }
}
