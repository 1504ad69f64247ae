//! Servers that lie to `kwik get`: it ends with a message, and leaves nothing under the name of the file.

use std::fs;
use std::future::Future;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use kwik_client::ErrorCode;
use kwik_proto::frame::{ControlFrame, Refuse};
use kwik_server::stream::BidirectionalStream;
use kwik_tests::bare::{BareServer, Message, length_prefix};

use super::Program;
use crate::attack::Outcome::{Fails, Ignored};
use crate::attack::{Outcome, attacks};
use crate::honest::CONTENT;
use crate::wire::LAST;

/// `Found`, with that tag.
pub(crate) fn found(size: u64, tag: &[u8], offset: u64, length: u64) -> Bytes {
    let found = Message::new().varint(1, size).bytes(2, tag).varint(3, offset).varint(4, length);
    Message::new().message(1, found).delimited()
}

/// The tag of the honest content of that size.
pub(crate) fn tag(size: usize) -> [u8; 32] {
    *blake3::hash(&CONTENT.bytes(0, size)).as_bytes()
}

/// What becomes of a download whose request is answered with these bytes, and the end.
pub(super) async fn answered(arena: &Program, parts: Vec<Bytes>) -> anyhow::Result<Outcome> {
    served(arena, move |mut stream| {
        let parts = parts.clone();
        async move {
            for part in parts {
                if stream.send(part).await.is_err() {
                    return;
                }
            }
            let _ = stream.close().await;
        }
    })
    .await
}

/// What becomes of a download whose request is answered like that.
async fn served<F, R>(arena: &Program, answer: F) -> anyhow::Result<Outcome>
where
    F: Fn(BidirectionalStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let ended = arena.get_from(answer).await?;
    ended.fails()?;
    arena.nothing_there()?;
    Ok(Fails)
}

attacks! { ATTACKS on Program;
    bytes_that_have_another_hash => Fails, |arena| {
        answered(arena, vec![found(1000, &tag(1000), 0, 1000), vec![7; 1000].into()]).await?
    }

    fewer_bytes_than_announced => Fails, |arena| {
        answered(arena, vec![found(1000, &tag(1000), 0, 1000), CONTENT.bytes(0, 500)]).await?
    }

    an_answer_from_elsewhere_in_the_file => Fails, |arena| {
        answered(arena, vec![found(1000, &tag(1000), 500, 500), CONTENT.bytes(500, 500)]).await?
    }

    a_range_that_passes_the_end => Fails, |arena| {
        answered(arena, vec![found(10, &tag(10), 0, u64::MAX)]).await?
    }

    a_tag_of_31_bytes => Fails, |arena| {
        answered(arena, vec![found(10, &[1; 31], 0, 10), CONTENT.bytes(0, 10)]).await?
    }

    an_answer_of_noise => Fails, |arena| {
        answered(arena, vec![Message::new().raw(&[0xff; 100]).delimited()]).await?
    }

    an_answer_of_many_gigabytes => Fails, |arena| {
        answered(arena, vec![length_prefix(1 << 34), vec![1; 1 << 20].into()]).await?
    }

    an_empty_answer => Fails, |arena| {
        answered(arena, vec![Message::new().delimited()]).await?
    }

    no_answer_but_the_end => Fails, |arena| {
        answered(arena, Vec::new()).await?
    }

    a_failure_with_escapes => Fails, |arena| {
        let failed = Message::new().varint(1, 1).bytes(2, "\x1b]0;owned\x07\x1b[2J\r\n".repeat(12).as_bytes());
        answered(arena, vec![Message::new().message(2, failed).delimited()]).await?
    }

    a_failure_of_a_later_version => Fails, |arena| {
        let failed = Message::new().varint(1, 4000).bytes(2, &[b'a'; 5000]);
        answered(arena, vec![Message::new().message(2, failed).delimited()]).await?
    }

    silence_instead_of_an_answer => Fails, |arena| {
        served(arena, |stream| async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            drop(stream);
        })
        .await?
    }

    silence_in_the_middle => Fails, |arena| {
        served(arena, |mut stream| async move {
            let _ = stream.send(found(1000, &tag(1000), 0, 1000)).await;
            let _ = stream.send(CONTENT.bytes(0, 500)).await;
            tokio::time::sleep(Duration::from_secs(20)).await;
        })
        .await?
    }

    a_reset_in_the_middle => Fails, |arena| {
        served(arena, |mut stream| async move {
            let _ = stream.send(found(1000, &tag(1000), 0, 1000)).await;
            let _ = stream.reset(7u8.into());
        })
        .await?
    }

    a_server_that_refuses_with_escapes => Fails, |arena| {
        let mut server = BareServer::start();
        let from = (server.address(), server.pin());
        let serving = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let mut peer = server.accept_raw().await;
                let (code, reason) = (ErrorCode::RoleRefused, "\x1b]0;owned\x07\x1b[2J".repeat(12));
                peer.send(ControlFrame::Refuse(Refuse { code, reason, retry_after_ms: None })).await;
                held.push(peer);
            }
        });
        let ended = arena.get(from).await?;
        serving.abort();
        ended.fails()?;
        Fails
    }

    a_server_that_has_another_key => Fails, |arena| {
        let ended = arena.get((arena.address, kwik_client::Pin([5; 32]))).await?;
        ended.fails()?;
        ensure!(ended.stderr.contains("pin"), "{ended:?}");
        Fails
    }

    /// A file of 2^62 bytes, which never end.
    a_file_of_two_to_the_62_bytes => Fails, |arena| {
        let ended = arena.get_from(|mut stream| async move {
            let _ = stream.send(found(LAST, &[1; 32], 0, LAST)).await;
            let _ = stream.send(CONTENT.bytes(0, 1000)).await;
            tokio::time::sleep(Duration::from_secs(30)).await;
        });
        ended.await?.fails()?;
        Fails
    }

    /// Somebody else's file lies where the download is to be made.
    a_part_file_of_another_user => Ignored, |arena| {
        let (out, part) = (arena.dir.path().join("out"), arena.dir.path().join("out.part"));
        fs::write(&part, vec![1; 10_000])?;
        fs::set_permissions(&part, fs::Permissions::from_mode(0o666))?;
        // Only the superuser can give files away; anybody else's own file is as good as theirs.
        let _ = std::os::unix::fs::chown(&part, Some(65534), Some(65534));
        let ended = arena.get((arena.address, arena.pin)).await?;
        ensure!(ended.code == Some(0), "{ended:?}");
        ensure!(fs::metadata(&out)?.uid() == fs::metadata("/proc/self")?.uid(), "it is theirs");
        ensure!(CONTENT.matches(0, &fs::read(&out)?));
        Ignored
    }
}
