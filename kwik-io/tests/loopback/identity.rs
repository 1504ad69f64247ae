//! Who may be at the other end.

use std::net::SocketAddr;
use std::sync::Arc;

use kwik_io::endpoint::DialError;
use kwik_io::env::Env;
use kwik_io::tls::{Pin, Refusal, ServerCertificate, Trust};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ED25519, SignatureAlgorithm, date_time_ymd,
};

use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::{LONG, Lab};

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    named_authority("KWIK test authority")
}

fn named_authority(name: &str) -> Authority {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: Issuer::new(params, key) }
}

impl Authority {
    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> ServerCertificate {
        let mut params =
            CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        ServerCertificate::from_pem(&certificate.pem(), &key.serialize_pem()).unwrap()
    }
}

/// A self-signed certificate with CA:TRUE, as `openssl req -x509` makes it.
fn like_openssl(algorithm: &'static SignatureAlgorithm) -> ServerCertificate {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate_for(algorithm).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    ServerCertificate::from_pem(&certificate.pem(), &key.serialize_pem()).unwrap()
}

async fn refusal(lab: &Lab, trust: &Trust, name: Option<&str>) -> Refusal {
    match lab.dial(trust, name).await {
        Err(DialError::Identity { target, refusal }) => {
            assert_eq!(target, lab.address());
            refusal
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pin_admits_its_key() {
    let mut lab = Lab::new();
    lab.connect().await;
}

#[tokio::test]
async fn a_pin_admits_any_algorithm_name_and_kind_of_certificate() {
    for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P256_SHA256] {
        let lab = Lab::with(like_openssl(algorithm));
        lab.dial(&lab.pin(), Some("other.example")).await.unwrap();
    }
}

#[tokio::test]
async fn a_pin_admits_an_expired_certificate() {
    let lab = Lab::with(authority().issue(|params| params.not_after = date_time_ymd(2001, 1, 1)));
    lab.dial(&lab.pin(), None).await.unwrap();
}

#[tokio::test]
async fn a_wrong_pin_says_which_it_found() {
    let lab = Lab::new();
    let expected = Pin([7; 32]);
    let refusal = refusal(&lab, &Trust::Pin(expected), None).await;
    assert_eq!(refusal, Refusal::Pin { expected, presented: lab.certificate.pin() });
    assert!(refusal.to_string().contains(&lab.certificate.pin().to_string()));
}

#[tokio::test]
async fn an_authority_admits_its_names_and_addresses() {
    let authority = authority();
    let lab = Lab::with(authority.issue(|_| {}));
    let trust = Trust::ca(authority.pem);
    lab.dial(&trust, Some("localhost")).await.unwrap();
    lab.dial(&trust, None).await.unwrap();
}

#[tokio::test]
async fn any_authority_of_a_bundle_admits() {
    let (one, two) = (named_authority("one"), named_authority("two"));
    let lab = Lab::with(two.issue(|_| {}));
    lab.dial(&Trust::ca(one.pem + &two.pem), Some("localhost")).await.unwrap();
}

#[tokio::test]
async fn a_made_certificate_is_its_own_authority() {
    let lab = Lab::new();
    let trust = Trust::ca(lab.certificate.certificate_pem());
    lab.dial(&trust, Some("localhost")).await.unwrap();
}

#[tokio::test]
async fn another_name_is_refused_with_both_names() {
    let authority = authority();
    let lab = Lab::with(authority.issue(|_| {}));
    match refusal(&lab, &Trust::ca(authority.pem), Some("other.example")).await {
        Refusal::Name { expected, presented } => {
            assert_eq!(expected, "other.example");
            assert!(presented.iter().any(|name| name.contains("localhost")), "{presented:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_foreign_certificate_is_refused() {
    let lab = Lab::with(authority().issue(|_| {}));
    let trust = Trust::ca(named_authority("another").pem);
    assert_eq!(refusal(&lab, &trust, Some("localhost")).await, Refusal::UnknownIssuer);
}

#[tokio::test]
async fn a_certificate_that_only_names_the_authority_is_refused() {
    let lab = Lab::with(authority().issue(|_| {}));
    let trust = Trust::ca(authority().pem);
    assert_eq!(refusal(&lab, &trust, Some("localhost")).await, Refusal::Forged);
}

#[tokio::test]
async fn the_systems_authorities_do_not_know_a_made_certificate() {
    let lab = Lab::new();
    match lab.dial(&Trust::System, Some("localhost")).await {
        Err(DialError::Identity { refusal: Refusal::UnknownIssuer, .. }) => {}
        // A machine without authorities says so.
        Err(DialError::Trust(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused_as_such() {
    let authority = authority();
    let lab = Lab::with(authority.issue(|params| params.not_after = date_time_ymd(2001, 1, 1)));
    match refusal(&lab, &Trust::ca(authority.pem), Some("localhost")).await {
        Refusal::Expired { now, not_after } => {
            assert_eq!(not_after, 978_307_200);
            assert!(now > not_after);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_of_the_future_is_refused_as_such() {
    let authority = authority();
    let lab = Lab::with(authority.issue(|params| params.not_before = date_time_ymd(3000, 1, 1)));
    let refusal = refusal(&lab, &Trust::ca(authority.pem), Some("localhost")).await;
    assert!(matches!(refusal, Refusal::NotYetValid { .. }), "{refusal:?}");
}

#[tokio::test]
async fn an_authoritys_own_certificate_as_a_servers_says_what_to_do() {
    let lab = Lab::with(like_openssl(&PKCS_ECDSA_P256_SHA256));
    let trust = Trust::ca(lab.certificate.certificate_pem());
    let refusal = refusal(&lab, &trust, Some("localhost")).await;
    assert_eq!(refusal, Refusal::CaUsedAsServer);
    assert!(refusal.to_string().contains("use its pin"));
}

/// Whoever has seen a certificate can show it; only its owner can sign the handshake.
#[tokio::test]
async fn a_copied_certificate_without_its_key_is_refused() {
    let lab = Lab::new();
    let other = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(other.serialize_der()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let pem = lab.certificate.certificate_pem();
    let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))));
    config.alpn_protocols = vec![kwik_io::tls::ALPN.to_vec()];
    let server = s2n_quic::Server::builder()
        .with_tls(s2n_quic::provider::tls::rustls::Server::from(config))
        .unwrap()
        .with_io("127.0.0.1:0")
        .unwrap()
        .start()
        .unwrap();
    let target = server.local_addr().unwrap();
    for trust in [lab.pin(), Trust::ca(pem)] {
        let dial = lab.endpoints.connect(&lab.worker, target, &trust, Some("localhost"), LONG);
        match dial.await {
            Err(DialError::Identity { refusal, .. }) => assert_eq!(refusal, Refusal::Signature),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_wall_clock_of_the_world_judges_dates() {
    use kwik_core::time::WallTime;
    use kwik_io::endpoint::{ClientEndpoints, EndpointLimits, Role};
    let authority = authority();
    let lab = Lab::with(authority.issue(|params| params.not_after = date_time_ymd(2001, 1, 1)));
    let then = Env::seeded(1, WallTime(978_307_200 - 86_400));
    let endpoints = ClientEndpoints::new(then, Role::Primary, EndpointLimits::default());
    let target: SocketAddr = lab.address();
    endpoints
        .connect(&lab.worker, target, &Trust::ca(authority.pem), Some("localhost"), LONG)
        .await
        .unwrap();
}

#[tokio::test]
async fn refusals_at_the_same_time_are_not_mixed_up() {
    let authority = authority();
    let good = Lab::with(authority.issue(|_| {}));
    let expired = Lab::with(authority.issue(|params| params.not_after = date_time_ymd(2001, 1, 1)));
    let trust = Trust::ca(authority.pem);
    for _ in 0..10 {
        let dial =
            |address, name| good.endpoints.connect(&good.worker, address, &trust, name, LONG);
        let (one, two, three) = tokio::join!(
            dial(expired.address(), Some("localhost")),
            dial(good.address(), Some("other.example")),
            dial(good.address(), Some("localhost")),
        );
        let (one, two) = (one.map(|_| ()).unwrap_err(), two.map(|_| ()).unwrap_err());
        let expired = matches!(one, DialError::Identity { refusal: Refusal::Expired { .. }, .. });
        assert!(expired, "{one:?}");
        let name = matches!(two, DialError::Identity { refusal: Refusal::Name { .. }, .. });
        assert!(name, "{two:?}");
        three.unwrap();
    }
}
