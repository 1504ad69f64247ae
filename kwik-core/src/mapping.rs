//! Which carrier carries which KWIK stream, and what to do when a carrier says something else.
//!
//! A carrier is a QUIC stream; its id means something on its own path only and never becomes a KWIK id.
//! [`numbers`] knows which KWIK ids exist, [`resync`] is the recovery of a carrier whose mapping is wrong, [`empty`] bounds
//! carriers that bring nothing.

pub mod empty;

pub mod numbers;

pub mod resync;

use std::collections::{BTreeMap, BTreeSet};

use kwik_proto::frame::{CarrierKind, ErrorCode, Mapping as MappingEntry, StreamHeader};
use kwik_proto::{ByteRange, DelegationId, Initiator, PathId, StreamId, StreamKind};

pub use numbers::{RemoteId, Standing, StreamNumbers};
pub use resync::{Resync, ResyncStep};

/// What a carrier carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The KWIK stream.
    pub stream: StreamId,
    /// What the carrier is.
    pub kind: CarrierKind,
    /// The delegation that a contribution fulfils.
    pub delegation: Option<DelegationId>,
    /// The bytes that a contribution promises.
    pub promised: Option<ByteRange>,
}

impl From<StreamHeader> for Route {
    fn from(header: StreamHeader) -> Self {
        let StreamHeader { stream, kind, delegation, promised } = header;
        Self { stream, kind, delegation, promised }
    }
}

/// What is wrong with a carrier. All but [`MappingError::Full`] are its sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// The carrier has a mapping already.
    #[error("carrier {carrier} carries stream {known} already")]
    DuplicateCarrier {
        /// The QUIC stream id.
        carrier: u64,
        /// What it carries.
        known: StreamId,
    },
    /// A public stream has exactly one carrier.
    #[error("stream {stream} has the carrier {known} already")]
    DuplicateStream {
        /// The stream.
        stream: StreamId,
        /// Its carrier.
        known: u64,
    },
    /// Two open carriers of one path claim the same delegation.
    #[error("delegation {delegation} has the carrier {known} already")]
    DuplicateDelegation {
        /// The delegation.
        delegation: DelegationId,
        /// Its carrier.
        known: u64,
    },
    /// A carrier of this direction or initiator cannot carry that.
    #[error("carrier {carrier} has the wrong direction for stream {stream}")]
    WrongCarrier {
        /// The QUIC stream id.
        carrier: u64,
        /// The stream that it claims.
        stream: StreamId,
    },
    /// Only the primary path has public streams.
    #[error("a public stream on path {path}")]
    PublicOnSecondary {
        /// The path.
        path: PathId,
    },
    /// Nobody but the client sends on a unidirectional stream that the client opened.
    #[error("stream {stream} takes no contributions")]
    NotContributable {
        /// The stream.
        stream: StreamId,
    },
    /// The carrier has no mapping.
    #[error("carrier {carrier} has no mapping")]
    NotMapped {
        /// The QUIC stream id.
        carrier: u64,
    },
    /// A frame's stream id is not the header's.
    #[error("carrier {carrier} carries stream {mapped}, a frame says {said}")]
    Disagrees {
        /// The QUIC stream id.
        carrier: u64,
        /// What the header said.
        mapped: StreamId,
        /// What the frame says.
        said: StreamId,
    },
    /// The header names a stream that was never announced.
    #[error("stream {stream} was never announced")]
    NeverAnnounced {
        /// The stream.
        stream: StreamId,
    },
    /// The path has as many contributions as it may.
    #[error("path {path} has {} contributions already", Mapping::MAX_CONTRIBUTIONS)]
    Full {
        /// The path.
        path: PathId,
    },
}

impl MappingError {
    /// The code for the carrier's STOP_SENDING, or the log.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::DuplicateCarrier { .. }
            | Self::DuplicateStream { .. }
            | Self::DuplicateDelegation { .. }
            | Self::NotMapped { .. }
            | Self::Disagrees { .. } => ErrorCode::Mapping,
            Self::WrongCarrier { .. }
            | Self::PublicOnSecondary { .. }
            | Self::NotContributable { .. }
            | Self::NeverAnnounced { .. } => ErrorCode::StreamState,
            Self::Full { .. } => ErrorCode::LimitExceeded,
        }
    }
}

/// What the stream of a carrier is, when it is not an open stream with a carrier of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownStream {
    /// A grant or a higher id named it: keep the bytes, `accept` waits for the header.
    Announced,
    /// It existed: STOP_SENDING, count it, blame nobody.
    Closed,
    /// Nobody ever named it: drain and drop, its range is a gap, and the server is asked ([`Resync`]).
    Corrupt,
}

impl UnknownStream {
    /// Which of the three `stream` is; `None` if it is open and known to the application.
    pub fn of(stream: StreamId, numbers: &StreamNumbers) -> Option<Self> {
        match numbers.standing(stream) {
            Standing::Open => None,
            Standing::Announced => Some(Self::Announced),
            Standing::Closed => Some(Self::Closed),
            Standing::Never => Some(Self::Corrupt),
        }
    }
}

