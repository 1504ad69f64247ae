//! Streams of a session in which this server is primary.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use kwik_core::stream::WriteError;
use kwik_io::session::Asker;
use kwik_io::stream::{self, application};
use kwik_io::table::Halves;
use kwik_proto::Offset;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use kwik_io::stream::{Error, ReceiveStream, Result};

use crate::delegate::{Delegate, DelegateError};
use crate::primary::PrimaryRequest;

/// A stream that this server sends on.
///
/// As s2n-quic's, with positioned writes and delegation besides.
#[derive(Debug)]
pub struct SendStream {
    inner: stream::SendStream,
    asker: Asker<PrimaryRequest>,
}

impl SendStream {
    pub(crate) fn new(inner: stream::SendStream, asker: Asker<PrimaryRequest>) -> Self {
        Self { inner, asker }
    }

    /// Id of the stream (RFC 9000, 2.1).
    pub fn id(&self) -> u64 {
        self.inner.id()
    }

    /// Queues a chunk, without a copy; waits while the queue is full.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn send(&mut self, data: Bytes) -> Result<()> {
        self.inner.send(data).await
    }

    /// Queues chunks; each is left empty once it was taken. Cancel safe.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn send_vectored(&mut self, chunks: &mut [Bytes]) -> Result<()> {
        self.inner.send_vectored(chunks).await
    }

    /// Waits until the client has received what was written here.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn flush(&mut self) -> Result<()> {
        self.inner.flush().await
    }

    /// Marks the end of the stream: after what was written and delegated. Does not wait; KWIK sees to the rest, also
    /// when this handle is dropped.
    ///
    /// # Errors
    /// See [`Error`]; `Missing` names the first range that was neither written nor delegated.
    pub fn finish(&mut self) -> Result<()> {
        self.inner.finish()
    }

    /// Marks the end, and waits until the client has every byte.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn close(&mut self) -> Result<()> {
        self.inner.close().await
    }

    /// Ends the stream abruptly, delegated ranges included.
    ///
    /// # Errors
    /// None at present.
    pub fn reset(&mut self, error_code: application::Error) -> Result<()> {
        self.inner.reset(error_code)
    }

    /// Where the next sequential write goes: after everything written or delegated, in bytes from the start.
    pub fn position(&self) -> u64 {
        self.inner.shared().position().value()
    }

    /// The client's window: first offset that can't be written at now.
    pub fn window(&self) -> u64 {
        self.inner.shared().max_offset().value()
    }

    /// Writes at an offset at or after [`position`](Self::position) or into a hole; waits while the queue is full.
    ///
    /// # Errors
    /// [`WriteError`]: beyond the window, over bytes that were written or delegated, after the end.
    pub async fn write_at(&mut self, offset: u64, data: Bytes) -> Result<(), WriteError> {
        let offset = Offset::new(offset).unwrap_or(Offset::MAX);
        let shared = self.inner.shared();
        std::future::poll_fn(|cx| shared.poll_write_at(offset, &data, cx)).await
    }

    /// Has a range sent by secondaries: it starts at or after [`position`](Self::position), and the position moves to
    /// its end. Returns when the range is taken; the bytes arrive at the client without further ado.
    ///
    /// # Errors
    /// See [`DelegateError`]; then nothing was taken.
    pub async fn delegate(&mut self, order: Delegate) -> Result<(), DelegateError> {
        let stream = self.inner.shared().id();
        self.asker.ask(|reply| PrimaryRequest::Delegate { stream, order, reply }).await?
    }
}

impl AsyncWrite for SendStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.inner), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A stream that both ends send on.
#[derive(Debug)]
pub struct BidirectionalStream {
    receive: ReceiveStream,
    send: SendStream,
}

impl BidirectionalStream {
    pub(crate) fn new(halves: Halves, asker: Asker<PrimaryRequest>) -> Option<Self> {
        let receive = ReceiveStream::new(halves.receive?);
        let send = SendStream::new(stream::SendStream::new(halves.send?), asker);
        Some(Self { receive, send })
    }

    /// Id of the stream.
    pub fn id(&self) -> u64 {
        self.send.id()
    }

    /// Both halves, apart.
    pub fn split(self) -> (ReceiveStream, SendStream) {
        (self.receive, self.send)
    }

    /// The half that sends.
    pub fn send_half(&mut self) -> &mut SendStream {
        &mut self.send
    }

    /// The half that receives.
    pub fn receive_half(&mut self) -> &mut ReceiveStream {
        &mut self.receive
    }

    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn receive(&mut self) -> Result<Option<Bytes>> {
        self.receive.receive().await
    }

    /// As [`ReceiveStream::receive_vectored`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn receive_vectored(&mut self, chunks: &mut [Bytes]) -> Result<(usize, bool)> {
        self.receive.receive_vectored(chunks).await
    }

    /// As [`ReceiveStream::stop_sending`].
    ///
    /// # Errors
    /// None at present.
    pub fn stop_sending(&mut self, error_code: application::Error) -> Result<()> {
        self.receive.stop_sending(error_code)
    }

    /// As [`SendStream::send`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn send(&mut self, data: Bytes) -> Result<()> {
        self.send.send(data).await
    }

    /// As [`SendStream::finish`].
    ///
    /// # Errors
    /// See [`Error`].
    pub fn finish(&mut self) -> Result<()> {
        self.send.finish()
    }

    /// As [`SendStream::close`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn close(&mut self) -> Result<()> {
        self.send.close().await
    }

    /// As [`SendStream::reset`].
    ///
    /// # Errors
    /// None at present.
    pub fn reset(&mut self, error_code: application::Error) -> Result<()> {
        self.send.reset(error_code)
    }
}

impl AsyncRead for BidirectionalStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.receive).poll_read(cx, buf)
    }
}

impl AsyncWrite for BidirectionalStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.send).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.send).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.send).poll_shutdown(cx)
    }
}

/// A stream that the client opened.
#[derive(Debug)]
pub enum PeerStream {
    /// Both ends send.
    Bidirectional(BidirectionalStream),
    /// Only the client sends.
    Receive(ReceiveStream),
}
