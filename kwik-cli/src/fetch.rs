//! The client's side of the file service, on any stream.

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use futures_core::Stream;

use crate::inbound::Inbound;
use crate::progress::{Progress, Show};
use crate::protocol::{Failed, FailureCode, Found, Reply};
use crate::writer::{Writer, Written};

#[cfg(test)]
mod tests;

/// A content that arrived whole and has the announced hash.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) written: Written,
    pub(crate) found: Found,
    /// Bytes of the stream before the content.
    pub(crate) reply: u64,
}

/// Where the stream was when it failed, in bytes from its start. The context of its error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoppedAt(pub(crate) u64);

impl std::fmt::Display for StoppedAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "stopped at offset {}", self.0)
    }
}

/// Reads the answer to a request for a whole file, and the content.
///
/// Fails unless the content is as long as announced and its hash is the announced one.
pub(crate) async fn fetch<S, E>(stream: S, writer: Writer, show: Show) -> anyhow::Result<Fetched>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut inbound = Inbound::new(stream);
    let (found, reply) = match inbound.message().await? {
        (Reply::Found(found), len) => (found, len),
        (Reply::Failed(failed), _) => bail!(refusal(&failed)),
    };
    ensure!(
        (found.offset, found.length) == (0, found.size),
        "the server offers another part of the file than was asked for"
    );
    let progress = Progress::new(found.size, show);
    let mut left = found.size;
    while let Some(chunk) =
        inbound.chunk().await.with_context(|| StoppedAt(reply + found.size - left))?
    {
        let len = chunk.len() as u64;
        ensure!(len <= left, "the server sent more than the {} bytes it announced", found.size);
        left -= len;
        progress.advance(len);
        if !writer.write(chunk).await {
            break;
        }
    }
    // First what the writer says: if it failed, that is why bytes are left.
    let written = writer.finish().await?;
    ensure!(left == 0, "the stream ended {left} bytes before the end; try again");
    ensure!(
        written.tag == found.tag,
        "the content has the BLAKE3 hash {}, not {} as announced; nothing was kept, try again",
        written.tag,
        found.tag
    );
    Ok(Fetched { written, found, reply })
}

/// What the server said, and what to do about it.
fn refusal(failed: &Failed) -> String {
    let Failed { code, message } = failed;
    let advice = match code {
        FailureCode::NotFound | FailureCode::BadPath | FailureCode::NotAFile => {
            "; name a file below the server's root"
        }
        FailureCode::Unreadable => "; ask the server's operator",
        FailureCode::TagMismatch | FailureCode::BadRange => "; the file has changed, ask anew",
        // The message says it.
        FailureCode::BadRequest => "",
        FailureCode::Other(_) => "; the server may be newer than this program",
    };
    format!("the server refuses: {message}{advice}")
}
