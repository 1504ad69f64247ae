//! Carriers whose headers the core lets wait.

use std::collections::{BTreeMap, VecDeque};

use kwik_proto::StreamId;

use super::RouteRequest;

/// Requests of pumps that wait until there is room for their streams. Their carriers are not read: the peer pays, with
/// the credit that QUIC gave it for streams and bytes, which is also what bounds this.
#[derive(Debug, Default)]
pub struct Waiting {
    requests: BTreeMap<StreamId, Vec<RouteRequest>>,
    admitted: VecDeque<RouteRequest>,
}

impl Waiting {
    /// The core said that the header has to wait.
    pub fn wait(&mut self, request: RouteRequest) {
        self.requests.entry(request.header.stream).or_default().push(request);
    }

    /// The core said that there is room for the stream.
    pub fn admit(&mut self, id: StreamId) {
        self.admitted.extend(self.requests.remove(&id).into_iter().flatten());
    }

    /// One that is to be routed again.
    pub fn next_admitted(&mut self) -> Option<RouteRequest> {
        self.admitted.pop_front()
    }
}