/// The open carriers of all paths of a session, and what each carries.
///
/// Every operation costs the logarithm of the number of carriers. A mapping lives from the header to the carrier's
/// end, the stream's end or the path's end, whichever is first.
///
/// ```
/// use kwik_core::mapping::{Mapping, MappingError};
/// use kwik_proto::frame::{CarrierKind, StreamHeader};
/// use kwik_proto::{PathId, StreamId};
///
/// let stream = StreamId::from_wire(0).unwrap();
/// let kind = CarrierKind::Contribution;
/// let header = StreamHeader { stream, kind, delegation: None, promised: None };
/// let edge = PathId::new(2);
/// let mut mapping = Mapping::new();
/// let route = mapping.create(edge, 3, header).unwrap();
/// assert_eq!(mapping.route(edge, 3), Some(route));
/// assert!(matches!(mapping.create(edge, 3, header), Err(MappingError::DuplicateCarrier { .. })));
/// assert_eq!(mapping.close_stream(stream), [(edge, 3)]);
/// assert!(mapping.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    routes: BTreeMap<(PathId, u64), Route>,
    carriers: BTreeMap<StreamId, BTreeSet<(PathId, u64)>>,
    delegations: BTreeMap<(PathId, DelegationId), u64>,
    /// Open contributions by path.
    contributions: BTreeMap<PathId, usize>,
}

impl Mapping {
    /// Contributions open on one path at a time: twice what QUIC allows a server, since one that has ended may still be
    /// mapped when QUIC lets the next one in. Beyond it the path pays: its carrier is stopped with LimitExceeded.
    ///
    /// Carriers of public streams do not count: there is one for each stream, and
    /// [`StreamNumbers`] bounds those by the limits that the session was configured with.
    pub const MAX_CONTRIBUTIONS: usize = 2048;
    /// Mappings in one answer to a query: 1,024.
    pub const MAX_SNAPSHOT: usize = 1024;

    /// No carrier.
    pub fn new() -> Self {
        Self::default()
    }

    /// A carrier's header arrived. On an error nothing changes, and the carrier is not mapped by this header.
    pub fn create(
        &mut self,
        path: PathId,
        carrier: u64,
        header: StreamHeader,
    ) -> Result<Route, MappingError> {
        check_direction(path, carrier, header)?;
        self.check_unique(path, carrier, header)?;
        if header.kind == CarrierKind::Contribution {
            let count = self.contributions.entry(path).or_default();
            if *count >= Self::MAX_CONTRIBUTIONS {
                return Err(MappingError::Full { path });
            }
            *count += 1;
        }
        let route = Route::from(header);
        self.routes.insert((path, carrier), route);
        self.carriers.entry(route.stream).or_default().insert((path, carrier));
        if let Some(delegation) = route.delegation {
            self.delegations.insert((path, delegation), carrier);
        }
        Ok(route)
    }

    fn check_unique(
        &self,
        path: PathId,
        carrier: u64,
        header: StreamHeader,
    ) -> Result<(), MappingError> {
        if let Some(route) = self.routes.get(&(path, carrier)) {
            return Err(MappingError::DuplicateCarrier { carrier, known: route.stream });
        }
        if header.kind == CarrierKind::Public
            && let Some(known) = self.public_carrier(header.stream)
        {
            return Err(MappingError::DuplicateStream { stream: header.stream, known });
        }
        if let Some(delegation) = header.delegation
            && let Some(&known) = self.delegations.get(&(path, delegation))
        {
            return Err(MappingError::DuplicateDelegation { delegation, known });
        }
        Ok(())
    }

    /// The carrier of a public stream.
    pub fn public_carrier(&self, stream: StreamId) -> Option<u64> {
        self.carriers_of(stream)
            .find(|key| self.routes.get(key).is_some_and(|route| route.kind == CarrierKind::Public))
            .map(|(_, carrier)| carrier)
    }

    /// What a carrier carries.
    pub fn route(&self, path: PathId, carrier: u64) -> Option<Route> {
        self.routes.get(&(path, carrier)).copied()
    }

    /// What a carrier carries, if a frame for `said` belongs on it.
    pub fn check(&self, path: PathId, carrier: u64, said: StreamId) -> Result<Route, MappingError> {
        let route = self.route(path, carrier).ok_or(MappingError::NotMapped { carrier })?;
        if route.stream != said {
            return Err(MappingError::Disagrees { carrier, mapped: route.stream, said });
        }
        Ok(route)
    }

