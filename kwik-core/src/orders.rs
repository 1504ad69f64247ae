//! The numbers of signed orders: none is lost, none comes twice, none reaches the wrong server.

use std::collections::BTreeMap;

use kwik_proto::frame::{ErrorCode, Order, Orders};
use kwik_proto::{Epoch, PathId, SessionId};

/// Orders in one signed batch: 256, as the wire format says.
pub const MAX_ORDERS: usize = 256;

/// Why a batch of orders was not made. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// No order, or more than [`MAX_ORDERS`].
    #[error("{count} orders, 1 to {MAX_ORDERS} are allowed")]
    Count {
        /// How many there were.
        count: usize,
    },
    /// The path has a higher epoch by now.
    #[error("orders for epoch {offered} of a path that is at {current}")]
    StaleEpoch {
        /// The caller's.
        offered: u32,
        /// The path's.
        current: u32,
    },
}

/// The primary's numbering of orders, per (path, epoch).
///
/// ```
/// use kwik_core::orders::{OrderChecker, OrderIssuer};
/// use kwik_proto::frame::{Order, Revoke};
/// use kwik_proto::{Epoch, PathId, SessionId, StreamId};
///
/// let (session, path) = (SessionId([1; 16]), PathId::new(3));
/// let revoke = Revoke { stream: StreamId::from_wire(0).unwrap(), delegation: None };
/// let mut issuer = OrderIssuer::new(session);
/// let orders = issuer.issue(path, Epoch::FIRST, vec![Order::Revoke(revoke)]).unwrap();
/// assert_eq!(orders.number, 1);
///
/// let mut checker = OrderChecker::new(session, path, Epoch::FIRST);
/// assert!(checker.check(&orders).is_ok());
/// assert!(checker.check(&orders).is_err(), "a replay");
/// ```
#[derive(Clone, Debug)]
pub struct OrderIssuer {
    session: SessionId,
    /// Current epoch and last number. One entry per path number, which the primary itself gives out.
    issued: BTreeMap<PathId, (Epoch, u64)>,
}

impl OrderIssuer {
    /// No order so far.
    pub const fn new(session: SessionId) -> Self {
        Self { session, issued: BTreeMap::new() }
    }

    /// A batch to sign, with the next number. A higher epoch starts again at 1.
    pub fn issue(
        &mut self,
        path: PathId,
        epoch: Epoch,
        orders: Vec<Order>,
    ) -> Result<Orders, IssueError> {
        let count = orders.len();
        if !(1..=MAX_ORDERS).contains(&count) {
            return Err(IssueError::Count { count });
        }
        let issued = self.issued.entry(path).or_insert((epoch, 0));
        if epoch < issued.0 {
            return Err(IssueError::StaleEpoch { offered: epoch.0, current: issued.0.0 });
        }
        if epoch > issued.0 {
            *issued = (epoch, 0);
        }
        issued.1 += 1;
        Ok(Orders { session: self.session, path, epoch, number: issued.1, orders })
    }

    /// Forgets a path whose number is not given out again.
    pub fn forget(&mut self, path: PathId) {
        self.issued.remove(&path);
    }
}

/// Why orders are not obeyed. The path is closed: a hole means that the client or somebody behind it drops orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// For another session.
    #[error("orders for session {found}, this is {wanted}")]
    Session {
        /// The orders'.
        found: SessionId,
        /// Ours.
        wanted: SessionId,
    },
    /// For another path.
    #[error("orders for path {found}, this is {wanted}")]
    Path {
        /// The orders'.
        found: PathId,
        /// Ours.
        wanted: PathId,
    },
    /// For another epoch of the path.
    #[error("orders for epoch {}, this is {}", found.0, wanted.0)]
    Epoch {
        /// The orders'.
        found: Epoch,
        /// Ours.
        wanted: Epoch,
    },
    /// Not the next number: a repetition or a hole.
    #[error("orders number {found}, the next is {wanted}")]
    Number {
        /// The orders'.
        found: u64,
        /// The next.
        wanted: u64,
    },
    /// No order, or more than [`MAX_ORDERS`].
    #[error("{count} orders, 1 to {MAX_ORDERS} are allowed")]
    Count {
        /// How many there were.
        count: usize,
    },
}

impl OrderError {
    /// What the path is closed with.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Session { .. }
            | Self::Path { .. }
            | Self::Epoch { .. }
            | Self::Number { .. }
            | Self::Count { .. } => ErrorCode::OrderInvalid,
        }
    }
}

/// A secondary's check of the orders on one connection, after their signature was verified.
///
/// The signature says who ordered; this says that it was for us, now, and once. Example: [`OrderIssuer`].
#[derive(Clone, Debug)]
pub struct OrderChecker {
    session: SessionId,
    path: PathId,
    epoch: Epoch,
    next: u64,
}

impl OrderChecker {
    /// Expects number 1 for what the token named.
    pub const fn new(session: SessionId, path: PathId, epoch: Epoch) -> Self {
        Self { session, path, epoch, next: 1 }
    }

    /// Whether the orders are to be obeyed. On an error the next number stays.
    pub fn check(&mut self, orders: &Orders) -> Result<(), OrderError> {
        if orders.session != self.session {
            return Err(OrderError::Session { found: orders.session, wanted: self.session });
        }
        if orders.path != self.path {
            return Err(OrderError::Path { found: orders.path, wanted: self.path });
        }
        if orders.epoch != self.epoch {
            return Err(OrderError::Epoch { found: orders.epoch, wanted: self.epoch });
        }
        if orders.number != self.next {
            return Err(OrderError::Number { found: orders.number, wanted: self.next });
        }
        let count = orders.orders.len();
        if !(1..=MAX_ORDERS).contains(&count) {
            return Err(OrderError::Count { count });
        }
        self.next = self.next.saturating_add(1);
        Ok(())
    }

    /// Batches obeyed so far.
    pub const fn obeyed(&self) -> u64 {
        self.next - 1
    }
}

#[cfg(test)]
mod tests;
