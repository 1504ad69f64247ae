//! A server's certificate and key.

use std::fmt;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::Pin;
use super::config::provider;
use crate::env::Env;

/// A server's certificate chain and its private key, checked to belong together.
///
/// ```
/// use kwik_io::tls::ServerCertificate;
///
/// let made = ServerCertificate::self_signed(["localhost", "127.0.0.1"])?;
/// let loaded = ServerCertificate::from_pem(&made.certificate_pem(), &made.key_pem())?;
/// assert_eq!(loaded.pin(), made.pin());
/// # Ok::<(), kwik_io::tls::CertificateError>(())
/// ```
#[derive(Clone)]
pub struct ServerCertificate {
    certified: Arc<CertifiedKey>,
    /// Wiped with the last clone.
    key: Arc<Zeroizing<PrivateKeyDer<'static>>>,
    pin: Pin,
}

/// Why a certificate or key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The certificate's text is no PEM.
    #[error("the certificate is no PEM: {0}")]
    CertificatePem(String),
    /// No `CERTIFICATE` section in the text.
    #[error("no certificate in the PEM (a section that begins with -----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// A section that is no X.509 version 3 certificate.
    #[error("the certificate cannot be read: {0}")]
    BadCertificate(String),
    /// The key's text is no PEM.
    #[error("the private key is no PEM: {0}")]
    KeyPem(String),
    /// No private key in the text.
    #[error("no private key in the PEM (PKCS #8, PKCS #1 or SEC1, not encrypted)")]
    NoKey,
    /// A private key of a kind that TLS 1.3 does not know.
    #[error("the private key cannot be used: {0}")]
    BadKey(String),
    /// The key is another one than the certificate's.
    #[error("the private key does not match the certificate")]
    KeyMismatch,
    /// A name that cannot stand in a certificate.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    BadName(String),
}

/// What stands before the 32 bytes of an Ed25519 key in its PKCS #8 form (RFC 8410, 7).
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

impl ServerCertificate {
    /// Loads a chain (the server's certificate first) and its private key, both PEM.
    ///
    /// # Errors
    /// [`CertificateError`], which names what is wrong and in which of the two.
    pub fn from_pem(certificates: &str, key: &str) -> Result<Self, CertificateError> {
        let chain = certificates_from_pem(certificates)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| match error {
            rustls_pki_types::pem::Error::NoItemsFound => CertificateError::NoKey,
            error => CertificateError::KeyPem(error.to_string()),
        })?;
        Self::new(chain, key)
    }

    /// Makes an Ed25519 key and a certificate that it signs itself, for these DNS names and IP addresses.
    ///
    /// It never expires: clients trust it by its pin. Ed25519, because its signatures all have one length, so that a
    /// simulation repeats itself exactly.
    ///
    /// # Errors
    /// [`CertificateError::BadName`].
    pub fn self_signed<N>(names: impl IntoIterator<Item = N>) -> Result<Self, CertificateError>
    where
        N: Into<String>,
    {
        Self::self_signed_in(&Env::system(), names)
    }

    /// As [`ServerCertificate::self_signed`], with the entropy of `env`.
    ///
    /// # Errors
    /// [`CertificateError::BadName`].
    pub fn self_signed_in<N>(
        env: &Env,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, CertificateError>
    where
        N: Into<String>,
    {
        let names = names.into_iter().map(Into::into).collect::<Vec<String>>();
        let shown = names.join(", ");
        let params =
            CertificateParams::new(names).map_err(|_| CertificateError::BadName(shown.clone()))?;
        let key = ed25519_key(env)?;
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519)
            .map_err(|error| CertificateError::BadKey(error.to_string()))?;
        let certificate =
            params.self_signed(&pair).map_err(|_| CertificateError::BadName(shown))?;
        Self::new(vec![certificate.der().clone()], key.into())
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, CertificateError> {
        let first = chain.first().ok_or(CertificateError::NoCertificate)?;
        let pin = Pin::of(first).ok_or_else(|| {
            CertificateError::BadCertificate("not an X.509 version 3 certificate".to_owned())
        })?;
        let provider: &CryptoProvider = &provider();
        let certified = CertifiedKey::from_der(chain, key.clone_key(), provider).map_err(
            |error| match error {
                rustls::Error::InconsistentKeys(_) => CertificateError::KeyMismatch,
                error => CertificateError::BadKey(error.to_string()),
            },
        )?;
        Ok(Self { certified: Arc::new(certified), key: Arc::new(Zeroizing::new(key)), pin })
    }

    /// The pin of the server's key.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// The chain as PEM, the server's certificate first.
    pub fn certificate_pem(&self) -> String {
        self.certified.cert.iter().map(|der| pem_section("CERTIFICATE", der)).collect()
    }

    /// The private key as PEM. Keep it in a file of mode 0600.
    pub fn key_pem(&self) -> String {
        let label = match **self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        pem_section(label, self.key.secret_der())
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").field("pin", &self.pin).finish_non_exhaustive()
    }
}

fn ed25519_key(env: &Env) -> Result<PrivatePkcs8KeyDer<'static>, CertificateError> {
    let mut der = ED25519_PKCS8.to_vec();
    der.extend_from_slice(Zeroizing::new(env.random::<32>()).as_slice());
    Ok(PrivatePkcs8KeyDer::from(der))
}

/// Every certificate of a PEM bundle, in order; other sections are skipped.
pub(super) fn certificates_from_pem(
    pem: &str,
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| CertificateError::CertificatePem(error.to_string()))?;
    if certificates.is_empty() { Err(CertificateError::NoCertificate) } else { Ok(certificates) }
}

/// One section of PEM (RFC 7468): Base64 in lines of 64 characters.
fn pem_section(label: &str, der: &[u8]) -> String {
    pem::encode_config(
        &pem::Pem::new(label, der),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}