    /// The open carriers of a stream, by path.
    pub fn carriers_of(&self, stream: StreamId) -> impl Iterator<Item = (PathId, u64)> + '_ {
        self.carriers.get(&stream).into_iter().flatten().copied()
    }

    /// A carrier ended. The KWIK stream stays.
    pub fn close(&mut self, path: PathId, carrier: u64) -> Option<Route> {
        let route = self.routes.remove(&(path, carrier))?;
        if let Some(carriers) = self.carriers.get_mut(&route.stream) {
            carriers.remove(&(path, carrier));
            if carriers.is_empty() {
                self.carriers.remove(&route.stream);
            }
        }
        if let Some(delegation) = route.delegation {
            self.delegations.remove(&(path, delegation));
        }
        if route.kind == CarrierKind::Contribution
            && let Some(count) = self.contributions.get_mut(&path)
        {
            *count -= 1;
            if *count == 0 {
                self.contributions.remove(&path);
            }
        }
        Some(route)
    }

    /// A KWIK stream ended: all its carriers, which are to be stopped.
    pub fn close_stream(&mut self, stream: StreamId) -> Vec<(PathId, u64)> {
        let carriers: Vec<_> = self.carriers_of(stream).collect();
        for &(path, carrier) in &carriers {
            self.close(path, carrier);
        }
        carriers
    }

    /// A path ended: all its carriers and what they carried.
    pub fn close_path(&mut self, path: PathId) -> Vec<(u64, Route)> {
        let carriers: Vec<_> = self.on_path(path).collect();
        for &(carrier, _) in &carriers {
            self.close(path, carrier);
        }
        carriers
    }

    /// What the open carriers of a path carry, by carrier.
    pub fn on_path(&self, path: PathId) -> impl Iterator<Item = (u64, Route)> + '_ {
        self.routes
            .range((path, u64::MIN)..=(path, u64::MAX))
            .map(|(&(_, carrier), &route)| (carrier, route))
    }

    /// The answer to a query about `carriers`; about all that are open if it names none. At most
    /// [`Mapping::MAX_SNAPSHOT`] entries. A carrier that is not mapped is left out.
    pub fn snapshot(&self, path: PathId, carriers: &[u64]) -> Vec<MappingEntry> {
        if carriers.is_empty() {
            return self.on_path(path).take(Self::MAX_SNAPSHOT).map(entry).collect();
        }
        let known = |&carrier| Some(entry((carrier, self.route(path, carrier)?)));
        carriers.iter().take(Self::MAX_SNAPSHOT).filter_map(known).collect()
    }

    /// Open carriers of all paths.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether no carrier is open.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Open contributions of one path.
    pub fn contributions_on(&self, path: PathId) -> usize {
        self.contributions.get(&path).copied().unwrap_or(0)
    }

    /// Open carriers of one stream.
    pub fn count_of(&self, stream: StreamId) -> usize {
        self.carriers.get(&stream).map_or(0, BTreeSet::len)
    }
}

/// Why the receiver of a public carrier refused it, if `code`, of STOP_SENDING or of RESET_STREAM on the other direction, says
/// that it did. It could not tell the stream, so no frame on the control stream says it.
///
/// ```
/// use kwik_core::mapping::refusal;
/// use kwik_proto::frame::ErrorCode;
///
/// let missing = ErrorCode::HeaderMissing;
/// assert_eq!(refusal(missing.quic_code()), Some(missing));
/// assert_eq!(refusal(ErrorCode::StreamClosed.quic_code()), None, "its owner says so elsewhere");
/// assert_eq!(refusal(7), None, "the application's");
/// ```
pub fn refusal(code: u64) -> Option<ErrorCode> {
    use ErrorCode::{FrameEncoding, HeaderMissing, Mapping};
    ErrorCode::from_quic_code(code)
        .filter(|code| matches!(code, HeaderMissing | FrameEncoding | Mapping))
}

fn entry((carrier, route): (u64, Route)) -> MappingEntry {
    let Route { stream, delegation, promised, kind: _ } = route;
    MappingEntry { carrier, stream, delegation, promised }
}

/// Whether bytes of servers other than the primary can go to a stream: it has a half from server to client.
pub const fn takes_contributions(stream: StreamId) -> bool {
    match (stream.kind(), stream.initiator()) {
        (StreamKind::Bidirectional, _) | (StreamKind::Unidirectional, Initiator::Server) => true,
        (StreamKind::Unidirectional, Initiator::Client) => false,
    }
}

/// The two low bits of a QUIC stream id that a server opened in one direction (RFC 9000, 2.1).
const SERVER_UNIDIRECTIONAL: u64 = 3;

fn check_direction(path: PathId, carrier: u64, header: StreamHeader) -> Result<(), MappingError> {
    let stream = header.stream;
    let wanted = match header.kind {
        CarrierKind::Public if !path.is_primary() => {
            return Err(MappingError::PublicOnSecondary { path });
        }
        CarrierKind::Public => stream.value() & 3,
        CarrierKind::Contribution if !takes_contributions(stream) => {
            return Err(MappingError::NotContributable { stream });
        }
        CarrierKind::Contribution => SERVER_UNIDIRECTIONAL,
    };
    if carrier & 3 == wanted { Ok(()) } else { Err(MappingError::WrongCarrier { carrier, stream }) }
}

#[cfg(test)]
mod tests;
