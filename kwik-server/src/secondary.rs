//! Sessions in which this server is secondary.

mod task;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use kwik_io::channel::Receiver;
use kwik_io::session::{Asker, SessionInfo};
use kwik_io::stream::connection;
use kwik_proto::frame::{self, ErrorCode, GapReason};
use kwik_proto::{ByteRange, DelegationId, Offset, StreamId};
use tokio::sync::oneshot;

pub use kwik_io::pump::ContributionError;
pub(crate) use task::{Parts, start};

/// What only a secondary's session is asked.
#[derive(Debug)]
pub(crate) enum SecondaryRequest {
    Accept(StreamId, DelegationId, OpenReply),
    Refuse(DelegationId, GapReason),
    Postpone(DelegationId),
    Open(StreamId, OpenReply),
    Send(Bytes, oneshot::Sender<bool>),
    MessageTaken(usize),
    Metrics(oneshot::Sender<SecondaryMetrics>),
}

/// Counters of a session in which this server is secondary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecondaryMetrics {
    /// Contributions that are open.
    pub contributions: usize,
    /// Orders that wait for the application, or are being obeyed.
    pub delegations: usize,
    /// Payload bytes that were handed to QUIC. Without loss of the connection, and where nothing is reset, it is what the
    /// client received here.
    pub sent_bytes: u64,
}

pub(crate) type OpenReply =
    oneshot::Sender<Result<kwik_io::pump::ContributionWriter, ContributionOpenError>>;

/// Why a contribution was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContributionOpenError {
    /// The rules do not allow it.
    #[error(transparent)]
    Rule(#[from] kwik_core::session::secondary::OpenError),
    /// QUIC has no credit; the primary was told that this server is busy.
    #[error("too many contributions are open on the path")]
    Busy,
    /// The session is over.
    #[error(transparent)]
    Connection(#[from] connection::Error),
}

/// A session in which this server is secondary: it sends what a primary orders.
///
/// It closes when it and its contributions are dropped.
#[derive(Debug)]
pub struct SecondarySession {
    asker: Asker<SecondaryRequest>,
    offers: Receiver<Box<frame::Delegation>>,
    messages: Receiver<Bytes>,
    info: SessionInfo,
}

impl SecondarySession {
    /// The next order of the primary; `None` when the session was closed without an error, or the primary took this
    /// server out of it. Cancel safe.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn next_delegation(&mut self) -> Result<Option<Delegation>, connection::Error> {
        match self.offers.recv().await {
            Some(order) => Ok(Some(Delegation::new(self.asker.clone(), *order))),
            None => match self.asker.ended() {
                error if is_orderly(&error) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// A contribution to a stream on which this server holds a grant.
    ///
    /// # Errors
    /// See [`ContributionOpenError`].
    pub async fn open_stream(&self, target: u64) -> Result<Contribution, ContributionOpenError> {
        let stream = StreamId::from_wire(target).unwrap_or(UNREACHABLE_STREAM);
        let writer = self.asker.ask(|reply| SecondaryRequest::Open(stream, reply)).await??;
        Ok(Contribution { writer })
    }

    /// Sends a message of 1 byte to 64 KiB to the primary's application. It can't tell who sent it.
    ///
    /// # Errors
    /// Why the session is over. `Ok(false)`: the queue is full, or the message empty or too large.
    pub async fn send_message(&self, message: Bytes) -> Result<bool, connection::Error> {
        self.asker.ask(|reply| SecondaryRequest::Send(message, reply)).await
    }

    /// The next message of the primary's application; `None` when the session is over.
    pub async fn receive_message(&mut self) -> Option<Bytes> {
        let message = self.messages.recv().await?;
        self.asker.tell(SecondaryRequest::MessageTaken(message.len()));
        Some(message)
    }

    /// Counters.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn metrics(&self) -> Result<SecondaryMetrics, connection::Error> {
        self.asker.ask(SecondaryRequest::Metrics).await
    }

    /// The client's address, when the session began.
    ///
    /// # Errors
    /// If it is not known.
    pub fn remote_addr(&self) -> connection::Result<SocketAddr> {
        self.info.remote.ok_or(connection::Error::Unspecified)
    }
}

/// Whether a session that ended so has done all that it was for.
fn is_orderly(error: &connection::Error) -> bool {
    match error {
        connection::Error::Closed { .. } => true,
        connection::Error::Application { error, .. } => {
            error.kwik_code() == Some(ErrorCode::PathRemoved)
        }
        _ => false,
    }
}

/// Stands for ids above 2^62 - 1, on which nothing can be granted.
const UNREACHABLE_STREAM: StreamId = match StreamId::from_wire(kwik_proto::id::MAX_VARINT) {
    Some(id) => id,
    None => unreachable!(),
};

/// An order to send a range of a stream. Dropping it refuses it.
#[derive(Debug)]
pub struct Delegation {
    asker: Asker<SecondaryRequest>,
    order: Option<frame::Delegation>,
    /// Said once: the primary needs no second Pending.
    postponed: AtomicBool,
}

/// Why an order is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// This server's copy is another version. It is not asked for the resource again.
    Stale,
    /// This server does not have the resource. It is not asked for it again.
    NotFound,
    /// Not now. It is asked again after a while.
    Busy,
    /// Reading failed.
    Failed,
}

impl From<Refusal> for GapReason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Stale => Self::Stale,
            Refusal::NotFound => Self::NotFound,
            Refusal::Busy => Self::Busy,
            Refusal::Failed => Self::SourceFailed,
        }
    }
}

