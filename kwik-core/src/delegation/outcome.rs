//! What the scheduler takes and returns: candidates in, decisions and events out.

use std::time::Duration;

use kwik_proto::frame::{Delegation, GapReason, PathState};
use kwik_proto::{ByteRange, DelegationId, PathId, StreamId};
use thiserror::Error;

/// One call of [`delegate`](super::Scheduler::delegate), while bytes of it are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlanId(pub u64);

/// Who may be asked for a plan's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// Every secondary path of the session, also such as join later. While there is none, and no copy of the primary's, a
    /// reader waits for the bytes as for any that nobody promised: for the client's gap timeout.
    All,
    /// These paths only. The primary itself is named by [`Local`], never here.
    List(Vec<PathId>),
}

/// Whether the primary itself has the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// It has not.
    None,
    /// It has, and is asked only when no candidate can deliver.
    Fallback,
    /// It is a source like the others.
    Share,
}

/// A path as its owner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathView {
    /// Where the path is in its life.
    pub state: PathState,
    /// Smoothed RTT between client and that server; `None`: not measured.
    pub srtt: Option<Duration>,
    /// RTT variation.
    pub rttvar: Duration,
}

impl PathView {
    /// A path that is being dialled: nothing is known of it.
    pub const DIALING: Self =
        Self { state: PathState::Dialing, srtt: None, rttvar: Duration::ZERO };
}

/// What the primary has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Send this delegation to the path, signed, through the client.
    Delegate {
        /// Who is asked.
        path: PathId,
        /// For what.
        delegation: Delegation,
    },
    /// Send the range from the local provider, as a contribution on the primary's own connection.
    SupplyLocally {
        /// The stream.
        stream: StreamId,
        /// The bytes.
        range: ByteRange,
        /// The number for the contribution's header.
        id: DelegationId,
    },
    /// Stop a local supply; its remaining bytes are not needed.
    CancelLocal {
        /// Which.
        id: DelegationId,
    },
    /// Tell the path to stop sending for a delegation; its remaining bytes are not needed from it.
    Revoke {
        /// Who.
        path: PathId,
        /// The stream.
        stream: StreamId,
        /// Which.
        delegation: DelegationId,
    },
    /// Tell the client that nobody can be asked for the range now: those who may deliver it are gone, and may come back,
    /// or were not added yet. Said once; if one comes the range is asked for.
    Unserved {
        /// The stream.
        stream: StreamId,
        /// The first missing range.
        range: ByteRange,
        /// Why the last source is no more.
        reason: GapReason,
    },
    /// Nobody is left who could deliver the range: every candidate refused it for good, and there is no local
    /// provider. To be told to the client as well. Said once; if a source joins later the range is asked for all the same.
    GiveUp {
        /// The stream.
        stream: StreamId,
        /// The first missing range.
        range: ByteRange,
        /// What the last source said.
        reason: GapReason,
    },
}

/// What happened to ranges, for the primary's application and its logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A source will not deliver a range; its missing bytes are to be asked of others.
    Lost {
        /// The stream.
        stream: StreamId,
        /// What is missing, from its first missing byte to its last.
        range: ByteRange,
        /// Who owed it.
        path: PathId,
        /// Why it is lost.
        reason: GapReason,
    },
    /// Lost bytes were asked of another source.
    Repaired {
        /// The stream.
        stream: StreamId,
        /// The bytes.
        range: ByteRange,
        /// Who is asked now.
        path: PathId,
    },
    /// Bytes that are late, or come so slowly that the window is full behind them, were also asked of a second source; the
    /// first still owes them.
    Hedged {
        /// The stream.
        stream: StreamId,
        /// The bytes.
        range: ByteRange,
        /// Who was late.
        late: PathId,
        /// Who is asked as well.
        path: PathId,
    },
    /// A source is not asked again for this plan's resource.
    Excluded {
        /// The stream.
        stream: StreamId,
        /// Who.
        path: PathId,
        /// Why.
        reason: GapReason,
    },
    /// The primary's copy of a plan did not answer, or not in time: while orders can't name its hashes no secondary is
    /// asked for the plan.
    Unproven {
        /// The stream.
        stream: StreamId,
        /// The plan.
        range: ByteRange,
    },
    /// A plan's last byte arrived.
    Done {
        /// The stream.
        stream: StreamId,
        /// The plan.
        plan: PlanId,
    },
}

/// Why [`delegate`](super::Scheduler::delegate) took nothing. The caller's fault, but for `Full`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DelegateError {
    /// The range has no bytes.
    #[error("an empty range cannot be delegated")]
    Empty,
    /// The range shares bytes with an earlier one of the same stream.
    #[error("bytes of the range were delegated before")]
    Overlap,
    /// The resource is longer than 4 KiB.
    #[error("the resource is longer than 4 KiB")]
    ResourceTooLong,
    /// The list of candidates is empty or names the primary, and there is no local provider.
    #[error("nobody may be asked for the range")]
    NoCandidates,
    /// Too many plans are open.
    #[error("too many delegated ranges are open")]
    Full,
    /// The stream was reset, stopped or closed.
    #[error("the stream is closed")]
    Closed,
}

/// Counters of a scheduler since its start. Bytes count once per byte of the stream unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedulerStats {
    /// Bytes of plans that the client holds.
    pub delivered_bytes: u64,
    /// Ranges that were lost and asked of somebody else.
    pub repairs: u64,
    /// Bytes of those.
    pub repaired_bytes: u64,
    /// Copies ordered because the first source was late.
    pub hedges: u64,
    /// Copies ordered at the end of a plan.
    pub end_game_copies: u64,
    /// Bytes that both kinds of copies may cost, charged when they were ordered, and what sources may have had under way
    /// of ranges that were taken from them.
    pub redundancy_charged: u64,
    /// Delegations taken back because others delivered first, or because their source failed.
    pub revokes: u64,
}

/// Counters of one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathShare {
    /// Bytes asked of the path, copies included.
    pub assigned_bytes: u64,
    /// Bytes that the client holds and that the path delivered, as far as the client's reports tell.
    pub delivered_bytes: u64,
    /// Bytes asked of the path and not arrived.
    pub outstanding_bytes: u64,
    /// Estimated rate, bytes per second; `None` before the first measurement.
    pub rate: Option<u64>,
}
