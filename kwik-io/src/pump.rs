//! Pumps: tasks that move bytes between QUIC streams and stream halves.
//!
//! A carrier is a QUIC stream that carries KWIK data. Each has its own pump on the worker of its endpoint:
//! [`ReceivePump`] for what comes, [`SendPump`] for a public stream that goes, [`ContributionPump`] for bytes that a
//! secondary sends for another server's stream. Pumps hand over batches and wait for nothing but QUIC, bytes to send,
//! and the session's task, which learns of headers, faults and ends as [`CarrierEvent`]s.

mod allocation;
mod control;
mod event;
mod outbox;
mod outgoing;
mod receive;
mod send;
mod sent;
mod waiting;

pub mod contribution;

pub use contribution::{
    ContributionControl, ContributionError, ContributionPump, ContributionTarget,
    ContributionWriter, OpenError,
};
pub use control::CarrierControl;
pub use event::{
    Carrier, CarrierEnd, CarrierEvent, CarrierFault, CarrierId, Route, RouteRequest, SendEnd,
};
pub use outgoing::Outgoing;
pub use receive::{HEADER_TIMEOUT, ReceivePump};
pub use send::SendPump;
pub use sent::SentBytes;
pub use waiting::Waiting;
