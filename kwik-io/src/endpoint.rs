//! QUIC endpoints: where connections are dialled and accepted.

mod client;
mod connections;
mod dial;
mod goodbye;
mod limits;
mod probe;
mod server;
mod sockets;
mod stagger;

pub use client::ClientEndpoints;
pub use connections::Connections;
pub use dial::{DialError, Dialled};
pub(crate) use goodbye::{Goodbye, Goodbyes, Owed};
pub use limits::{EndpointLimits, Role};
pub use server::{Accepted, BindError, ServerEndpoint};
pub use sockets::sockets;
pub use stagger::{ATTEMPT_DELAY, stagger};
