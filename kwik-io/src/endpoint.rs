//! QUIC endpoints: where connections are dialled and accepted.

mod client;
mod congestion;
mod connections;
mod dial;
mod goodbye;
mod handshakes;
mod limits;
mod probe;
mod server;
mod sockets;
mod stagger;

pub use client::ClientEndpoints;
pub use congestion::{CongestionControl, UnknownCongestionControl};
pub use connections::Connections;
pub use dial::{DialError, Dialled};
pub(crate) use goodbye::{Goodbye, Goodbyes, Owed};
pub use handshakes::Handshakes;
pub(crate) use handshakes::Shaking;
pub(crate) use limits::SEND_BUFFER;
pub use limits::{EndpointLimits, Role, SMALLEST_MTU};
pub use server::{Accepted, BindError, ServerEndpoint};
pub use sockets::sockets;
pub use stagger::{ATTEMPT_DELAY, stagger};
