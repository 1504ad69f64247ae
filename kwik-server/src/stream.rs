//! Streams of a session in which this server is primary.

use bytes::Bytes;
use kwik_core::stream::WriteError;
use kwik_io::stream as io;
use kwik_io::table::Halves;
use kwik_proto::{Offset, PathId};

use crate::connection::Handle;
use crate::delegate::{Delegate, DelegateError};
use crate::delegation::DelegationHandle;
use crate::primary::PrimaryRequest;

pub use kwik_io::stream::{Error, Result, Type};

/// A stream that can be read and written.
///
/// You meet one where either end opened a bidirectional stream. Its calls are those of [`ReceiveStream`] and
/// [`SendStream`]. Dropping it drops both halves.
///
/// ```no_run
/// # async fn example(stream: kwik_server::stream::BidirectionalStream) -> kwik_server::stream::Result<()> {
/// let (mut receive, mut send) = stream.split();
/// while let Some(chunk) = receive.receive().await? {
///     send.send(chunk).await?;
/// }
/// send.close().await
/// # }
/// ```
#[derive(Debug)]
pub struct BidirectionalStream {
    receive: ReceiveStream,
    send: SendStream,
}

/// A stream that can be read.
///
/// You meet one where the client opened a stream on which only it sends, and as half of a [`BidirectionalStream`].
/// Calls may be made from any runtime or none. Dropping it before the end stops the stream with code 0; bytes that have
/// arrived are thrown away.
///
/// ```no_run
/// # async fn example(mut stream: kwik_server::stream::ReceiveStream) -> kwik_server::stream::Result<()> {
/// while let Some(chunk) = stream.receive().await? {
///     println!("{} bytes", chunk.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ReceiveStream {
    inner: io::ReceiveStream,
    connection: Handle,
}

/// A stream that can be written.
///
/// You meet one where this end opened a stream on which only it sends, and as half of a [`BidirectionalStream`]. Calls
/// may be made from any runtime or none. Dropping it finishes the stream: what was taken is still sent, and what was
/// delegated still arrives.
///
/// Beside s2n-quic's calls it has those of a primary: [`write_at`](Self::write_at), [`delegate`](Self::delegate) and
/// [`grant`](Self::grant) say who sends which bytes.
///
/// ```no_run
/// # async fn example(mut stream: kwik_server::stream::SendStream) -> Result<(), Box<dyn std::error::Error>> {
/// use kwik_server::Delegate;
///
/// stream.send("hello".into()).await?;
/// let rest = stream.position()..1 << 30;
/// stream.delegate(Delegate::new(rest, "dataset-7".into())).await?;
/// stream.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SendStream {
    inner: io::SendStream,
    connection: Handle,
}

impl BidirectionalStream {
    pub(crate) fn new(halves: Halves, connection: Handle) -> Self {
        let receive = ReceiveStream::new(halves.clone(), connection.clone());
        Self { receive, send: SendStream::new(halves, connection) }
    }

    /// Id of the stream (RFC 9000, 2.1).
    pub fn id(&self) -> u64 {
        self.send.id()
    }

    /// A handle of the stream's session.
    pub fn connection(&self) -> Handle {
        self.send.connection()
    }

    /// Both halves, each with a life of its own.
    pub fn split(self) -> (ReceiveStream, SendStream) {
        (self.receive, self.send)
    }

    fn readable(&mut self) -> Result<&mut io::ReceiveStream> {
        self.receive.readable()
    }

    fn writable(&mut self) -> Result<&mut io::SendStream> {
        self.send.writable()
    }
}

impl ReceiveStream {
    pub(crate) fn new(halves: Halves, connection: Handle) -> Self {
        Self { inner: halves.receive_stream(), connection }
    }

    /// Id of the stream (RFC 9000, 2.1).
    pub fn id(&self) -> u64 {
        self.inner.id()
    }

    /// A handle of the stream's session.
    pub fn connection(&self) -> Handle {
        self.connection.clone()
    }

    fn readable(&mut self) -> Result<&mut io::ReceiveStream> {
        Ok(&mut self.inner)
    }

    fn writable(&mut self) -> Result<&mut io::SendStream> {
        Err(Error::NonWritable)
    }
}

impl SendStream {
    pub(crate) fn new(halves: Halves, connection: Handle) -> Self {
        Self { inner: halves.send_stream(), connection }
    }

    /// Id of the stream (RFC 9000, 2.1).
    pub fn id(&self) -> u64 {
        self.inner.id()
    }

    /// A handle of the stream's session.
    pub fn connection(&self) -> Handle {
        self.connection.clone()
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

    /// Permits a path to contribute to this stream within `range`, without an order to do so.
    pub async fn grant(&self, path: PathId, range: impl std::ops::RangeBounds<u64>) -> bool {
        self.connection.grant(path, self.id(), range).await
    }

    /// Has a range sent by secondaries: it starts at or after [`position`](Self::position), and the position moves to
    /// its end. Returns when the range is taken; the bytes arrive at the client without further ado. The handle tells
    /// what becomes of it, and may be dropped.
    ///
    /// # Errors
    /// See [`DelegateError`]; then nothing was taken.
    pub async fn delegate(&mut self, order: Delegate) -> Result<DelegationHandle, DelegateError> {
        let stream = self.inner.shared().id();
        let asker = self.connection.hold().asker();
        asker.ask(|reply| PrimaryRequest::Delegate { stream, order, reply }).await?
    }

    fn readable(&mut self) -> Result<&mut io::ReceiveStream> {
        Err(Error::NonReadable)
    }

    fn writable(&mut self) -> Result<&mut io::SendStream> {
        Ok(&mut self.inner)
    }
}

/// A stream that has halves to part with.
pub trait SplittableStream {
    /// The halves that there are.
    fn split(self) -> (Option<ReceiveStream>, Option<SendStream>);
}

kwik_io::receive_api!(BidirectionalStream);
kwik_io::receive_api!(ReceiveStream);
kwik_io::send_api!(BidirectionalStream);
kwik_io::send_api!(SendStream);
kwik_io::split_api!(
    BidirectionalStream => |stream| (Some(stream.receive), Some(stream.send));
    ReceiveStream => |stream| (Some(stream), None);
    SendStream => |stream| (None, Some(stream));
);
kwik_io::stream_enum!(
    /// A stream that the peer opened. Calls that its kind does not have return `NonWritable`.
    PeerStream {
        /// Both ends send.
        Bidirectional(BidirectionalStream),
        /// Only the peer sends.
        Receive(ReceiveStream),
    }
);
kwik_io::stream_enum!(
    /// A stream that this end opened. Calls that its kind does not have return `NonReadable`.
    LocalStream {
        /// Both ends send.
        Bidirectional(BidirectionalStream),
        /// Only this end sends.
        Send(SendStream),
    }
);
kwik_io::stream_enum!(
    /// A stream of any kind. Calls that its kind does not have return `NonReadable` or `NonWritable`.
    Stream {
        /// Both ends send.
        Bidirectional(BidirectionalStream),
        /// Only the peer sends.
        Receive(ReceiveStream),
        /// Only this end sends.
        Send(SendStream),
    }
);

impl LocalStream {
    pub(crate) fn new(halves: Halves, connection: Handle) -> Self {
        match halves.receive {
            Some(_) => Self::Bidirectional(BidirectionalStream::new(halves, connection)),
            None => Self::Send(SendStream::new(halves, connection)),
        }
    }
}
