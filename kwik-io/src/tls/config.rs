//! rustls configurations for KWIK's endpoints.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::UnixTime;

use super::identity::certificates_from_pem;
use super::verify::{Rule, Verifier};
use super::{ALPN, CertificateError, CurrentCertificate, Pin, RefusalCell};
use crate::env::Env;

/// What a client trusts a server by. Endpoints are shared by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trust {
    /// The system's certificate authorities, and the server's name.
    System,
    /// The certificate authorities of a PEM bundle (all its certificates), and the server's name.
    Ca(Arc<str>),
    /// The server's key alone: no dates, no names, no issuer.
    Pin(Pin),
}

impl Trust {
    /// The authorities of this PEM bundle.
    pub fn ca(pem: impl Into<Arc<str>>) -> Self {
        Self::Ca(pem.into())
    }
}

/// Why a [`Trust`] cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The bundle holds no usable certificate.
    #[error("the bundle of certificate authorities: {0}")]
    Bundle(CertificateError),
    /// The system has no certificate authorities.
    #[error("the system has no certificate authorities ({0}); name some, or a pin")]
    NoSystemRoots(String),
    /// rustls refuses the configuration.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// The configuration of a client endpoint, and the cell where its verifier leaves the reason of a refusal.
///
/// TLS 1.3 with ALPN `kwik/1`; no resumption, so that every handshake checks the certificate. Certificates are
/// judged by the wall clock of `env`.
///
/// # Errors
/// [`TrustError`], when the authorities cannot be loaded.
///
/// ```
/// use kwik_io::env::Env;
/// use kwik_io::tls::{ServerCertificate, Trust, client_config};
///
/// let pin = ServerCertificate::self_signed(["localhost"])?.pin();
/// let (config, _refusal) = client_config(&Env::system(), &Trust::Pin(pin))?;
/// assert_eq!(config.alpn_protocols, [b"kwik/1"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn client_config(env: &Env, trust: &Trust) -> Result<(ClientConfig, RefusalCell), TrustError> {
    let provider = provider_in(env);
    let rule = match trust {
        Trust::Pin(pin) => Rule::Pin(*pin),
        Trust::Ca(pem) => Rule::Authorities(authorities(bundle(pem)?, &provider)?),
        Trust::System => Rule::Authorities(authorities(system_roots()?, &provider)?),
    };
    let refusal = RefusalCell::default();
    let verifier = Verifier::new(rule, provider.clone(), refusal.clone());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(Wall(env.clone())))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| TrustError::Tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok((config, refusal))
}

/// The configuration of a server endpoint: TLS 1.3 with ALPN `kwik/1`, no resumption. Takes a
/// [`ServerCertificate`](super::ServerCertificate), or a [`CurrentCertificate`] that may be replaced later.
///
/// # Errors
/// [`TrustError::Tls`].
pub fn server_config(
    env: &Env,
    certificate: impl Into<CurrentCertificate>,
) -> Result<ServerConfig, TrustError> {
    let certificate: CurrentCertificate = certificate.into();
    let mut config =
        ServerConfig::builder_with_details(provider_in(env), Arc::new(Wall(env.clone())))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| TrustError::Tls(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// aws-lc with QUIC's cipher suites, AES-128 first: the cheapest where the processor helps.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
            aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
            aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..aws_lc_rs::default_provider()
    })
}

/// As [`provider`], with the entropy of `env`.
fn provider_in(env: &Env) -> Arc<CryptoProvider> {
    #[cfg(feature = "sim")]
    if env.network().is_some() {
        return Arc::new(crate::sim::seeded(CryptoProvider::clone(&provider())));
    }
    #[cfg(not(feature = "sim"))]
    let _ = env;
    provider()
}

fn authorities(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TrustError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| TrustError::Tls(error.to_string()))
}

pub(super) fn bundle(pem: &str) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_from_pem(pem).map_err(TrustError::Bundle)? {
        roots.add(certificate).map_err(|error| {
            TrustError::Bundle(CertificateError::BadCertificate(error.to_string()))
        })?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TrustError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _unusable) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or("none found".to_owned(), ToString::to_string);
        return Err(TrustError::NoSystemRoots(why));
    }
    Ok(roots)
}

/// The wall clock of an [`Env`], for rustls.
#[derive(Debug)]
struct Wall(Env);

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.wall().0)))
    }
}
