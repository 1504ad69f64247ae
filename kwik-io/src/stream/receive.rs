//! The application's end of a receive half.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::ReadBuf;

use super::{Result, SharedReceive, application};

/// Most chunks that one `poll_read` copies out of.
const CHUNKS_PER_READ: usize = 8;

/// A stream that can be read.
///
/// Behaves as s2n-quic's of the same name. All calls may be made from any runtime or none. Dropping it before the end
/// stops the stream with code 0; bytes that have arrived are thrown away.
///
/// ```no_run
/// # async fn example(mut stream: kwik_io::stream::ReceiveStream) -> kwik_io::stream::Result<()> {
/// while let Some(chunk) = stream.receive().await? {
///     println!("{} bytes", chunk.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ReceiveStream {
    shared: SharedReceive,
}

impl ReceiveStream {
    /// The application's end of `shared`. There is to be one at a time.
    pub fn new(shared: SharedReceive) -> Self {
        Self { shared }
    }

    /// Id of the stream (RFC 9000, 2.1).
    pub fn id(&self) -> u64 {
        self.shared.id().value()
    }

    /// What the stream shares with pumps and session.
    pub fn shared(&self) -> &SharedReceive {
        &self.shared
    }

    /// The next chunk; `None` at the end of the stream. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`StreamReset`](super::Error::StreamReset) at once if the sender reset the stream or `stop_sending` was called;
    /// `Missing`, `DataConflict` and `ConnectionError` after the last byte that could be delivered.
    pub async fn receive(&mut self) -> Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// As [`receive`](Self::receive).
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        self.shared.poll_receive(usize::MAX, cx)
    }

    /// Fills `chunks`, which must be empty, from the front: how many, and whether the stream is still open. At least
    /// one if it is. Cancel safe, and cheaper than one chunk at a time.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive); [`NonEmptyOutput`](super::Error::NonEmptyOutput) if one was not empty.
    pub async fn receive_vectored(&mut self, chunks: &mut [Bytes]) -> Result<(usize, bool)> {
        poll_fn(|cx| self.poll_receive_vectored(chunks, cx)).await
    }

    /// As [`receive_vectored`](Self::receive_vectored).
    pub fn poll_receive_vectored(
        &mut self,
        chunks: &mut [Bytes],
        cx: &mut Context<'_>,
    ) -> Poll<Result<(usize, bool)>> {
        self.shared.poll_receive_vectored(chunks, usize::MAX, cx)
    }

    /// Asks the sender to stop. Nothing happens if the stream was reset or everything has arrived. What has arrived and
    /// was not read is thrown away; reading returns `StreamReset` with `error_code` from now on.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn stop_sending(&mut self, error_code: application::Error) -> Result<()> {
        self.shared.stop(error_code);
        Ok(())
    }

    fn poll_copy(
        &mut self,
        max: usize,
        cx: &mut Context<'_>,
        mut put: impl FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        if max == 0 {
            return Poll::Ready(Ok(0));
        }
        let mut chunks = [const { Bytes::new() }; CHUNKS_PER_READ];
        let (count, _) = ready!(self.shared.poll_receive_vectored(&mut chunks, max, cx))?;
        chunks[..count].iter().for_each(|chunk| put(chunk));
        Poll::Ready(Ok(chunks[..count].iter().map(Bytes::len).sum()))
    }
}

impl Drop for ReceiveStream {
    fn drop(&mut self) {
        // At the end there is nothing to stop; the application knows of the end now, whatever it looked at.
        self.shared.stop(application::Error::UNKNOWN);
    }
}

impl futures_core::Stream for ReceiveStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_receive(cx).map(Result::transpose)
    }
}

impl tokio::io::AsyncRead for ReceiveStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let max = buf.remaining();
        self.poll_copy(max, cx, |chunk| buf.put_slice(chunk)).map_ok(|_| ())
    }
}

impl futures_io::AsyncRead for ReceiveStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let max = buf.len();
        let mut rest = buf;
        self.poll_copy(max, cx, |chunk| {
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(chunk.len());
            head.copy_from_slice(chunk);
            rest = tail;
        })
    }
}
