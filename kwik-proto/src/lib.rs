//! KWIK's wire format: identifiers, frames and the incremental codec.
//!
//! The one definition is `proto/`; the types here are what the rest of KWIK uses. Generated protobuf types stay
//! inside this crate.

pub mod frame;
pub mod id;

pub use id::{
    ByteRange, DelegationId, Epoch, Initiator, Offset, PathId, SessionId, StreamId, StreamKind,
};
