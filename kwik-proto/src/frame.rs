//! Frames as the rest of KWIK sees them: validated, with domain types.
//!
//! `proto/kwik/v1/` documents every field: unit, range, who sends it and when.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::id::{ByteRange, DelegationId, Epoch, Offset, PathId, SessionId, StreamId};
pub use crate::token::Token;

/// Why a session, a path or an admission was refused or closed. Wire values as in `types.proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u16)]
#[allow(missing_docs, reason = "types.proto documents each")]
pub enum ErrorCode {
    None = 1,
    Internal = 2,
    ProtocolViolation = 3,
    FrameEncoding = 4,
    UnknownCriticalFrame = 5,
    VersionNegotiation = 6,
    HandshakeTimeout = 7,
    LimitExceeded = 8,
    FlowControl = 9,
    FinalSize = 10,
    StreamState = 11,
    NotGranted = 12,
    Mapping = 13,
    Checksum = 14,
    DataConflict = 15,
    RoleRefused = 16,
    TokenMissing = 17,
    TokenInvalid = 18,
    TokenExpired = 19,
    TokenAudience = 20,
    TokenProof = 21,
    TokenReplayed = 22,
    PathPolicy = 23,
    Unreachable = 24,
    IdentityMismatch = 25,
    PathTimeout = 26,
    PathRemoved = 27,
    SessionClosed = 28,
    Busy = 29,
    OrderInvalid = 30,
    StreamClosed = 31,
    HeaderMissing = 32,
    GoingAway = 33,
    RateExceeded = 34,
}

/// Life of a secondary path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "types.proto documents each")]
pub enum PathState {
    Dialing,
    Proving,
    Live,
    Suspect,
    Draining,
    Gone,
}

/// Where a delegation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "types.proto documents each")]
pub enum DelegationState {
    Accepted,
    Pending,
    Refused(GapReason),
    Sent,
    Failed(GapReason),
}

/// Why bytes are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "types.proto documents each")]
pub enum GapReason {
    Late,
    Refused,
    Reset,
    PathGone,
    PathSuspect,
    Corrupt,
    Stale,
    NotFound,
    Busy,
    Conflict,
    Revoked,
    Unassigned,
    SourceFailed,
}

/// How the client recognises a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerIdentity {
    /// SHA-256 of the certificate's SubjectPublicKeyInfo.
    Pin([u8; 32]),
    /// DNS name or IP literal, verified against the client's CA set.
    Name(String),
}

/// What an endpoint is ready to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open bidirectional streams that the peer may have initiated.
    pub max_bidirectional_streams: u32,
    /// Open unidirectional streams that the peer may have initiated.
    pub max_unidirectional_streams: u32,
    /// First window of every stream half that the peer sends, in bytes.
    pub initial_window: u64,
}

/// One message of the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is its message")]
pub enum ControlFrame {
    Hello(Hello),
    Welcome(Welcome),
    Refuse(Refuse),
    AddPath(AddPath),
    AddPathResult(AddPathResult),
    RemovePath(RemovePath),
    PathStatus(PathStatus),
    TokenRequest(TokenRequest),
    Orders(SignedOrders),
    DelegationStatus(DelegationStatus),
    StreamReset(StreamReset),
    StreamStop(StreamStop),
    StreamClosed(StreamClosed),
    StreamWindow(StreamWindow),
    StreamBlocked(StreamBlocked),
    StreamProgress(StreamProgress),
    Gap(Gap),
    Relay(Relay),
    RelayCredit(RelayCredit),
    MappingQuery(MappingQuery),
    MappingSnapshot(MappingSnapshot),
    Ping(Ping),
    Pong(Pong),
    SessionClose(SessionClose),
    GoAway(GoAway),
}

/// Opens the control stream; client to server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct Hello {
    pub versions: Vec<u32>,
    pub features: Vec<u32>,
    pub limits: Limits,
    /// Set towards a primary.
    pub confirmation_key: Option<[u8; 32]>,
    /// Set towards a secondary.
    pub admission: Option<Admission>,
}

/// The right to attach to a secondary.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct Admission {
    pub token: Token,
    pub proof: [u8; 64],
}

/// Accepts a Hello.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct Welcome {
    pub version: u32,
    pub features: Vec<u32>,
    pub limits: Limits,
    pub session: SessionId,
}

/// Refuses a Hello.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct Refuse {
    pub code: ErrorCode,
    pub reason: String,
    pub retry_after_ms: Option<u32>,
}

/// Connect to a secondary; primary to client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct AddPath {
    pub path: PathId,
    pub epoch: Epoch,
    pub addresses: Vec<SocketAddr>,
    pub identity: ServerIdentity,
    pub token: Token,
}

/// What became of an [`AddPath`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct AddPathResult {
    pub path: PathId,
    pub epoch: Epoch,
    pub code: ErrorCode,
    pub detail: String,
}

/// Drain and close a path; primary to client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct RemovePath {
    pub path: PathId,
    pub drain_ms: u32,
}

