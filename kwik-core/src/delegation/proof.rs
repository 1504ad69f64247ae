//! Orders that wait for a hash: what the scheduler decided is not given before the primary has read its own copy.

use std::collections::BTreeMap;

use kwik_proto::{ByteRange, DelegationId, PathId, StreamId};

use super::Scheduler;
use super::outcome::Event;
use super::plan::Plan;
use crate::time::Instant;

impl Scheduler {
    /// Whether a delegation is still counted on.
    pub fn is_live(&self, id: DelegationId) -> bool {
        self.book.ledger.entry(id).is_some()
    }

    /// A delegation that was decided was never given: its bytes are to come from others. Nobody is to blame.
    pub fn handle_ungiven(&mut self, id: DelegationId, now: Instant) {
        self.touch(now);
        if let Some(entry) = self.book.close(id, self.now) {
            self.put_back(&entry);
        }
    }

    /// Asks no secondary for more of the plan that begins as `range` does, until [`release`](Self::release): what they
    /// would send could not be proven. The primary itself may be asked.
    pub fn hold(&mut self, stream: StreamId, range: ByteRange, now: Instant) {
        self.touch(now);
        if let Some(plan) = self.plan_mut(stream, range) {
            plan.held = true;
            self.tell(Event::Unproven { stream, range });
        }
    }

    /// Asks secondaries for the plan again.
    pub fn release(&mut self, stream: StreamId, range: ByteRange, now: Instant) {
        self.touch(now);
        if let Some(plan) = self.plan_mut(stream, range) {
            plan.held = false;
        }
    }

    /// Orders for the plan that begins as `range` does wait for a proof before they are given.
    pub fn require_proof(&mut self, stream: StreamId, range: ByteRange) {
        if let Some(plan) = self.plan_mut(stream, range) {
            plan.proven = true;
        }
    }

    /// Tells how many bytes of each path's orders wait for their proof. They count as its work only where more of that
    /// kind is to be handed out: a path has room for other plans meanwhile.
    pub fn set_unproven(&mut self, bytes: &BTreeMap<PathId, u64>) {
        // Nothing happened that would call for taking anything back.
        self.roomier = true;
        for (path, source) in &mut self.book.sources {
            source.unproven = bytes.get(path).copied().unwrap_or_default();
        }
    }

    fn plan_mut(&mut self, stream: StreamId, range: ByteRange) -> Option<&mut Plan> {
        self.halves.get_mut(&stream)?.plan_at(range.start())
    }
}