impl Delegation {
    fn new(asker: Asker<SecondaryRequest>, order: frame::Delegation) -> Self {
        Self { asker, order: Some(order), postponed: AtomicBool::new(false) }
    }

    fn order(&self) -> &frame::Delegation {
        self.order.as_ref().expect("only accept, refuse and drop take the order, and they end it")
    }

    /// Id of the stream.
    pub fn stream(&self) -> u64 {
        self.order().stream.value()
    }

    /// The bytes of the stream that are ordered.
    pub fn range(&self) -> std::ops::Range<u64> {
        let range = self.order().range;
        range.start().value()..range.end().value()
    }

    /// What the primary's application said about them.
    pub fn resource(&self) -> &Bytes {
        &self.order().resource
    }

    /// Promises to send the range.
    ///
    /// # Errors
    /// See [`ContributionOpenError`]: it was taken back meanwhile, or QUIC has no credit.
    pub async fn accept(mut self) -> Result<Contribution, ContributionOpenError> {
        let order = self.order.take();
        let Some(order) = order else { return Err(ContributionOpenError::Busy) };
        let (stream, id) = (order.stream, order.id);
        let writer = self.asker.ask(|reply| SecondaryRequest::Accept(stream, id, reply)).await??;
        Ok(Contribution { writer })
    }

    /// Tells the primary that this server can't say yet, and will accept or refuse later.
    pub fn postpone(&self) {
        if !self.postponed.swap(true, Ordering::Relaxed) {
            self.asker.tell(SecondaryRequest::Postpone(self.order().id));
        }
    }

    /// Refuses.
    pub fn refuse(mut self, reason: Refusal) {
        if let Some(order) = self.order.take() {
            self.asker.tell(SecondaryRequest::Refuse(order.id, reason.into()));
        }
    }
}

impl Drop for Delegation {
    fn drop(&mut self) {
        if let Some(order) = self.order.take() {
            self.asker.tell(SecondaryRequest::Refuse(order.id, GapReason::Refused));
        }
    }
}

/// Bytes that this server sends for a stream of the primary's session.
///
/// Dropping it before [`finish`](Self::finish) gives the rest back.
#[derive(Debug)]
pub struct Contribution {
    writer: kwik_io::pump::ContributionWriter,
}

impl Contribution {
    /// Waits until a write at `offset` would be taken at once. Call it before the bytes are read from a disk: then what the path
    /// sends first is read first, and over all contributions no more is read than can be sent soon, about 1 MiB and a
    /// congestion window. It may write once then, about 128 KiB, which count as waiting from now on: who does not write
    /// keeps them from the others until it does or is dropped. Cancel safe.
    ///
    /// # Errors
    /// [`ContributionError`]: nobody wants the bytes any more.
    pub async fn ready(&mut self, offset: u64) -> Result<(), ContributionError> {
        self.writer.ready(Offset::new(offset).unwrap_or(Offset::MAX)).await
    }

    /// Sends bytes at their offset in the stream; waits while 512 KiB of its own wait for QUIC, while those of the path that go
    /// first have not been written, and for the client's window as a stream of QUIC does. Cancelled, it may have taken bytes from the front; to write those again is no error.
    ///
    /// # Errors
    /// [`ContributionError`]: outside what was granted, or nobody wants the bytes any more.
    pub async fn write_at(&mut self, offset: u64, data: Bytes) -> Result<(), ContributionError> {
        self.writer.write_at(Offset::new(offset).unwrap_or(Offset::MAX), data).await
    }

    /// Ends the contribution and waits until the client has received it.
    ///
    /// # Errors
    /// [`ContributionError`].
    pub async fn finish(mut self) -> Result<(), ContributionError> {
        self.writer.finish().await
    }

    /// Waits until nobody wants its bytes any more, without ending it: for a writer that waits for its data. Cancel safe.
    ///
    /// # Errors
    /// [`ContributionError`]: why.
    pub async fn closed(&mut self) -> Result<(), ContributionError> {
        self.writer.closed().await
    }

    /// Where bytes may go now: what was granted, up to the window. A write within the grant and beyond the window waits.
    pub fn allowed(&self) -> std::ops::Range<u64> {
        let allowed: ByteRange = self.writer.allowed();
        allowed.start().value()..allowed.end().value()
    }
}
