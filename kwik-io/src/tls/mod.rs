//! TLS 1.3, always verified: by certificate authority and name, or by the pin of the server's key.

mod config;
mod current;
mod identity;
mod pin;
mod verify;

use std::sync::Once;

pub use config::{Trust, TrustError, client_config, server_config};
pub use current::CurrentCertificate;
pub use identity::{CertificateError, ServerCertificate};
pub use pin::{ParsePinError, Pin};
pub use verify::{Refusal, RefusalCell};

pub use kwik_proto::ALPN;

/// Runs the cryptography's self-tests and gathers its entropy, which takes about 60 ms once in a process.
///
/// [`crate::worker::Workers::start`] does it on the workers' threads, so that no handshake waits for it.
pub fn warm_up() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        // A whole self-signed certificate: entropy, Ed25519, SHA-256. A failure shows again where it matters.
        let made = ServerCertificate::self_signed(["localhost"]);
        debug_assert!(made.is_ok(), "{made:?}");
    });
}

#[cfg(test)]
mod tests;