/// A path's state; client to primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct PathStatus {
    pub path: PathId,
    pub epoch: Epoch,
    pub state: PathState,
    pub reason: Option<ErrorCode>,
    pub smoothed_rtt_us: u64,
    pub rtt_variation_us: u64,
    pub received_bytes: u64,
    pub busy_us: u64,
}

/// A path is to be redialled; client to primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct TokenRequest {
    pub path: PathId,
    pub epoch: Epoch,
}

/// Orders of the primary to a secondary, as they travel. See [`Orders`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct SignedOrders {
    pub body: Bytes,
    pub signature: [u8; 64],
    pub key_id: String,
}

/// The body of [`SignedOrders`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct Orders {
    pub session: SessionId,
    pub path: PathId,
    pub epoch: Epoch,
    pub number: u64,
    pub orders: Vec<Order>,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is its message")]
pub enum Order {
    Grant(Grant),
    Delegation(Delegation),
    Revoke(Revoke),
    Relay(Relay),
}

/// Permission to contribute to a stream within a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct Grant {
    pub stream: StreamId,
    /// First offset of the permission.
    pub start: Offset,
    /// First offset after it; `None`: it has no end.
    pub end: Option<Offset>,
    pub max_offset: Offset,
}

/// A grant for a bounded range, with the order to fulfil it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct Delegation {
    pub id: DelegationId,
    pub stream: StreamId,
    pub range: ByteRange,
    pub resource: Bytes,
    pub blake3: Option<[u8; 32]>,
    pub rank: Rank,
}

/// What goes first on a path: what is urgent, then the higher priority.
///
/// ```
/// use kwik_proto::frame::Rank;
///
/// assert_eq!(Rank::default(), Rank { priority: 0, urgent: false });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rank {
    /// Of the stream: a higher number goes first, equal ones take turns. Default 0.
    pub priority: i32,
    /// The reader waits for these bytes: they go before all else. Default: they do not.
    pub urgent: bool,
}

/// Takes a delegation, or all for a stream, back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct Revoke {
    pub stream: StreamId,
    pub delegation: Option<DelegationId>,
}

/// Where a delegation stands; secondary to client to primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct DelegationStatus {
    pub path: PathId,
    pub delegation: DelegationId,
    pub state: DelegationState,
}

/// Ends a half abruptly, from its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct StreamReset {
    pub stream: StreamId,
    pub error_code: u64,
    pub final_size: Offset,
}

/// Asks a half's sender to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct StreamStop {
    pub stream: StreamId,
    pub error_code: u64,
}

/// The receiver of a half is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct StreamClosed {
    pub stream: StreamId,
    pub complete: bool,
}

/// Moves a half's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct StreamWindow {
    pub stream: StreamId,
    pub max_offset: Offset,
}

/// A source waits for a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct StreamBlocked {
    pub stream: StreamId,
    pub max_offset: Offset,
}

/// What arrived of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct StreamProgress {
    pub stream: StreamId,
    pub read_offset: Offset,
    pub contiguous_end: Offset,
    pub held: Vec<HeldRange>,
    pub reader_waiting: bool,
}

/// A range that the client holds, and who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct HeldRange {
    pub range: ByteRange,
    pub path: PathId,
}

/// Bytes that are due and that nobody delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct Gap {
    pub stream: StreamId,
    pub range: ByteRange,
    pub reason: GapReason,
    pub path: Option<PathId>,
    pub delegation: Option<DelegationId>,
}

/// A piece of a message between primary and secondary.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct Relay {
    pub path: PathId,
    pub message_id: u64,
    pub message_size: u32,
    pub piece_offset: u32,
    pub piece: Bytes,
}

/// How much more a receiver of relay messages takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct RelayCredit {
    pub path: PathId,
    pub max_bytes: u64,
}

/// What do these carriers carry?
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct MappingQuery {
    pub query: u64,
    pub carriers: Vec<u64>,
}

/// The answer to [`MappingQuery`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct MappingSnapshot {
    pub query: u64,
    pub mappings: Vec<Mapping>,
}

/// What one carrier carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct Mapping {
    pub carrier: u64,
    pub stream: StreamId,
    pub delegation: Option<DelegationId>,
    pub promised: Option<ByteRange>,
}

/// Asks for a [`Pong`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct Ping {
    pub nonce: u64,
}

/// Answers a [`Ping`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct Pong {
    pub nonce: u64,
}

/// The session, or a secondary path, ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct SessionClose {
    pub code: ErrorCode,
    pub application_code: Option<u64>,
    pub reason: String,
}

/// The server is about to end: it takes no further work, and what is open goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "control.proto documents each")]
pub struct GoAway {
    pub grace_ms: u32,
}

/// What a carrier is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CarrierKind {
    /// The stream itself, on the primary path.
    Public,
    /// Bytes for a KWIK stream from a secondary, or from the primary for a repair.
    Contribution,
}

/// The first message on every carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "data.proto documents each")]
pub struct StreamHeader {
    pub stream: StreamId,
    pub kind: CarrierKind,
    pub delegation: Option<DelegationId>,
    pub promised: Option<ByteRange>,
}
