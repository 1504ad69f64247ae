//! Endpoints, TLS and the control channel over real QUIC on loopback.

#![allow(clippy::unwrap_used)]

#[path = "loopback/support.rs"]
mod support;

#[path = "loopback/control.rs"]
mod control;
#[path = "loopback/dial.rs"]
mod dial;
#[path = "loopback/endpoint.rs"]
mod endpoint;
#[path = "loopback/identity.rs"]
mod identity;
