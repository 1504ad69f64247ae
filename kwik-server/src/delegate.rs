//! Handing ranges of a stream to secondaries.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use kwik_core::delegation::{Candidates, DelegateError as OrderError, Local};
use kwik_core::stream::DelegateError as ReserveError;
use kwik_io::stream::connection;
use kwik_proto::PathId;

/// Content that the primary itself can supply, when nobody else does.
///
/// Called from threads that may block. The same bytes may be asked for again, as long as the reader has not passed
/// them.
pub trait RangeSource: Send + Sync {
    /// Bytes of the stream from `offset` on: at least one, at most `length`.
    ///
    /// # Errors
    /// What the storage says. The range is then asked of others, or again later; the application is told at once
    /// ([`DelegationHandle::source_failed`](crate::DelegationHandle::source_failed)).
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes>;
}

/// Which secondaries may be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Paths {
    /// All of the session, also such as are added later. While there is none, and no copy of the primary's, a reader
    /// waits for the bytes for the client's gap timeout, 10 s by default.
    #[default]
    All,
    /// These.
    List(Vec<PathId>),
}

/// What the primary's own copy is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalSupply {
    /// Supplies what no secondary can.
    #[default]
    Fallback,
    /// Supplies its share from the start.
    Share,
}

/// An order for a range of a stream.
#[derive(Clone)]
pub struct Delegate {
    pub(crate) range: Range<u64>,
    pub(crate) resource: Bytes,
    pub(crate) paths: Paths,
    pub(crate) local: Option<Arc<dyn RangeSource>>,
    pub(crate) supply: LocalSupply,
    pub(crate) proven: bool,
}

impl Delegate {
    /// The bytes `range` of the stream, to be sent by any secondary of the session that understands `resource` (at
    /// most 4 KiB, opaque to KWIK).
    ///
    /// ```
    /// use kwik_server::{Delegate, Paths};
    ///
    /// let order = Delegate::new(0..1 << 30, "dataset-7".into()).with_paths(Paths::All);
    /// ```
    pub fn new(range: Range<u64>, resource: Bytes) -> Self {
        Self {
            range,
            resource,
            paths: Paths::All,
            local: None,
            supply: LocalSupply::Fallback,
            proven: false,
        }
    }

    /// Asks only these.
    #[must_use]
    pub fn with_paths(mut self, paths: Paths) -> Self {
        self.paths = paths;
        self
    }

    /// The primary's own copy. Default: none; then bytes that no secondary has are missing for the reader.
    #[must_use]
    pub fn with_local(mut self, source: Arc<dyn RangeSource>, supply: LocalSupply) -> Self {
        self.local = Some(source);
        self.supply = supply;
        self
    }

    /// Names the BLAKE3 of every range that is ordered, read off the primary's own copy
    /// ([`with_local`](Self::with_local); without one this does nothing): the client gives its reader no byte of a
    /// secondary before the range's hash holds, so that a secondary that lies is found out and its bytes are asked of others.
    ///
    /// Default: off; then who has a grant is believed. It costs the primary a read of its copy for each order, and the
    /// reader the time until a range is whole.
    #[must_use]
    pub fn with_proof(mut self) -> Self {
        self.proven = true;
        self
    }

    pub(crate) fn candidates(&self) -> Candidates {
        match &self.paths {
            Paths::All => Candidates::All,
            Paths::List(paths) => Candidates::List(paths.clone()),
        }
    }

    pub(crate) fn local(&self) -> Local {
        match (&self.local, self.supply) {
            (None, _) => Local::None,
            (Some(_), LocalSupply::Fallback) => Local::Fallback,
            (Some(_), LocalSupply::Share) => Local::Share,
        }
    }
}

impl std::fmt::Debug for Delegate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delegate")
            .field("range", &self.range)
            .field("paths", &self.paths)
            .field("local", &self.local())
            .finish_non_exhaustive()
    }
}

/// Why a range was not taken. The caller's fault, but for the last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DelegateError {
    /// The range runs backwards, or beyond 2^62 - 1.
    #[error("{start}..{end} is no range of a stream")]
    Range {
        /// First byte.
        start: u64,
        /// End.
        end: u64,
    },
    /// The stream half can't give the range away.
    #[error(transparent)]
    Reserve(#[from] ReserveError),
    /// The scheduler can't take it.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The session is over.
    #[error(transparent)]
    Connection(#[from] connection::Error),
}
