//! Orders that name the hash of what is ordered, read off the primary's own copy before they are signed.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use kwik_io::env::Env;
use kwik_proto::frame::{
    ControlFrame, Delegation, DelegationState, DelegationStatus, GapReason, Order, Orders, Revoke,
};
use kwik_proto::{ByteRange, Offset};
use tokio::task::JoinSet;

use super::task::Task;
use crate::delegate::RangeSource;

/// Bytes asked of a provider at a time.
const READ: usize = 256 * 1024;

/// Orders in the order of their numbers, while hashes are taken of the first. As many as the scheduler has delegations.
#[derive(Default)]
pub(super) struct Proving {
    waiting: VecDeque<Orders>,
    busy: bool,
    /// What takes the hashes, at most one.
    hashing: JoinSet<Proven>,
}

/// Orders whose hashes were taken.
pub(super) struct Proven {
    orders: Orders,
    failed: Vec<Delegation>,
}

impl Proving {
    /// The next orders whose hashes were taken; `None` while none are being taken. Cancel safe.
    pub(super) async fn next_proven(&mut self) -> Option<Proven> {
        self.hashing.join_next().await?.ok()
    }
}

impl Task {
    /// Signs orders and sends them, hashes first where they are named.
    pub(super) fn issue(&mut self, orders: Orders) {
        self.proving.waiting.push_back(orders);
        self.prove_next();
    }

    fn prove_next(&mut self) {
        while !self.proving.busy
            && let Some(orders) = self.proving.waiting.pop_front()
        {
            let copy = |order: &Order| match order {
                Order::Delegation(order) => self.providers.proof(order.stream, order.range),
                Order::Grant(_) | Order::Revoke(_) | Order::Relay(_) => None,
            };
            let copies: Vec<_> = orders.orders.iter().map(copy).collect();
            if copies.iter().all(Option::is_none) {
                self.sign(&orders);
                continue;
            }
            self.proving.busy = true;
            let env = self.shared.env.clone();
            self.proving.hashing.spawn(async move { prove(&env, orders, copies).await });
        }
    }

    pub(super) fn handle_proven(&mut self, proven: Proven) {
        self.proving.busy = false;
        let path = proven.orders.path;
        self.sign(&proven.orders);
        for Delegation { id: delegation, .. } in proven.failed {
            // As if the secondary had no room: it, or somebody else, is asked later.
            let state = DelegationState::Failed(GapReason::Busy);
            let status = DelegationStatus { delegation, path, state };
            let now = self.shared.env.now();
            self.core.handle_control(ControlFrame::DelegationStatus(status), now);
        }
        self.prove_next();
    }
}

type Copies = Vec<Option<Arc<dyn RangeSource>>>;

/// Puts the hashes in. An order whose hash can't be taken is not given: its place is taken by its withdrawal.
async fn prove(env: &Env, mut orders: Orders, copies: Copies) -> Proven {
    let mut failed = Vec::new();
    for (order, copy) in orders.orders.iter_mut().zip(copies) {
        let (Order::Delegation(delegation), Some(copy)) = (&mut *order, copy) else { continue };
        let range = delegation.range;
        match env.run_blocking(move || hash(&*copy, range)).await {
            Ok(Ok(hash)) => delegation.blake3 = Some(hash),
            unread => {
                tracing::warn!(?unread, ?range, "the local copy could not be read");
                let (stream, id) = (delegation.stream, delegation.id);
                failed.push(delegation.clone());
                *order = Order::Revoke(Revoke { stream, delegation: Some(id) });
            }
        }
    }
    Proven { orders, failed }
}

fn hash(copy: &dyn RangeSource, range: ByteRange) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut at: Offset = range.start();
    while at < range.end() {
        let length = usize::try_from(range.end().since(at)).unwrap_or(READ).min(READ);
        let data = copy.read_at(at.value(), length)?;
        let read = data.get(..length.min(data.len())).unwrap_or_default();
        if read.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(read);
        at = at.saturating_add(read.len() as u64);
    }
    Ok(*hasher.finalize().as_bytes())
}
