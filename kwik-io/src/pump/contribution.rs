//! The sending side of a contribution: bytes for a stream of another server's session.
//!
//! [`open`] makes three parts of one contribution: the application's [`ContributionWriter`], the
//! [`ContributionPump`] that a worker runs, and the session's [`ContributionControl`]. Writer and pump meet in a
//! bounded queue that is ordered by offset.

mod pump;
mod queue;
mod writer;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use kwik_proto::frame::{CarrierKind, StreamHeader};
use kwik_proto::{ByteRange, DelegationId, Offset, StreamId};
use s2n_quic::connection::Handle;

pub use pump::ContributionPump;
pub use writer::{ContributionControl, ContributionWriter};

use crate::stream::{application, connection};
use queue::Queue;

/// Most bytes that a contribution queues before its writer waits, plus the one chunk that crosses the line.
///
/// The writer pays when it is full. Lower costs wake-ups, higher costs memory for each of up to 1,024 contributions.
pub(super) const QUEUE_BYTES: usize = 512 << 10;

/// What a contribution is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContributionTarget {
    /// The KWIK stream.
    pub stream: StreamId,
    /// The delegation that it fulfils; `None`: an open-ended grant.
    pub delegation: Option<DelegationId>,
    /// The bytes that the header promises; `None`: not known.
    pub promised: Option<ByteRange>,
    /// Where bytes may go at all.
    pub granted: ByteRange,
    /// How far they may go now; writes beyond it wait until [`ContributionControl::extend`] moves it.
    pub window: Offset,
}

impl ContributionTarget {
    /// A delegation's range, promised and within the window as a whole.
    ///
    /// ```
    /// use kwik_io::pump::ContributionTarget;
    /// use kwik_proto::{ByteRange, DelegationId, Offset, StreamId};
    ///
    /// let range = ByteRange::with_length(Offset::ZERO, 64).unwrap();
    /// let stream = StreamId::from_wire(1).unwrap();
    /// let target = ContributionTarget::delegated(stream, DelegationId(7), range);
    /// assert_eq!(target.promised, Some(range));
    /// ```
    pub const fn delegated(stream: StreamId, delegation: DelegationId, range: ByteRange) -> Self {
        let (delegation, promised) = (Some(delegation), Some(range));
        Self { stream, delegation, promised, granted: range, window: range.end() }
    }

    /// The first message on the contribution's carrier.
    pub const fn header(&self) -> StreamHeader {
        StreamHeader {
            stream: self.stream,
            kind: CarrierKind::Contribution,
            delegation: self.delegation,
            promised: self.promised,
        }
    }
}

/// Why a contribution could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The client allows no further stream now. The range goes back as Busy.
    #[error("no stream credit on the path")]
    Busy,
    /// The connection is over.
    #[error(transparent)]
    Connection(#[from] connection::Error),
}

/// Why a contribution takes no more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContributionError {
    /// The client is done with the stream: it was read, reset or given up.
    #[error("the client closed the stream")]
    StreamClosed,
    /// The primary took the grant or the delegation back.
    #[error("the primary took the grant back")]
    Revoked,
    /// The client stopped this contribution alone.
    #[error("the client stopped the contribution: {code}")]
    Stopped {
        /// The client's code; [`kwik_code`](application::Error::kwik_code) says which of KWIK's it is.
        code: application::Error,
    },
    /// The bytes are outside what was granted.
    #[error("{range} is outside {allowed}, where bytes may go")]
    OutsideGrant {
        /// Where the bytes would go.
        range: ByteRange,
        /// Where bytes may go.
        allowed: ByteRange,
    },
    /// The contribution was finished before.
    #[error("the contribution was already finished")]
    Finished,
    /// The session is over on this end.
    #[error("the session is closed")]
    SessionClosed,
    /// The connection to the client is over.
    #[error(transparent)]
    Connection(#[from] connection::Error),
}

/// Opens a contribution. Never waits: without stream credit it returns [`OpenError::Busy`].
///
/// Use one `connection` handle per path for all contributions, from one task: s2n-quic remembers per handle that it
/// waits for credit.
///
/// # Errors
///
/// See [`OpenError`].
///
/// ```no_run
/// # async fn example(mut connection: s2n_quic::connection::Handle,
/// #     target: kwik_io::pump::ContributionTarget) -> Result<(), Box<dyn std::error::Error>> {
/// use kwik_io::pump::contribution;
///
/// let (mut writer, pump, control) = contribution::open(&mut connection, target)?;
/// tokio::spawn(pump.run());
/// writer.write_at(target.granted.start(), bytes::Bytes::from_static(b"bytes")).await?;
/// writer.finish().await?;
/// # drop(control);
/// # Ok(())
/// # }
/// ```
pub fn open(
    connection: &mut Handle,
    target: ContributionTarget,
) -> Result<(ContributionWriter, ContributionPump, ContributionControl), OpenError> {
    let mut cx = Context::from_waker(Waker::noop());
    let carrier = match connection.poll_open_send_stream(&mut cx) {
        Poll::Ready(Ok(carrier)) => carrier,
        Poll::Ready(Err(error)) => return Err(connection::Error::from(error).into()),
        Poll::Pending => return Err(OpenError::Busy),
    };
    let queue = Arc::new(Queue::new(target.granted, target.window));
    let pump = ContributionPump::new(carrier, target.header(), queue.clone());
    Ok((ContributionWriter::new(queue.clone()), pump, ContributionControl::new(queue)))
}

/// Bytes that go out as one frame.
#[derive(Debug, Default)]
struct Frame {
    offset: Offset,
    length: usize,
    chunks: Vec<bytes::Bytes>,
}
