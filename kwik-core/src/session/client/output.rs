//! What a client's session asks of its driver, and what it tells.

use std::net::SocketAddr;
use std::time::Duration;

use kwik_proto::frame::{ControlFrame, ErrorCode, PathState, Token};
use kwik_proto::{Epoch, PathId, StreamId};

use super::Route;
use crate::path::primary::PrimaryState;
use crate::path::table::Target;
use crate::session::streams::StreamAction;

/// What the driver does for a [`ClientSession`](super::ClientSession).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// On the control stream of that path's current connection.
    Send(PathId, ControlFrame),
    /// Connect to a secondary; then call [`ClientSession::handle_connected`](super::ClientSession::handle_connected).
    Dial {
        /// The path.
        path: PathId,
        /// Which try.
        epoch: Epoch,
        /// Where and whom.
        target: Target,
        /// Sent back in [`ClientSession::handle_connected`](super::ClientSession::handle_connected), for the proof is over it.
        token: Token,
    },
    /// Close the path's connection, or stop dialling it.
    ClosePath {
        /// The path.
        path: PathId,
        /// Which try.
        epoch: Epoch,
        /// Why.
        code: ErrorCode,
    },
    /// Something about a public stream.
    Stream(StreamAction),
    /// Lend the stream's receiving half to [`ClientSession::service_stream`](super::ClientSession::service_stream).
    Service(StreamId),
    /// The carrier's later frames belong to this stream: add a source to its half and tell
    /// [`ClientSession::handle_source`](super::ClientSession::handle_source).
    Reroute {
        /// The path.
        path: PathId,
        /// QUIC stream id.
        carrier: u64,
        /// Where its bytes go.
        route: Route,
    },
    /// STOP_SENDING on a carrier.
    StopCarrier {
        /// The path.
        path: PathId,
        /// QUIC stream id.
        carrier: u64,
        /// Why.
        code: ErrorCode,
    },
    /// A server was found to be wrong by what another sent, or by bytes of its own that had ended: count it. (What a
    /// carrier's own end says comes from the driver.)
    Fault {
        /// The server's path.
        path: PathId,
        /// What it did.
        code: ErrorCode,
    },
    /// The primary accepted the session.
    Established,
    /// What is known of the primary has changed.
    Primary(PrimaryState),
    /// The primary is gone. Nothing can be opened, accepted or sent any more; a stream that
    /// [fails](StreamAction::Fail) with the session has the connection's error. [`Output::Close`] follows.
    Orphaned,
    /// The session is over: close the primary connection.
    Close {
        /// KWIK's reason.
        code: ErrorCode,
        /// The peer's application's code, if it closed the session.
        application_code: Option<u64>,
        /// For people.
        reason: String,
    },
}

/// A path as the client knows it, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathReport {
    /// The path.
    pub path: PathId,
    /// The first address.
    pub address: Option<SocketAddr>,
    /// Where it stands.
    pub state: PathState,
    /// Smoothed RTT.
    pub smoothed_rtt: Option<Duration>,
    /// Bytes of contributions received, duplicates included.
    pub received_bytes: u64,
    /// Contributions open now.
    pub contributions: usize,
}
