//! Carriers whose headers the core lets wait.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};

use kwik_proto::StreamId;
use kwik_proto::frame::{CarrierKind, ErrorCode};

use super::RouteRequest;

/// Contributions that may wait at a time, as many as the primary can have open.
const MAX_CONTRIBUTIONS: usize = 64;

/// Requests of pumps that wait until there is room for their streams. Their carriers are not read, so that the peer pays,
/// with what QUIC lets it have under way.
///
/// Bounded: one carrier for each stream of those that the core lets wait, and 64 contributions.
#[derive(Debug, Default)]
pub struct Waiting {
    public: BTreeMap<StreamId, RouteRequest>,
    contributions: Vec<RouteRequest>,
    admitted: VecDeque<RouteRequest>,
    over: bool,
}

impl Waiting {
    /// The core said that the header has to wait. A second carrier for the same stream is refused.
    pub fn wait(&mut self, request: RouteRequest) {
        if self.over {
            return request.refuse(ErrorCode::SessionClosed);
        }
        match request.header.kind {
            CarrierKind::Public => match self.public.entry(request.header.stream) {
                Entry::Vacant(entry) => drop(entry.insert(request)),
                Entry::Occupied(_) => request.refuse(ErrorCode::Mapping),
            },
            CarrierKind::Contribution if self.contributions.len() < MAX_CONTRIBUTIONS => {
                self.contributions.push(request);
            }
            CarrierKind::Contribution => request.refuse(ErrorCode::LimitExceeded),
        }
    }

    /// The core said that there is room for the stream.
    pub fn admit(&mut self, id: StreamId) {
        self.admitted.extend(self.public.remove(&id));
        let admitted = |request: &mut RouteRequest| request.header.stream == id;
        self.admitted.extend(self.contributions.extract_if(.., admitted));
    }

    /// One that is to be routed again.
    pub fn next_admitted(&mut self) -> Option<RouteRequest> {
        self.admitted.pop_front()
    }

    /// The connection is over: there will be no room, and the pumps end. Headers may still come that QUIC had before.
    pub fn close(&mut self) {
        *self = Self { over: true, ..Self::default() };
    }
}
