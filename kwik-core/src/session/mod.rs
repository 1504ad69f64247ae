//! Sessions: the parts composed, for a client, a primary and a secondary.
//!
//! Inputs in (`handle_*`), outputs drained (`poll_output`), the time told. The parts hold the rules; a session only
//! passes on what one of them says to those that need to hear it.

pub mod client;
pub mod config;
mod handshake;
pub mod primary;
pub mod secondary;
mod streams;

pub use client::ClientSession;
pub use config::SessionConfig;
pub use handshake::{FEATURES, VERSIONS};
pub use primary::PrimarySession;
pub use secondary::SecondarySession;
pub use streams::StreamAction;

use kwik_proto::frame::ErrorCode;
use kwik_proto::id::MAX_VARINT;

/// First application error code that is KWIK's own: the top 2^16 code points.
pub const RESERVED_CODES: u64 = MAX_VARINT - 0xffff;

/// The application error code that stands for a reason of KWIK's own, on streams and on the primary connection.
///
/// ```
/// use kwik_core::session::{RESERVED_CODES, application_code};
/// use kwik_proto::frame::ErrorCode;
///
/// assert_eq!(application_code(ErrorCode::PathTimeout), RESERVED_CODES + 26);
/// ```
pub fn application_code(code: ErrorCode) -> u64 {
    RESERVED_CODES + code.wire()
}

#[cfg(test)]
mod tests;
