//! Orders that name the hash of their range: they wait here, and no other order waits for them.

use std::collections::BTreeMap;

use kwik_proto::frame::Order;
use kwik_proto::{ByteRange, DelegationId, PathId, StreamId};

use super::{Output, PrimarySession};
use crate::proving::News;
use crate::time::Instant;

impl PrimarySession {
    /// From now on orders for parts of a range that was just delegated name the hash of what is ordered, which is read off
    /// the primary's own copy ([`Output::Prove`]) before the order is given.
    pub fn prove(&mut self, stream: StreamId, range: ByteRange) {
        self.provers.keep(stream, |range| self.scheduler.wants_copy(stream, range));
        self.provers.add(stream, range);
        self.scheduler.require_proof(stream, range);
    }

    /// A piece of a range that is to be proven was read; `false`: nobody waits for the rest, nothing more is to be told.
    #[must_use]
    pub fn handle_proof_read(&mut self, delegation: DelegationId, now: Instant) -> bool {
        self.provers.handle_read(delegation, now)
    }

    /// The hash of a range that is to be proven; `None`: the copy could not be read.
    pub fn handle_proof(&mut self, delegation: DelegationId, hash: Option<[u8; 32]>, now: Instant) {
        self.provers.handle_proof(delegation, hash, now);
    }

    /// Orders whose hash is there, and what became of the others.
    pub(super) fn collect_proofs(
        &mut self,
        orders: &mut BTreeMap<PathId, Vec<Order>>,
        now: Instant,
    ) {
        self.provers.handle_timeout(now);
        while let Some((path, delegation)) = self.provers.poll_ready() {
            if self.scheduler.is_live(delegation.id) {
                orders.entry(path).or_default().push(Order::Delegation(delegation));
            }
        }
        self.hear_provers(now);
    }

    pub(super) fn hear_provers(&mut self, now: Instant) {
        while let Some(news) = self.provers.poll() {
            match news {
                News::Ungiven(delegation) => self.scheduler.handle_ungiven(delegation, now),
                News::Hold(stream, range) => self.scheduler.hold(stream, range, now),
                News::Release(stream, range) => self.scheduler.release(stream, range, now),
            }
        }
    }

    pub(super) fn begin_proofs(&mut self) {
        while let Some(wanted) = self.provers.poll_read(|id| self.scheduler.is_live(id)) {
            let (delegation, stream, range) = (wanted.delegation, wanted.stream, wanted.range);
            self.outputs.push_back(Output::Prove { delegation, stream, range });
        }
    }
}
