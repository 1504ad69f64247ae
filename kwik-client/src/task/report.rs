//! What the session tells about itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use kwik_proto::PathId;
use kwik_proto::frame::PathState;

use super::Task;
use crate::metrics::{PathMetrics, PathRole, SessionMetrics, Stall};

/// Longer than a live primary keeps silent: QUIC's keep-alive asks it every 10 s while nothing else does, and a reader
/// that waits has progress reports sent, which it acknowledges.
const SILENCE: Duration = Duration::from_secs(3);

impl Task {
    pub(super) fn metrics(&self) -> SessionMetrics {
        let bytes = self.delivered();
        let of = |path: PathId| bytes.get(&path).copied().unwrap_or_default();
        let mut paths = vec![PathMetrics {
            address: self.remote,
            role: PathRole::Primary,
            bytes: of(PathId::PRIMARY),
            state: self.primary_state(),
            rtt: self.primary.as_ref().and_then(|link| link.stats().smoothed_rtt()),
            contributions: 0,
        }];
        paths.extend(self.core.paths().filter_map(|path| {
            Some(PathMetrics {
                address: path.address?,
                role: PathRole::Other,
                bytes: of(path.path),
                state: state_name(path.state),
                rtt: path.smoothed_rtt,
                contributions: path.contributions,
            })
        }));
        SessionMetrics {
            paths,
            redundant_bytes: self.core.duplicate_bytes(),
            repairs: self.repairs,
            longest_stall: self.core.longest_stall(),
            stalls: self.stalls(),
            peak_buffer_bytes: self.peak_buffer,
            promised_bytes: self.core.promised_bytes(),
        }
    }

    /// The primary is Gone only when QUIC says so; silent for longer than any acknowledgement takes, it is suspect.
    fn primary_state(&self) -> &'static str {
        let over = self.requests.ending.error().is_some();
        let Some(primary) = self.primary.as_ref().filter(|_| !over) else { return "gone" };
        let heard = primary.stats().last_datagram().unwrap_or_default();
        let silent = self.shared.env.now().since(heard);
        if silent > SILENCE { "suspect" } else { "live" }
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

    fn stalls(&self) -> Vec<Stall> {
        let addresses: BTreeMap<PathId, SocketAddr> = self
            .core
            .paths()
            .filter_map(|path| Some((path.path, path.address?)))
            .chain([(PathId::PRIMARY, self.remote)])
            .collect();
        let address = |path: Option<PathId>| path.and_then(|path| addresses.get(&path).copied());
        let stall = |stall: &kwik_core::stall::Stall| Stall {
            at: stall.since.elapsed(),
            duration: stall.duration,
            offset: stall.range.start().value(),
            length: stall.range.len(),
            path: address(stall.path),
            ended_by: address(stall.ended_by),
        };
        self.core.stalls().iter().map(stall).collect()
    }
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
