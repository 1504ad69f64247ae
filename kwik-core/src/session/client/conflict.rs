//! Sources that contradict each other: the primary decides, and who is wrong is isolated.

use std::collections::{BTreeMap, BTreeSet};

use kwik_proto::frame::{ControlFrame, ErrorCode, Gap, GapReason, PathState};
use kwik_proto::{ByteRange, PathId, StreamId};

use super::{ClientSession, Output};
use crate::conflict::{Conflict, ConflictPolicy, Verdict};
use crate::interval::RangeSet;
use crate::path::lifecycle::PathEvent;
use crate::path::trust::Trust;
use crate::stream::ReceiveHalf;
use crate::time::Instant;

impl ClientSession {
    /// Two sources of a stream differ. What the primary's copy has decided isolates the liar; until it has, the primary
    /// is asked for the range.
    pub(super) fn handle_conflict(
        &mut self,
        id: StreamId,
        conflict: Conflict,
        half: &mut ReceiveHalf,
        now: Instant,
    ) {
        if !self.streams.receives(id) {
            return;
        }
        match conflict.verdict {
            Verdict::Undecided => {
                let gap = conflict_gap(id, conflict.range, None);
                self.send(PathId::PRIMARY, ControlFrame::Gap(gap));
            }
            Verdict::Wrong(path) if self.config.conflict_policy == ConflictPolicy::Reject => {
                if !path.is_primary() {
                    self.isolate(id, path, conflict.range, half, now);
                }
            }
            // A hash is proof under any policy.
            Verdict::Forged(path) => self.isolate(id, path, conflict.range, half, now),
            Verdict::Wrong(_) => {}
        }
    }

    /// Nothing of that path counts for the stream any more: its unread bytes and all that it still promises are gaps, and
    /// what was thrown away of `wrong` already, though nobody promises it any more.
    fn isolate(
        &mut self,
        id: StreamId,
        path: PathId,
        wrong: ByteRange,
        half: &mut ReceiveHalf,
        now: Instant,
    ) {
        self.note_arrivals(id, half, now);
        let mut trust = Trust::Kept;
        if self.isolated.entry(id).or_default().insert(path) {
            self.outputs.push_back(Output::Fault { path, code: ErrorCode::DataConflict });
            trust = self.convictions.convict(path);
        }
        let mut lost = half.isolate(path);
        for range in half.missing_in(wrong) {
            lost.insert(range);
        }
        self.stop_carriers(id, path, half);
        for (delegation, range) in self.promises.of(id, path) {
            let missing: Vec<ByteRange> = half.missing_in(range).collect();
            let whose = (path, id, delegation);
            self.promises.handle_end(whose, &missing, GapReason::Conflict, now);
            for range in missing {
                lost.remove(range);
            }
        }
        self.report_lost(id, path, &lost, now);
        if let Some(watch) = self.watches.get_mut(&id) {
            // The primary was told that these bytes are held.
            watch.report_soon();
        }
        self.note_debt(path, now);
        if trust == Trust::Lost {
            self.close_liar(path, now);
        }
    }

    /// Closes a path that lied too often. It is not dialled again, and no AddPath brings it back.
    fn close_liar(&mut self, path: PathId, now: Instant) {
        let Some(known) = self.paths.path(path) else { return };
        if known.state() == PathState::Gone {
            // Nothing is to be closed, but it may be waiting for its next try.
            return self.give_path_up(path, now);
        }
        let epoch = known.epoch();
        let cause = ErrorCode::DataConflict.into();
        self.handle_event(path, epoch, PathEvent::Violated, cause, now);
    }

    fn stop_carriers(&mut self, id: StreamId, path: PathId, half: &mut ReceiveHalf) {
        let carriers: Vec<u64> = self
            .mapping
            .carriers_of(id)
            .filter(|(of, _)| *of == path)
            .map(|(_, carrier)| carrier)
            .collect();
        for carrier in carriers {
            self.mapping.close(path, carrier);
            let entry = self.carriers.remove(&(path, carrier));
            if let Some(source) = entry.and_then(|entry| entry.source) {
                half.remove_source(source);
            }
            let code = ErrorCode::DataConflict;
            self.outputs.push_back(Output::StopCarrier { path, carrier, code });
        }
    }

    fn report_lost(&mut self, id: StreamId, path: PathId, lost: &RangeSet, now: Instant) {
        for range in lost.iter() {
            self.promises.report(conflict_gap(id, range, Some(path)), now);
        }
    }
}

/// Whether nothing of that path counts for the stream.
pub(super) fn isolated(
    isolated: &BTreeMap<StreamId, BTreeSet<PathId>>,
    id: StreamId,
    path: PathId,
) -> bool {
    isolated.get(&id).is_some_and(|paths| paths.contains(&path))
}

/// `path` is who was wrong; `None`: the primary's copy has to show it.
fn conflict_gap(stream: StreamId, range: ByteRange, path: Option<PathId>) -> Gap {
    Gap { stream, range, reason: GapReason::Conflict, path, delegation: None }
}
