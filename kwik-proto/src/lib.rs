//! KWIK's wire format: identifiers, frames and the incremental codec.
//!
//! The one definition is `proto/`, its rules are in `docs/spec/`; the types here are what the rest of KWIK uses.
//! Generated protobuf types stay inside this crate. Control frames are in [`control`], what carriers hold is in [`data`].

pub mod control;
pub mod data;
mod error;
pub mod frame;
pub mod id;

mod code;
mod queue;
mod reader;
mod shape;
mod text;
mod token;
mod varint;
mod wire;

pub use code::FIRST_RESERVED_CODE;
pub use error::{DecodeError, InvalidField, Problem};
pub use id::{
    ByteRange, DelegationId, Epoch, Initiator, Offset, PathId, SessionId, StreamId, StreamKind,
};

pub use text::{Sanitized, sanitized};

/// The protocol's name in the TLS handshake (RFC 7301). Another major version has another.
pub const ALPN: &[u8] = b"kwik/1";

/// The version that this crate speaks, as Hello and Welcome number it.
pub const VERSION: u32 = 1;
