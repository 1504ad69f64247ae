//! Both halves of a stream in one handle.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::ReadBuf;

use super::{ReceiveStream, Result, SendStream, SharedReceive, SharedSend, application};

/// A stream that can be read and written.
///
/// Every call is that of [`ReceiveStream`] or [`SendStream`] with the same name. Dropping it drops both.
///
/// ```no_run
/// # async fn example(stream: kwik_io::stream::BidirectionalStream) -> kwik_io::stream::Result<()> {
/// let (mut receive, mut send) = stream.split();
/// while let Some(chunk) = receive.receive().await? {
///     send.send(chunk).await?;
/// }
/// send.finish()
/// # }
/// ```
#[derive(Debug)]
pub struct BidirectionalStream {
    receive: ReceiveStream,
    send: SendStream,
}

impl BidirectionalStream {
    /// The application's end of both halves of one stream.
    pub fn new(receive: SharedReceive, send: SharedSend) -> Self {
        Self { receive: ReceiveStream::new(receive), send: SendStream::new(send) }
    }

    /// Id of the stream (RFC 9000, 2.1).
    pub fn id(&self) -> u64 {
        self.send.id()
    }

    /// Both halves, each with a life of its own.
    pub fn split(self) -> (ReceiveStream, SendStream) {
        (self.receive, self.send)
    }

    /// The half that is read.
    pub fn receive_half(&mut self) -> &mut ReceiveStream {
        &mut self.receive
    }

    /// The half that is written.
    pub fn send_half(&mut self) -> &mut SendStream {
        &mut self.send
    }

    /// See [`ReceiveStream::receive`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn receive(&mut self) -> Result<Option<Bytes>> {
        self.receive.receive().await
    }

    /// See [`ReceiveStream::poll_receive`].
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        self.receive.poll_receive(cx)
    }

    /// See [`ReceiveStream::receive_vectored`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn receive_vectored(&mut self, chunks: &mut [Bytes]) -> Result<(usize, bool)> {
        self.receive.receive_vectored(chunks).await
    }

    /// See [`ReceiveStream::poll_receive_vectored`].
    pub fn poll_receive_vectored(
        &mut self,
        chunks: &mut [Bytes],
        cx: &mut Context<'_>,
    ) -> Poll<Result<(usize, bool)>> {
        self.receive.poll_receive_vectored(chunks, cx)
    }

    /// See [`ReceiveStream::stop_sending`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn stop_sending(&mut self, error_code: application::Error) -> Result<()> {
        self.receive.stop_sending(error_code)
    }

    /// See [`SendStream::send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send(&mut self, data: Bytes) -> Result<()> {
        self.send.send(data).await
    }

    /// See [`SendStream::poll_send`].
    pub fn poll_send(&mut self, chunk: &mut Bytes, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.send.poll_send(chunk, cx)
    }

    /// See [`SendStream::send_vectored`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send_vectored(&mut self, chunks: &mut [Bytes]) -> Result<()> {
        self.send.send_vectored(chunks).await
    }

    /// See [`SendStream::poll_send_vectored`].
    pub fn poll_send_vectored(
        &mut self,
        chunks: &mut [Bytes],
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize>> {
        self.send.poll_send_vectored(chunks, cx)
    }

    /// See [`SendStream::poll_send_ready`].
    pub fn poll_send_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        self.send.poll_send_ready(cx)
    }

    /// See [`SendStream::send_data`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send_data(&mut self, chunk: Bytes) -> Result<()> {
        self.send.send_data(chunk)
    }

    /// See [`SendStream::flush`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn flush(&mut self) -> Result<()> {
        self.send.flush().await
    }

    /// See [`SendStream::poll_flush`].
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.send.poll_flush(cx)
    }

    /// See [`SendStream::finish`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn finish(&mut self) -> Result<()> {
        self.send.finish()
    }

    /// See [`SendStream::close`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn close(&mut self) -> Result<()> {
        self.send.close().await
    }

    /// See [`SendStream::poll_close`].
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.send.poll_close(cx)
    }

    /// See [`SendStream::reset`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn reset(&mut self, error_code: application::Error) -> Result<()> {
        self.send.reset(error_code)
    }
}

impl futures_core::Stream for BidirectionalStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receive).poll_next(cx)
    }
}

impl futures_sink::Sink<Bytes> for BidirectionalStream {
    type Error = super::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        futures_sink::Sink::poll_ready(Pin::new(&mut self.send), cx)
    }

    fn start_send(mut self: Pin<&mut Self>, data: Bytes) -> Result<()> {
        futures_sink::Sink::start_send(Pin::new(&mut self.send), data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        futures_sink::Sink::poll_flush(Pin::new(&mut self.send), cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        futures_sink::Sink::poll_close(Pin::new(&mut self.send), cx)
    }
}

impl tokio::io::AsyncRead for BidirectionalStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        tokio::io::AsyncRead::poll_read(Pin::new(&mut self.receive), cx, buf)
    }
}

impl futures_io::AsyncRead for BidirectionalStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        futures_io::AsyncRead::poll_read(Pin::new(&mut self.receive), cx, buf)
    }
}

impl tokio::io::AsyncWrite for BidirectionalStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write(Pin::new(&mut self.send), cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write_vectored(Pin::new(&mut self.send), cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        tokio::io::AsyncWrite::poll_flush(Pin::new(&mut self.send), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        tokio::io::AsyncWrite::poll_shutdown(Pin::new(&mut self.send), cx)
    }
}

impl futures_io::AsyncWrite for BidirectionalStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        futures_io::AsyncWrite::poll_write(Pin::new(&mut self.send), cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        futures_io::AsyncWrite::poll_write_vectored(Pin::new(&mut self.send), cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        futures_io::AsyncWrite::poll_flush(Pin::new(&mut self.send), cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        futures_io::AsyncWrite::poll_close(Pin::new(&mut self.send), cx)
    }
}
