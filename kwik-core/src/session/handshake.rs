//! Hello and Welcome: version and features.

use kwik_proto::frame::{ErrorCode, Hello, Refuse, Welcome};

use super::config::INITIAL_WINDOW;

/// Versions that this crate speaks, the best first.
pub const VERSIONS: [u32; 1] = [1];

/// Features that this crate speaks. None is defined in version 1.
pub const FEATURES: [u32; 0] = [];

/// What both ends speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) version: u32,
    pub(super) features: Vec<u32>,
}

/// The server's choice: the best version of its own that the client offers, and the features in common.
pub(super) fn negotiate(hello: &Hello) -> Result<Agreed, Refuse> {
    let version = VERSIONS.into_iter().find(|version| hello.versions.contains(version));
    let Some(version) = version else {
        return Err(refuse(
            ErrorCode::VersionNegotiation,
            format!("this server speaks version {VERSIONS:?}, the client {:?}", hello.versions),
        ));
    };
    let features =
        FEATURES.into_iter().filter(|feature| hello.features.contains(feature)).collect();
    Ok(Agreed { version, features })
}

/// The client's check of the answer: a server may choose only what was offered, and has the floor to give that every
/// stream relies on.
pub(super) fn check(welcome: &Welcome) -> Result<(), ErrorCode> {
    let offered = VERSIONS.contains(&welcome.version)
        && welcome.features.iter().all(|feature| FEATURES.contains(feature));
    if !offered {
        return Err(ErrorCode::VersionNegotiation);
    }
    if welcome.limits.initial_window < INITIAL_WINDOW {
        return Err(ErrorCode::ProtocolViolation);
    }
    Ok(())
}

fn refuse(code: ErrorCode, reason: impl Into<String>) -> Refuse {
    Refuse { code, reason: reason.into(), retry_after_ms: None }
}
