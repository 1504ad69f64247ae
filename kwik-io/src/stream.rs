//! Public streams: what applications hold, and what those handles share with pumps and session.
//!
//! A stream half is one of the core's halves behind a short lock ([`SharedReceive`], [`SharedSend`]). The application
//! reads and writes it on its own runtime through [`ReceiveStream`], [`SendStream`] and [`BidirectionalStream`]; pumps
//! move its bytes on a worker; and the session's task, told by a [`ServiceList`] which halves changed, announces windows
//! and ends. The client's and the server's public types wrap the handles.

mod bidirectional;
mod error;
mod receive;
mod receive_memory;
mod send;
mod send_state;
mod service;
mod share;
mod shared_receive;
mod shared_send;

pub mod application;
pub mod connection;

pub use bidirectional::BidirectionalStream;
pub use error::Error;
pub use kwik_proto::StreamKind as Type;
pub use receive::ReceiveStream;
pub use receive_memory::{ReceiveMemory, ReceiveShare};
pub use send::SendStream;
pub use service::{ServiceBell, ServiceList, StreamHalf};
pub use share::{SendMemory, SendShare};
pub use shared_receive::{SharedReceive, Watch};
pub use shared_send::{SendStatus, SharedSend};

pub(crate) use send_state::SendStep;
pub(crate) use share::{Freed, Stake};
pub(crate) use shared_receive::{Arrivals, Piece};

/// What calls on streams return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod wakes;
