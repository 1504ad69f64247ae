//! What carriers brought: to promises, to clocks, to counters.

use kwik_proto::frame::CarrierKind;
use kwik_proto::{PathId, StreamId};

use super::ClientSession;
use crate::gap::Arrival;
use crate::stream::ReceiveHalf;
use crate::time::Instant;

/// A contribution that is open now, for metrics: an entry of the mapping with what it brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceReport {
    /// The path.
    pub path: PathId,
    /// QUIC stream id on that path's connection.
    pub carrier: u64,
    /// The stream that it feeds.
    pub stream: StreamId,
    /// New bytes that it delivered, as of the last look at the stream.
    pub received_bytes: u64,
}

impl ClientSession {
    /// Takes down what the sources of a stream delivered since the last look.
    pub(super) fn note_arrivals(&mut self, id: StreamId, half: &ReceiveHalf, now: Instant) {
        let mut paths = Vec::new();
        for (path, carrier) in self.mapping.carriers_of(id) {
            let Some(entry) = self.carriers.get_mut(&(path, carrier)) else { continue };
            if entry.kind != CarrierKind::Contribution {
                continue;
            }
            let Some(stats) = entry.source.and_then(|source| half.source(source)) else { continue };
            let arrival = Arrival {
                new: stats.bytes.saturating_sub(entry.received),
                duplicate: stats.duplicate_bytes.saturating_sub(entry.duplicate),
            };
            if arrival.bytes() == 0 {
                continue;
            }
            self.duplicate_bytes += arrival.duplicate;
            (entry.received, entry.duplicate) = (stats.bytes, stats.duplicate_bytes);
            if let Some(delegation) = entry.delegation {
                let whole = self.promises.handle_bytes(path, delegation, arrival, now);
                if whole.is_some_and(|range| half.missing_in(range).next().is_none()) {
                    self.promises.handle_kept(path, delegation, now);
                }
            }
            paths.push((path, arrival.bytes()));
        }
        if let Some(orphans) = &mut self.orphans
            && !paths.is_empty()
        {
            orphans.handle_progress(id, now + self.config.gap_timeout);
        }
        for (path, news) in paths {
            if path.is_primary() {
                self.primary_account.handle_received(news);
            } else if let Some(known) = self.paths.path_mut(path) {
                known.handle_received(news);
            }
            self.handle_activity(path, now, now);
            self.note_debt(path, now);
        }
    }

    /// Whether others than the primary's public carrier may send on the stream.
    pub fn has_sources(&self, id: StreamId) -> bool {
        self.watches.contains_key(&id)
    }

    /// The contributions that are open now, by path.
    pub fn sources(&self) -> impl Iterator<Item = SourceReport> + '_ {
        let contributions =
            self.carriers.iter().filter(|(_, entry)| entry.kind == CarrierKind::Contribution);
        contributions.map(|((path, carrier), entry)| SourceReport {
            path: *path,
            carrier: *carrier,
            stream: entry.stream,
            received_bytes: entry.received,
        })
    }

    /// New bytes of streams that are over, by path.
    pub fn delivered(&self) -> impl Iterator<Item = (PathId, u64)> + '_ {
        self.delivered.iter().map(|(path, bytes)| (*path, *bytes))
    }

    /// New bytes that each path brought to readers, the primary's public carriers included.
    pub fn handle_delivered(&mut self, path: PathId, bytes: u64) {
        *self.delivered.entry(path).or_default() += bytes;
    }
}
