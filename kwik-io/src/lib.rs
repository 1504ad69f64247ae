//! What KWIK's client and server drivers share: frames over s2n-quic streams, TLS, workers.
//!
//! No rule of the protocol is decided here: this crate opens sockets, runs threads, signs and verifies, and moves
//! bytes between QUIC streams and `kwik-core`.

#[doc(hidden)]
pub mod api;

pub mod env;

pub mod worker;

pub mod channel;

pub mod pulse;

pub mod turn;

#[cfg(feature = "sim")]
pub mod sim;

pub mod tls;

pub mod key;

pub mod sign;

pub mod token;

pub mod prefix;

pub mod lane;

pub mod connection;

pub mod endpoint;

pub mod control;

pub mod stream;

pub mod pump;

pub mod table;

pub mod session;

pub mod link;
