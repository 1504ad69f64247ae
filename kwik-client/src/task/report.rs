//! What the session tells about itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use kwik_core::delay::{DelayHistogram, DelaySummary};
use kwik_core::path::primary::PrimaryState;
use kwik_core::stream::ReceiveHalf;
use kwik_io::pump::CarrierControl;
use kwik_io::stream::SharedReceive;
use kwik_proto::frame::{AddPathResult, ControlFrame, ErrorCode, PathState};
use kwik_proto::{PathId, StreamId};

use super::Task;
use crate::metrics::{
    Fault, PathMetrics, PathRole, SessionMetrics, SourceMetrics, Stall, StreamMetrics,
};

/// What the answer to a keep-alive may take.
const ANSWER: Duration = Duration::from_secs(3);

impl Task {
    pub(super) fn metrics(&self) -> SessionMetrics {
        let bytes = self.delivered();
        let of = |path: PathId| bytes.get(&path).copied().unwrap_or_default();
        let mut paths = vec![PathMetrics {
            address: self.remote,
            role: PathRole::Primary,
            bytes: of(PathId::PRIMARY),
            received_bytes: self.received_on(PathId::PRIMARY),
            state: self.primary_state(),
            rtt: self.primary.as_ref().and_then(|link| link.stats().smoothed_rtt()),
            contributions: 0,
            carriers: self.carriers_on(PathId::PRIMARY).count(),
        }];
        paths.extend(self.core.paths().filter_map(|path| {
            Some(PathMetrics {
                address: path.address?,
                role: PathRole::Other,
                bytes: of(path.path),
                received_bytes: self.received_on(path.path),
                state: state_name(path.state),
                rtt: path.smoothed_rtt,
                contributions: path.contributions,
                carriers: self.carriers_on(path.path).count(),
            })
        }));
        SessionMetrics {
            paths,
            streams: self.streams(),
            faults: self.faults(),
            redundant_bytes: self.core.duplicate_bytes(),
            repairs: self.repairs,
            longest_stall: self.core.longest_stall(),
            stalls: self.stalls(),
            in_order_delay: self.in_order_delay(),
            peak_buffer_bytes: self.peak_buffer,
            promised_bytes: self.core.promised_bytes(),
            sent_bytes: self.sent.total(),
        }
    }

    /// Bytes that came on a path's carriers, open or over.
    fn received_on(&self, path: PathId) -> u64 {
        let over = self.received.get(&path).copied().unwrap_or_default();
        over + self.carriers_on(path).map(CarrierControl::received).sum::<u64>()
    }

    fn carriers_on(&self, path: PathId) -> impl Iterator<Item = &CarrierControl> {
        self.controls.range((path, 0)..=(path, u64::MAX)).map(|(_, (control, _))| control)
    }

