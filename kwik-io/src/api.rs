//! The methods that public types of the client and of the server have in common.
//!
//! Each of the two crates defines its own sessions and streams, so that what it promises stands in its own
//! documentation; inside they hold this crate's. The methods are s2n-quic's, and the same on every type that has them:
//! they are written once, here. A type says in private functions what it wraps: `readable` and `writable` for streams,
//! `hold`, `hold_mut` and `share` for what opens streams, `incomings` for what accepts them.

mod receive;
mod send;
mod session;
mod streams;

/// What the macros name.
#[doc(hidden)]
pub mod names {
    pub use bytes::Bytes;
    pub use futures_core::Stream;
    pub use futures_io::{AsyncRead as FuturesRead, AsyncWrite as FuturesWrite};
    pub use futures_sink::Sink;
    pub use kwik_proto::StreamKind;
    pub use std::future::poll_fn;
    pub use std::io;
    pub use std::net::SocketAddr;
    pub use std::pin::Pin;
    pub use std::task::{Context, Poll, ready};
    pub use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
}
