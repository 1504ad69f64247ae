//! Certificate verifiers that remember why they refused.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use kwik_proto::sanitized;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::Pin;

/// Why a server's certificate was refused.
///
/// s2n-quic itself reports every refusal as an unexpected error. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The server's key is another one.
    #[error("the server's key has pin {presented}, not {expected}")]
    Pin {
        /// The pin that was asked for.
        expected: Pin,
        /// The pin of the key that the server has.
        presented: Pin,
    },
    /// No trusted certificate authority issued it.
    #[error("the certificate was issued by no trusted authority")]
    UnknownIssuer,
    /// A certificate authority's own certificate, as `openssl req -x509` makes by default.
    #[error(
        "the certificate is a certificate authority's own (CA:TRUE), which is no server's; use its pin, or make \
         the certificate with basicConstraints=CA:FALSE"
    )]
    CaUsedAsServer,
    /// It is for other names.
    #[error("the certificate is not valid for {expected}, only for {}", list(.presented))]
    Name {
        /// The name that was asked for.
        expected: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// Its time is over.
    #[error("the certificate expired {} s ago", .now.saturating_sub(*.not_after))]
    Expired {
        /// The time of the check.
        now: u64,
        /// The end of its validity.
        not_after: u64,
    },
    /// Its time has not come.
    #[error("the certificate becomes valid in {} s only; is the clock right?", .not_before.saturating_sub(*.now))]
    NotYetValid {
        /// The time of the check.
        now: u64,
        /// The start of its validity.
        not_before: u64,
    },
    /// The authority that it names did not sign it.
    #[error("the certificate is not signed by the authority that it names")]
    Forged,
    /// The server does not hold the certificate's key.
    #[error("the handshake is not signed with the certificate's key")]
    Signature,
    /// It is no X.509 version 3 certificate.
    #[error("the certificate cannot be read")]
    Malformed,
    /// Anything else that the verifier found.
    #[error("the certificate is not valid: {}", sanitized(.0))]
    Other(String),
}

fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().map(|name| sanitized(name).to_string()).collect();
    if names.is_empty() { "no name at all".to_owned() } else { shown.join(", ") }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let Error::InvalidCertificate(error) = error else {
            return Self::Other(error.to_string());
        };
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::BadEncoding => Self::Malformed,
            CertificateError::BadSignature => Self::Forged,
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Expired { now: time.as_secs(), not_after: not_after.as_secs() }
            }
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::NotYetValid { now: time.as_secs(), not_before: not_before.as_secs() }
            }
            CertificateError::NotValidForNameContext { expected, presented } => Self::Name {
                expected: expected.to_str().into_owned(),
                presented: presented.clone(),
            },
            // rustls has no variant of its own for it, only webpki's name.
            CertificateError::Other(other)
                if format!("{other:?}").contains("CaUsedAsEndEntity") =>
            {
                Self::CaUsedAsServer
            }
            error => Self::Other(error.to_string()),
        }
    }
}

/// Where a verifier leaves the reason of its last refusal, for the endpoint to pick up.
///
/// One endpoint's handshakes run one after the other in one task, so a reason is picked up before the next is left.
#[derive(Clone, Debug, Default)]
pub struct RefusalCell(Arc<Mutex<Option<Refusal>>>);

impl RefusalCell {
    /// Takes the reason out, if there is one.
    pub fn take(&self) -> Option<Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn put(&self, refusal: Refusal) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    }
}

/// What a certificate is checked against.
pub(super) enum Rule {
    /// An authority in a set, and the name.
    Authorities(Arc<WebPkiServerVerifier>),
    /// The key alone: no dates, no name, no issuer.
    Pin(Pin),
}

/// A verifier that leaves the reason of a refusal in a [`RefusalCell`].
pub(super) struct Verifier {
    rule: Rule,
    provider: Arc<CryptoProvider>,
    refusal: RefusalCell,
}

impl Verifier {
    pub(super) fn new(rule: Rule, provider: Arc<CryptoProvider>, refusal: RefusalCell) -> Self {
        Self { rule, provider, refusal }
    }

    fn note<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|error| self.refusal.put(Refusal::from(error)))
    }

    fn check_pin(&self, pin: Pin, end_entity: &CertificateDer<'_>) -> Result<(), Error> {
        let refusal = match Pin::of(end_entity) {
            Some(presented) if presented == pin => return Ok(()),
            Some(presented) => Refusal::Pin { expected: pin, presented },
            None => Refusal::Malformed,
        };
        self.refusal.put(refusal);
        Err(CertificateError::ApplicationVerificationFailure.into())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Rule::Authorities(_) => f.write_str("Verifier(authorities)"),
            Rule::Pin(pin) => write!(f, "Verifier({pin})"),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.rule {
            Rule::Authorities(inner) => self.note(inner.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            )),
            Rule::Pin(pin) => {
                self.check_pin(*pin, end_entity)?;
                Ok(ServerCertVerified::assertion())
            }
        }
    }

    /// KWIK speaks TLS 1.3 alone.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.note(Err(Error::General("TLS 1.2 is not spoken".to_owned())))
    }

    /// Proves that the server holds the key; without it a certificate is only a copy of a public text.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
            .inspect_err(|_| self.refusal.put(Refusal::Signature))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