    /// What the core knows of it. Where no stream is open its clock does not run; then a live one is heard at every
    /// keep-alive, and one that is silent for longer is suspect.
    fn primary_state(&self) -> &'static str {
        let over = self.requests.ending.error().is_some();
        let Some(primary) = self.primary.as_ref().filter(|_| !over) else { return "gone" };
        match self.core.primary_state() {
            PrimaryState::Live => {}
            PrimaryState::Suspect => return "suspect",
            PrimaryState::Leaving => return "leaving",
            PrimaryState::Gone => return "gone",
        }
        let heard = primary.stats().last_datagram().unwrap_or_default();
        let silent = self.shared.env.now().since(heard);
        if silent > self.shared.keep_alive + ANSWER { "suspect" } else { "live" }
    }

    /// Bytes that each path was the first to deliver, over all streams.
    fn delivered(&self) -> BTreeMap<PathId, u64> {
        let mut bytes: BTreeMap<PathId, u64> = self.core.delivered().collect();
        for receive in self.table.iter().filter_map(|(_, halves)| halves.receive.as_ref()) {
            receive.inspect(|half| {
                for (path, new) in half.path_bytes() {
                    *bytes.entry(path).or_default() += new;
                }
            });
        }
        bytes
    }

    /// That of the streams that are over, and of those that are open.
    fn in_order_delay(&self) -> DelayHistogram {
        let mut delays = self.delays.clone();
        for receive in self.table.iter().filter_map(|(_, halves)| halves.receive.as_ref()) {
            receive.inspect(|half| delays.add(half.in_order_delay()));
        }
        delays
    }

    fn addresses(&self) -> BTreeMap<PathId, SocketAddr> {
        self.core
            .paths()
            .filter_map(|path| Some((path.path, path.address?)))
            .chain([(PathId::PRIMARY, self.remote)])
            .collect()
    }

    fn streams(&self) -> Vec<StreamMetrics> {
        let addresses = self.addresses();
        let mut sources: BTreeMap<StreamId, Vec<SourceMetrics>> = BTreeMap::new();
        for source in self.core.sources() {
            if let Some(address) = addresses.get(&source.path).copied() {
                let (quic_id, bytes) = (source.carrier, source.received_bytes);
                let source_metrics = SourceMetrics { address, quic_id, bytes };
                sources.entry(source.stream).or_default().push(source_metrics);
            }
        }
        let stream = |(id, halves): (StreamId, &kwik_io::table::Halves)| {
            let receive = halves.receive.as_ref()?;
            let (bytes, in_order_delay) = receive.inspect(figures);
            let named = bytes
                .into_iter()
                .filter(|(_, bytes)| *bytes > 0)
                .filter_map(|(path, bytes)| Some((addresses.get(&path).copied()?, bytes)));
            let sources = sources.remove(&id).unwrap_or_default();
            let (id, bytes) = (id.value(), named.collect());
            Some(StreamMetrics { id, is_open: true, bytes, sources, in_order_delay })
        };
        let open: Vec<StreamMetrics> = self.table.iter().filter_map(stream).collect();
        let mut streams: Vec<StreamMetrics> = self.ended.iter().cloned().chain(open).collect();
        streams.sort_by_key(|stream| stream.id);
        streams
    }

    /// A stream is over: its counts stay.
    pub(super) fn keep_ended(&mut self, id: StreamId, receive: &SharedReceive) {
        let addresses = self.addresses();
        let (bytes, in_order_delay) = receive.inspect(figures);
        receive.inspect(|half| self.delays.add(half.in_order_delay()));
        let named = |(path, bytes): (PathId, u64)| Some((addresses.get(&path).copied()?, bytes));
        let bytes = bytes.into_iter().filter(|(_, bytes)| *bytes > 0).filter_map(named).collect();
        let sources = Vec::new();
        let id = id.value();
        let is_open = false;
        self.ended.keep(StreamMetrics { id, is_open, bytes, sources, in_order_delay });
    }

    fn faults(&self) -> Vec<Fault> {
        let addresses = self.addresses();
        let fault = |(path, code, count): (PathId, ErrorCode, u64)| {
            let address = addresses.get(&path).copied()?;
            Some(Fault { address, code, count })
        };
        self.faults.iter().filter_map(fault).collect()
    }

    pub(super) fn count_fault(&mut self, path: PathId, code: ErrorCode) {
        self.faults.count(path, code);
    }

    /// What the primary is told tells what went wrong.
    pub(super) fn count_sent(&mut self, frame: &ControlFrame) {
        match frame {
            ControlFrame::Gap(_) => self.repairs += 1,
            ControlFrame::AddPathResult(AddPathResult { path, code, .. })
                if !matches!(code, ErrorCode::None | ErrorCode::PathRemoved) =>
            {
                // A path that was not even taken is the primary's fault.
                let known = self.core.paths().any(|known| known.path == *path);
                self.count_fault(if known { *path } else { PathId::PRIMARY }, *code);
            }
            _ => {}
        }
    }

    fn stalls(&self) -> Vec<Stall> {
        let addresses = self.addresses();
        let address = |path: Option<PathId>| path.and_then(|path| addresses.get(&path).copied());
        let stall = |stall: &kwik_core::stall::Stall| Stall {
            at: stall.since.since(self.began),
            duration: stall.duration,
            offset: stall.range.start().value(),
            length: stall.range.len(),
            path: address(stall.path),
            ended_by: address(stall.ended_by),
            reported: stall.reported,
        };
        self.core.stalls().iter().map(stall).collect()
    }
}

/// What a half tells of a stream.
fn figures(half: &ReceiveHalf) -> (Vec<(PathId, u64)>, DelaySummary) {
    (half.path_bytes().collect(), half.in_order_delay().summary())
}

fn state_name(state: PathState) -> &'static str {
    match state {
        PathState::Dialing => "dialing",
        PathState::Proving => "proving",
        PathState::Live => "live",
        PathState::Suspect => "suspect",
        PathState::Draining => "draining",
        PathState::Gone => "gone",
    }
}
