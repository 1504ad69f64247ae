//! What arrives on a stream: messages first, then plain bytes.

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use futures_core::Stream;
use futures_util::StreamExt as _;

use crate::protocol::Message;

#[cfg(test)]
mod tests;

/// The receiving half of a stream, in the chunks in which it arrives.
#[derive(Debug)]
pub(crate) struct Inbound<S> {
    stream: S,
    /// Arrived, not handed out yet. At most a message and one chunk.
    held: BytesMut,
}

impl<S, E> Inbound<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, held: BytesMut::new() }
    }

    /// The next message. Also returns how many bytes of the stream it took, its length included.
    ///
    /// Fails if the stream ends first, or the message is malformed or larger than [`Message::MOST`].
    pub(crate) async fn message<M: Message>(&mut self) -> anyhow::Result<(M, u64)> {
        loop {
            if let Some((prefix, length)) = message_size(&self.held, M::MOST)?
                && self.held.len() - prefix >= length
            {
                self.held.advance(prefix);
                let message = M::from_wire(&self.held.split_to(length))?;
                return Ok((message, (prefix + length) as u64));
            }
            let chunk = self.stream.next().await.context("the stream ended too early")??;
            self.held.extend_from_slice(&chunk);
        }
    }

    /// Waits until the sender has ended its half, however that was, or until it has sent `limit` bytes more.
    ///
    /// For a reader that has what it wanted: dropped earlier, it would stop a sender that is about to end, and to which
    /// the stop is an error.
    pub(crate) async fn ended(&mut self, limit: usize) {
        let mut read = self.held.len();
        self.held.clear();
        while read <= limit
            && let Some(Ok(chunk)) = self.stream.next().await
        {
            read += chunk.len();
        }
    }

    /// The next bytes, in order; `None` at the end of the stream.
    pub(crate) async fn chunk(&mut self) -> anyhow::Result<Option<Bytes>> {
        if !self.held.is_empty() {
            return Ok(Some(self.held.split().freeze()));
        }
        Ok(self.stream.next().await.transpose()?)
    }
}

/// Bytes of the length prefix, and the length; `None` while the prefix is incomplete.
fn message_size(held: &[u8], most: usize) -> anyhow::Result<Option<(usize, usize)>> {
    // Five groups of seven bits are more than any length that is accepted.
    let prefix = match held.iter().take(5).position(|byte| byte & 0x80 == 0) {
        Some(last) => last + 1,
        None if held.len() < 5 => return Ok(None),
        None => bail!("the length of a message has more than 5 bytes"),
    };
    let length = prost::decode_length_delimiter(&held[..prefix])?;
    ensure!(length <= most, "a message of {length} bytes; at most {most} are read");
    Ok(Some((prefix, length)))
}
