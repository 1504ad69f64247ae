//! Ends of streams, fanned out: to the primary, to every path with a grant, to every carrier.

use kwik_proto::frame::{ControlFrame, ErrorCode, StreamClosed};
use kwik_proto::{Offset, StreamId};

use super::{ClientSession, Output};
use crate::stream::Failure;
use crate::time::Instant;

impl ClientSession {
    /// The application wants no more of what servers send on the stream.
    pub fn stop_stream(&mut self, id: StreamId, error_code: u64) {
        self.streams.stop(id, error_code);
        self.close_sources(id, false);
    }

    /// What this end sends was reset.
    pub fn reset_stream(&mut self, id: StreamId, error_code: u64, final_size: Offset) {
        self.streams.reset(id, error_code, final_size);
    }

    pub(super) fn forget_sources(&mut self, id: StreamId, now: Instant) {
        self.grants.forget(id);
        self.watches.remove(&id);
        self.stalls.abandoned(id, now);
        self.isolated.remove(&id);
        self.hashes.remove(&id);
        self.stale.remove(&id);
        for path in self.promises.forget_stream(id, now) {
            self.note_debt(path, now);
        }
    }

    /// The stream can't be completed: its reader gets `failure`, the primary hears of it, its sources are stopped.
    pub(super) fn fail_stream(&mut self, id: StreamId, failure: Failure, code: ErrorCode) {
        if self.streams.break_receive(id, failure, code) {
            self.close_sources(id, false);
        }
    }

    /// Nobody needs bytes for the stream any more: every path with a grant is told, every contribution stopped.
    pub(super) fn close_sources(&mut self, id: StreamId, complete: bool) {
        let frame = StreamClosed { stream: id, complete };
        let told = match self.streams.receives(id) {
            true => !self.told_closed.insert(id),
            false => self.told_closed.remove(&id),
        };
        for path in self.grants.paths_for(id) {
            if !told && !path.is_primary() {
                self.send(path, ControlFrame::StreamClosed(frame));
            }
        }
        for (path, carrier) in self.mapping.close_stream(id) {
            self.carriers.remove(&(path, carrier));
            self.resync.handle_closed(path, carrier);
            if !path.is_primary() || !complete {
                self.outputs.push_back(Output::StopCarrier {
                    path,
                    carrier,
                    code: ErrorCode::StreamClosed,
                });
            }
        }
    }
}
