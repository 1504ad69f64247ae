//! The pin of a server's key.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;

/// SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469, 2.4), written `sha256:` and 64 hexadecimal digits.
///
/// It names a server's key, whatever certificate carries it: dates, names and issuers do not count.
///
/// ```
/// use kwik_io::tls::{Pin, ServerCertificate};
///
/// let pin = ServerCertificate::self_signed(["localhost"])?.pin();
/// assert_eq!(pin.to_string().parse(), Ok(pin));
/// # Ok::<(), kwik_io::tls::CertificateError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pin(pub [u8; 32]);

/// Why a text is no pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePinError {
    /// Something else than `sha256:` stands before the digits.
    #[error("a pin starts with \"sha256:\"")]
    Prefix,
    /// Another number of digits than 64.
    #[error("a pin is \"sha256:\" and 64 hexadecimal digits, not {0}")]
    Length(usize),
    /// Something that is no hexadecimal digit, at that position after the prefix.
    #[error("character {0} after \"sha256:\" is no hexadecimal digit")]
    Digit(usize),
}

const PREFIX: &str = "sha256:";

impl Pin {
    /// The pin of the key in `certificate`; `None` if that is no X.509 version 3 certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = ParsedCertificate::try_from(certificate).ok()?;
        let hash = digest(&SHA256, parsed.subject_public_key_info().as_ref());
        hash.as_ref().try_into().ok().map(Self)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pin {
    type Err = ParsePinError;

    /// Takes letters of either case, and the digits alone as well.
    fn from_str(text: &str) -> Result<Self, ParsePinError> {
        let digits = match text.split_at_checked(PREFIX.len()) {
            Some((prefix, digits)) if prefix.eq_ignore_ascii_case(PREFIX) => digits,
            _ if text.contains(':') => return Err(ParsePinError::Prefix),
            _ => text,
        };
        let count = digits.chars().count();
        if count != 64 {
            return Err(ParsePinError::Length(count));
        }
        let mut bytes = [0; 32];
        for (index, digit) in digits.chars().enumerate() {
            let value = digit.to_digit(16).ok_or(ParsePinError::Digit(index))?;
            bytes[index / 2] = bytes[index / 2] << 4 | value as u8;
        }
        Ok(Self(bytes))
    }
}
