//! Sessions: the parts composed, for a client, a primary and a secondary.
//!
//! Inputs in (`handle_*`), outputs drained (`poll_output`), the time told. The parts hold the rules; a session only
//! passes on what one of them says to those that need to hear it.

pub mod client;
pub mod config;
mod handshake;
mod leave;
mod linger;
pub mod primary;
pub mod secondary;
mod streams;
mod unread;

pub use client::ClientSession;
pub use config::SessionConfig;
pub use handshake::{FEATURES, VERSIONS};
pub use primary::PrimarySession;
pub use secondary::SecondarySession;
pub use streams::StreamAction;

#[cfg(test)]
mod tests;
