//! What pumps tell the session's task.

use std::fmt;

use kwik_core::conflict::Conflict;
use kwik_core::stream::{ReceiveError, SourceKey};
use kwik_proto::frame::{CarrierKind, ErrorCode, StreamHeader};
use kwik_proto::{DecodeError, Epoch, PathId, StreamId};
use tokio::sync::oneshot;

use super::{CarrierControl, Outgoing};
use crate::stream::{SharedReceive, application, connection};

/// Id of the QUIC stream that a carrier is, on its path's connection. Never the id of a KWIK stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CarrierId(pub u64);

impl fmt::Display for CarrierId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which carrier an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// The path that it is on.
    pub path: PathId,
    /// Which connection of that path.
    pub epoch: Epoch,
    /// The QUIC stream.
    pub id: CarrierId,
    /// What its header said: stream, delegation, promise. `None` before it came.
    pub header: Option<StreamHeader>,
    /// The key under which its bytes were put in. `None` if they were not.
    pub source: Option<SourceKey>,
}

impl Carrier {
    /// The carrier of a public stream on the primary path, opened or answered on by this end.
    pub const fn public(id: CarrierId, stream: StreamId) -> Self {
        let (kind, delegation, promised) = (CarrierKind::Public, None, None);
        let header = Some(StreamHeader { stream, kind, delegation, promised });
        Self { path: PathId::PRIMARY, epoch: Epoch::FIRST, id, header, source: None }
    }
}

/// Something that the session's task has to decide or to know. It owns the one receiver of a bounded channel; pumps wait
/// while that is full, and so does what feeds them.
#[derive(Debug)]
#[non_exhaustive]
pub enum CarrierEvent {
    /// This end opened a carrier, whose header is its own. Comes before anything else about it.
    Opened(Carrier),
    /// A carrier's header came: whose bytes are these?
    Route(RouteRequest),
    /// Bytes were dropped, or differ from others; the carrier goes on.
    Fault {
        /// The carrier.
        carrier: Carrier,
        /// What was wrong.
        fault: CarrierFault,
    },
    /// A carrier brings nothing more.
    Ended {
        /// The carrier.
        carrier: Carrier,
        /// How it ended.
        end: CarrierEnd,
    },
    /// A carrier that this end sends on is over.
    SendEnded {
        /// The carrier; its header is this end's own.
        carrier: Carrier,
        /// How it ended.
        end: SendEnd,
    },
}

/// A carrier's header came. The pump waits for [`reply`](Self::reply); dropping it ends the carrier as refused.
#[derive(Debug)]
pub struct RouteRequest {
    /// The carrier, with its header.
    pub carrier: Carrier,
    /// The header.
    pub header: StreamHeader,
    /// The other direction, if the peer opened a bidirectional carrier.
    pub back: Option<Outgoing>,
    /// The session's hold on the pump.
    pub control: CarrierControl,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Route>,
}

impl RouteRequest {
    /// Answers the pump. One that is gone needs no answer.
    pub fn answer(self, route: Route) {
        let _ = self.reply.send(route);
    }

    /// Refuses the carrier: STOP_SENDING with that code, and RESET_STREAM on its other direction.
    pub fn refuse(mut self, code: ErrorCode) {
        if let Some(back) = self.back.take() {
            back.refuse(code);
        }
        self.answer(Route::Refused(code));
    }
}

/// Where a carrier's bytes go.
#[derive(Clone, Debug)]
pub enum Route {
    /// Into that half, as that source.
    Receive {
        /// The half. Frames must name its stream.
        receive: SharedReceive,
        /// What `add_source` gave for this carrier.
        source: SourceKey,
    },
    /// Nowhere for now: they are drained and dropped, until [`CarrierControl::reroute`] or [`CarrierControl::stop`].
    Drain,
    /// Nowhere: STOP_SENDING with that code.
    Refused(ErrorCode),
}

/// What was wrong with some bytes of a carrier that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CarrierFault {
    /// A frame was dropped: wrong checksum, or another stream than the header's. The error says where.
    Frame(DecodeError),
    /// Bytes differ from another source's.
    Conflict(Conflict),
}

/// How a carrier ended that this end reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CarrierEnd {
    /// QUIC's FIN, at the end of a frame; on a public stream after the frame that told the final size.
    Finished,
    /// QUIC's FIN on a public stream that never told its final size.
    NoFinalSize,
    /// The peer reset it.
    Reset {
        /// The code that came with it.
        code: application::Error,
    },
    /// Its header did not come in time; it was stopped.
    HeaderTimeout,
    /// It is not what the protocol allows; it was stopped.
    Decode(DecodeError),
    /// Its bytes were refused; it was stopped.
    Insert(ReceiveError),
    /// The session refused it; it was stopped.
    Refused(ErrorCode),
    /// The session stopped it.
    Stopped {
        /// The code that the peer was told.
        code: application::Error,
    },
    /// The connection is over.
    Lost(connection::Error),
}

impl CarrierEnd {
    /// What the peer did wrong; `None` if it did nothing wrong.
    ///
    /// ```
    /// use kwik_io::pump::CarrierEnd;
    /// use kwik_proto::frame::ErrorCode;
    ///
    /// assert_eq!(CarrierEnd::HeaderTimeout.fault(), Some(ErrorCode::HeaderMissing));
    /// assert_eq!(CarrierEnd::Finished.fault(), None);
    /// ```
    pub fn fault(&self) -> Option<ErrorCode> {
        match self {
            Self::Finished | Self::Reset { .. } | Self::Stopped { .. } | Self::Lost(_) => None,
            Self::Insert(ReceiveError::SourceRemoved { .. }) => None,
            Self::NoFinalSize => Some(ErrorCode::FinalSize),
            Self::HeaderTimeout => Some(ErrorCode::HeaderMissing),
            Self::Decode(error) => Some(error.code()),
            Self::Insert(error) => Some(insert_code(error)),
            Self::Refused(code) => Some(*code),
        }
    }
}

const fn insert_code(error: &ReceiveError) -> ErrorCode {
    match error {
        ReceiveError::FlowControl { .. } => ErrorCode::FlowControl,
        ReceiveError::FinalSize { .. } => ErrorCode::FinalSize,
        ReceiveError::NotGranted { .. } => ErrorCode::NotGranted,
        ReceiveError::Conflict { .. } => ErrorCode::DataConflict,
        ReceiveError::Fragmented { .. } => ErrorCode::LimitExceeded,
        _ => ErrorCode::ProtocolViolation,
    }
}

/// How a carrier ended that this end writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendEnd {
    /// The peer's QUIC has acknowledged everything, the end included.
    Delivered,
    /// Reset by this end: by the application, or because the receiver stopped the stream.
    Reset {
        /// The code that the peer was told.
        code: application::Error,
    },
    /// The peer stopped the carrier.
    Stopped {
        /// The code that came with it.
        code: application::Error,
    },
    /// The session is over on this end.
    SessionOver,
    /// The connection is over.
    Lost(connection::Error),
}
