//! QUIC endpoints: where connections are dialled and accepted.

mod client;
mod congestion;
mod dial;
mod limits;
mod server;
mod sockets;

pub use client::ClientEndpoints;
pub use congestion::{CongestionControl, UnknownCongestionControl};
pub use dial::{DialError, Dialled};
pub use limits::{EndpointLimits, Role, SMALLEST_MTU};
pub use server::{Accepted, BindError, ServerEndpoint};
pub use sockets::sockets;
