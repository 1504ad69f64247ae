//! The application's end of a send half.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use super::{Result, SharedSend, application};

/// A stream that can be written.
///
/// Behaves as s2n-quic's of the same name. All calls may be made from any runtime or none. Dropping it finishes the
/// stream: what was taken is still sent.
///
/// ```no_run
/// # async fn example(mut stream: kwik_io::stream::SendStream) -> kwik_io::stream::Result<()> {
/// stream.send(bytes::Bytes::from_static(b"hello")).await?;
/// stream.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SendStream {
    shared: SharedSend,
}

impl SendStream {
    /// The application's end of `shared`. There is to be one at a time.
    pub fn new(shared: SharedSend) -> Self {
        Self { shared }
    }

    /// Id of the stream (RFC 9000, 2.1).
    pub fn id(&self) -> u64 {
        self.shared.id().value()
    }

    /// What the stream shares with pump and session.
    pub fn shared(&self) -> &SharedSend {
        &self.shared
    }

    /// Queues a chunk, without a copy; waits while the queue is full (4 MiB by default). The chunk that crosses
    /// the line is taken whole. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`SendAfterFinish`](super::Error::SendAfterFinish) after `finish`, `StreamReset` after a reset or when the
    /// receiver stopped the stream, `ConnectionError` when the session is over.
    pub async fn send(&mut self, mut data: Bytes) -> Result<()> {
        poll_fn(|cx| self.poll_send(&mut data, cx)).await
    }

    /// As [`send`](Self::send); `chunk` is left empty once it was taken.
    pub fn poll_send(&mut self, chunk: &mut Bytes, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if chunk.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.shared.poll_send(chunk, cx)
    }

    /// Queues chunks, without a copy; each is left empty once it was taken. Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_vectored(&mut self, chunks: &mut [Bytes]) -> Result<()> {
        let mut sent = 0;
        while sent < chunks.len() {
            sent += poll_fn(|cx| self.poll_send_vectored(&mut chunks[sent..], cx)).await?;
        }
        Ok(())
    }

    /// As [`send_vectored`](Self::send_vectored), for as many chunks as the queue takes: how many from the front.
    pub fn poll_send_vectored(
        &mut self,
        chunks: &mut [Bytes],
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize>> {
        if chunks.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.shared.poll_send_vectored(chunks, cx)
    }

    /// Waits until the queue takes something: how many bytes.
    pub fn poll_send_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        self.shared.poll_ready(cx)
    }

    /// Queues a chunk without waiting.
    ///
    /// # Errors
    ///
    /// [`SendingBlocked`](super::Error::SendingBlocked) while the queue is full, and as [`send`](Self::send).
    pub fn send_data(&mut self, chunk: Bytes) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.shared.send_data(chunk)
    }

    /// Waits until the peer has received everything that was written.
    ///
    /// Received means what it means in s2n-quic: the peer's QUIC has acknowledged the bytes, and so KWIK there holds
    /// them or soon will; its application may not have read them. Bytes that wait for the peer's window are waited for.
    /// Ranges that were delegated to other servers are not written here and not waited for.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), except that a finished stream can be flushed.
    pub async fn flush(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// As [`flush`](Self::flush).
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.shared.poll_flush(cx)
    }

    /// Marks the end of the stream, without waiting. From here on KWIK delivers what was written, whatever becomes of
    /// this handle. Finishing twice is no error.
    ///
    /// # Errors
    ///
    /// `StreamReset` after a reset or stop, `ConnectionError` when the session is over; `Missing` where ranges were
    /// left out that nobody was asked to send.
    pub fn finish(&mut self) -> Result<()> {
        self.shared.finish_stream()
    }

    /// Marks the end of the stream and waits until all of it, the end included, was received: from this end as for
    /// [`flush`](Self::flush), and, if ranges were delegated, until the peer said that it has every byte.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish).
    pub async fn close(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_close(cx)).await
    }

    /// As [`close`](Self::close).
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.shared.finish_stream()?;
        self.shared.poll_closed(cx)
    }

    /// Ends the stream abruptly: nothing more is sent, what is on its way may be lost. Nothing happens if everything
    /// was delivered or the stream was reset before.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn reset(&mut self, error_code: application::Error) -> Result<()> {
        self.shared.reset(error_code);
        Ok(())
    }

    /// Sets the stream's priority: of two streams of a session that have bytes the higher one's go first, equal ones take turns.
    /// Default 0. The servers that a primary delegates ranges of the stream to keep to it from its next order on.
    ///
    /// Too high: what it floods keeps all lower ones waiting, for as long as it has bytes. Too low: so do the others.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn set_priority(&mut self, priority: i32) -> Result<()> {
        self.shared.set_priority(priority);
        Ok(())
    }

    /// The stream's priority.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn priority(&mut self) -> Result<i32> {
        Ok(self.shared.priority())
    }

    fn writable(&mut self) -> Result<&mut Self> {
        Ok(self)
    }

    /// Copies bytes into the queue, as writers do: how many it took.
    pub fn poll_write_bytes(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let length = ready!(self.poll_send_ready(cx))?.min(buf.len());
        self.send_data(Bytes::copy_from_slice(&buf[..length]))?;
        Poll::Ready(Ok(length))
    }

    /// As [`poll_write_bytes`](Self::poll_write_bytes), from several places.
    pub fn poll_write_slices(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        let length = ready!(self.poll_send_ready(cx))?.min(wanted);
        let mut data = BytesMut::with_capacity(length);
        for buf in bufs {
            let take = buf.len().min(length - data.len());
            data.extend_from_slice(&buf[..take]);
        }
        self.send_data(data.freeze())?;
        Poll::Ready(Ok(length))
    }
}

crate::send_traits!(SendStream);

impl Drop for SendStream {
    fn drop(&mut self) {
        if matches!(self.finish(), Err(super::Error::Missing { .. })) {
            // Nobody is left who could fill the hole.
            self.shared.reset(application::Error::UNKNOWN);
        }
    }
}
