#![allow(clippy::unwrap_used)]

use std::process::Command;

use super::*;
use crate::env::Env;

/// A self-signed P-256 certificate with CA:TRUE, as `openssl req -x509` makes it.
const OPENSSL_X509: &str = include_str!("testdata/openssl-x509.pem");
/// What `openssl x509 -pubkey | openssl pkey -pubin -outform der | sha256sum` says of it.
const OPENSSL_PIN: &str = include_str!("testdata/openssl-x509.pin");

#[test]
fn a_pin_is_the_hash_of_the_subject_public_key_info() {
    let certificate = &identity::certificates_from_pem(OPENSSL_X509).unwrap()[0];
    assert_eq!(Pin::of(certificate).unwrap().to_string(), OPENSSL_PIN.trim());
}

#[test]
fn a_pin_is_read_in_either_case_and_without_its_prefix() {
    let pin = OPENSSL_PIN.trim();
    let upper = pin.to_uppercase();
    for text in [&upper, &upper.replace("SHA256:", "sha256:"), &pin.replace("sha256:", "")] {
        assert_eq!(text.parse::<Pin>(), pin.parse(), "{text}");
    }
}

#[test]
fn a_bad_pin_says_what_is_wrong() {
    let table = [
        ("", ParsePinError::Length(0)),
        ("sha1:00", ParsePinError::Prefix),
        ("sha256:", ParsePinError::Length(0)),
        ("sha256:00", ParsePinError::Length(2)),
        (&format!("sha256:{}", "0".repeat(65)), ParsePinError::Length(65)),
        (&format!("sha256:{}g", "0".repeat(63)), ParsePinError::Digit(63)),
        (&format!("sha256:{}", "ü".repeat(64)), ParsePinError::Digit(0)),
    ];
    for (text, error) in table {
        assert_eq!(text.parse::<Pin>(), Err(error), "{text}");
    }
}

#[test]
fn a_made_certificate_survives_its_pem() {
    let made = ServerCertificate::self_signed(["origin.example", "192.0.2.1", "::1"]).unwrap();
    let read = ServerCertificate::from_pem(&made.certificate_pem(), &made.key_pem()).unwrap();
    assert_eq!(read.certificate_pem(), made.certificate_pem());
    assert_eq!(read.key_pem(), made.key_pem());
}

#[test]
fn a_chain_is_kept_whole() {
    let made = ServerCertificate::self_signed(["a.example"]).unwrap();
    let other = ServerCertificate::self_signed(["b.example"]).unwrap();
    let chain = made.certificate_pem() + &other.certificate_pem();
    let read = ServerCertificate::from_pem(&chain, &made.key_pem()).unwrap();
    assert_eq!(read.certificate_pem(), chain);
}

#[test]
fn a_seeded_world_makes_the_same_certificate_again() {
    let make = || {
        let env = Env::seeded(3, kwik_core::time::WallTime(0));
        ServerCertificate::self_signed_in(&env, ["localhost"]).unwrap()
    };
    assert_eq!(make().certificate_pem(), make().certificate_pem());
}

#[test]
fn a_bad_certificate_or_key_says_which_and_why() {
    let made = ServerCertificate::self_signed(["localhost"]).unwrap();
    let (certificate, key) = (made.certificate_pem(), made.key_pem());
    let other = ServerCertificate::self_signed(["localhost"]).unwrap().key_pem();
    let error = |certificate: &str, key: &str| {
        ServerCertificate::from_pem(certificate, key).map(|_| ()).unwrap_err()
    };
    assert_eq!(error("", &key), CertificateError::NoCertificate);
    assert_eq!(error("no PEM at all", &key), CertificateError::NoCertificate);
    assert_eq!(error(&key, &key), CertificateError::NoCertificate);
    assert_eq!(error(&certificate, ""), CertificateError::NoKey);
    assert_eq!(error(&certificate, &certificate), CertificateError::NoKey);
    assert_eq!(error(&certificate, &other), CertificateError::KeyMismatch);
    let cut = &certificate[..certificate.len() / 2];
    assert!(matches!(error(cut, &key), CertificateError::CertificatePem(_)));
    let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(error(wrong, &key), CertificateError::BadCertificate(_)));
    let wrong = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(error(&certificate, wrong), CertificateError::BadKey(_)));
}

#[test]
fn a_name_that_is_none_is_refused() {
    let error = ServerCertificate::self_signed(["nö.example"]).map(|_| ()).unwrap_err();
    assert_eq!(error, CertificateError::BadName("nö.example".to_owned()));
}

#[test]
fn a_certificates_debug_text_keeps_the_key_secret() {
    let made = ServerCertificate::self_signed(["localhost"]).unwrap();
    assert_eq!(format!("{made:?}"), format!("ServerCertificate {{ pin: {}, .. }}", made.pin()));
}

#[test]
fn a_bundle_without_certificates_is_refused() {
    let error = client_config(&Env::system(), &Trust::ca("")).map(|_| ()).unwrap_err();
    assert_eq!(error, TrustError::Bundle(CertificateError::NoCertificate));
}

#[test]
fn every_certificate_of_a_bundle_is_trusted() {
    let one = ServerCertificate::self_signed(["one.example"]).unwrap();
    let two = ServerCertificate::self_signed(["two.example"]).unwrap();
    let bundle = one.certificate_pem() + &two.certificate_pem();
    assert_eq!(config::bundle(&bundle).unwrap().len(), 2);
}

#[test]
fn resumption_is_off_at_both_ends() {
    let made = ServerCertificate::self_signed(["localhost"]).unwrap();
    let server = server_config(&Env::system(), &made).unwrap();
    assert_eq!(server.send_tls13_tickets, 0);
    assert!(!server.session_storage.can_cache());
}

#[test]
fn a_reason_is_taken_once() {
    let cell = RefusalCell::default();
    cell.put(Refusal::Malformed);
    assert_eq!(cell.take(), Some(Refusal::Malformed));
    assert_eq!(cell.take(), None);
}

/// The real program, where there is one: its defaults are what users bring.
#[test]
fn what_openssl_makes_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"])
        .args(["-keyout", "key.pem", "-out", "cert.pem", "-days", "2"])
        .current_dir(directory.path())
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        return;
    }
    let read = |name| std::fs::read_to_string(directory.path().join(name)).unwrap();
    ServerCertificate::from_pem(&read("cert.pem"), &read("key.pem")).unwrap();
}
