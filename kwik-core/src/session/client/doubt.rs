//! Carriers that contradict the mapping: their server is asked, and what it can't explain is stopped.

use kwik_proto::PathId;
use kwik_proto::frame::{
    CarrierKind, ControlFrame, ErrorCode, Mapping as MappingEntry, MappingSnapshot, StreamHeader,
};

use super::carriers::granted;
use super::conflict::isolated;
use super::{CarrierEnd, ClientSession, Output};
use crate::mapping::{ResyncStep, takes_contributions};
use crate::stream::ReceiveHalf;
use crate::time::Instant;

impl ClientSession {
    /// A carrier contradicts the mapping: what it brings is dropped while its server is asked.
    pub(super) fn doubt(&mut self, path: PathId, carrier: u64, now: Instant) {
        let rtt = match self.paths.path(path) {
            Some(known) => known.smoothed_rtt().unwrap_or(self.primary_rtt),
            None => self.primary_rtt,
        };
        let step = self.resync.handle_corrupt(path, carrier, rtt, now);
        self.carry_out_resync(step, now);
    }

    pub(super) fn carry_out_resync(&mut self, step: ResyncStep, now: Instant) {
        match step {
            ResyncStep::Query { path, query } => {
                self.send(path, ControlFrame::MappingQuery(query));
            }
            ResyncStep::Reroute { path, carrier, entry } => {
                let header = StreamHeader {
                    stream: entry.stream,
                    kind: CarrierKind::Contribution,
                    delegation: entry.delegation,
                    promised: entry.promised,
                };
                self.reroute(path, carrier, header, now);
            }
            ResyncStep::Isolate { path, carrier } => {
                let code = ErrorCode::Mapping;
                self.outputs.push_back(Output::StopCarrier { path, carrier, code });
            }
            ResyncStep::Waiting => {}
        }
    }

    /// What its server explained goes to its stream, unless that contradicts what other carriers carry.
    fn reroute(&mut self, path: PathId, carrier: u64, header: StreamHeader, now: Instant) {
        let routed = self
            .named(path, header)
            .and_then(|header| {
                if !self.is_granted(path, &header) {
                    return Err(ErrorCode::NotGranted);
                }
                let mapped = self.mapping.create(path, carrier, header);
                mapped.map(|_| header).map_err(|error| error.code())
            })
            .and_then(|header| self.route(path, carrier, &header, now));
        self.outputs.push_back(match routed {
            Ok(route) => Output::Reroute { path, carrier, route },
            Err(_) => Output::StopCarrier { path, carrier, code: ErrorCode::Mapping },
        });
    }

    pub(super) fn handle_snapshot(
        &mut self,
        path: PathId,
        snapshot: &MappingSnapshot,
        now: Instant,
    ) {
        let fits = |entry: &MappingEntry| {
            self.streams.receives(entry.stream)
                && takes_contributions(entry.stream)
                && !isolated(&self.isolated, entry.stream, path)
                && granted(&self.grants, path, entry.stream, entry.promised)
        };
        if let Some(step) = self.resync.handle_snapshot(path, snapshot, fits) {
            self.carry_out_resync(step, now);
        }
    }

    /// A frame on a carrier named another stream than its header: its range is a gap at once, and what follows is
    /// dropped until its server explained it. A public carrier fails its stream.
    pub fn handle_mismatch(
        &mut self,
        path: PathId,
        carrier: u64,
        half: Option<&mut ReceiveHalf>,
        now: Instant,
    ) {
        let end = CarrierEnd::Faulty(ErrorCode::Mapping);
        let kind = self.carriers.get(&(path, carrier)).map(|entry| entry.kind);
        if kind == Some(CarrierKind::Public) {
            return self.handle_carrier_end(path, carrier, end, half, now);
        }
        self.close_carrier(path, carrier, end, half, now);
        self.doubt(path, carrier, now);
    }
}
