//! The certificate that a server shows now.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Pin, ServerCertificate};

/// A certificate that may be replaced while endpoints use it. Clones are one.
///
/// ```
/// use kwik_io::tls::{CurrentCertificate, ServerCertificate};
///
/// let current = CurrentCertificate::from(&ServerCertificate::self_signed(["localhost"])?);
/// let renewed = ServerCertificate::self_signed(["localhost"])?;
/// current.replace(renewed.clone());
/// assert_eq!(current.pin(), renewed.pin());
/// # Ok::<(), kwik_io::tls::CertificateError>(())
/// ```
#[derive(Clone, Debug)]
pub struct CurrentCertificate(Arc<RwLock<ServerCertificate>>);

impl CurrentCertificate {
    /// Handshakes that begin from now on get this one. Those under way go on with theirs.
    pub fn replace(&self, certificate: ServerCertificate) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certificate;
    }

    /// The pin of its key.
    pub fn pin(&self) -> Pin {
        self.0.read().unwrap_or_else(PoisonError::into_inner).pin()
    }
}

impl From<&ServerCertificate> for CurrentCertificate {
    fn from(certificate: &ServerCertificate) -> Self {
        Self(Arc::new(RwLock::new(certificate.clone())))
    }
}

impl From<&CurrentCertificate> for CurrentCertificate {
    fn from(certificate: &CurrentCertificate) -> Self {
        certificate.clone()
    }
}

/// One certificate, whatever name the client asks for: with a pin there is none.
impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).certified())
    }
}
