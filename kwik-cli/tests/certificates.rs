//! Servers with certificates of an authority, and of none.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::{Server, fail, kwik, root, succeed};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn serve(dir: &Path, certificate: &str, key: &str) -> Server {
    fs::write(dir.join("cert.pem"), certificate).unwrap();
    fs::write(dir.join("key.pem"), key).unwrap();
    fs::set_permissions(dir.join("key.pem"), Permissions::from_mode(0o600)).unwrap();
    let root = root(dir, "root", &[("f", b"content")]);
    Server::start(dir, "state", &root, &["--cert", "cert.pem", "--key", "key.pem"])
}

#[test]
fn a_bundle_of_authorities_is_trusted_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (other, ours) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &ours).unwrap();
    let server = serve(dir.path(), &leaf.pem(), &key.serialize_pem());
    fs::write(dir.path().join("bundle.pem"), other.pem() + &ours.pem()).unwrap();
    fs::write(dir.path().join("other.pem"), other.pem()).unwrap();
    let url = server.url("f");
    succeed(kwik(dir.path()).args(["get", &url, "--ca", "bundle.pem"]));
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"content");
    let line = fail(kwik(dir.path()).args(["get", &url, "--ca", "other.pem", "-o", "out"]), 5);
    assert!(line.contains(&server.address.to_string()) && line.contains("--ca"), "{line}");
    assert!(!dir.path().join("out").exists());
}

#[test]
fn a_name_that_is_not_in_the_certificate_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ours = authority();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["origin.example".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &ours).unwrap();
    let server = serve(dir.path(), &leaf.pem(), &key.serialize_pem());
    fs::write(dir.path().join("ca.pem"), ours.pem()).unwrap();
    let line = fail(kwik(dir.path()).args(["get", &server.url("f"), "--ca", "ca.pem"]), 5);
    assert!(line.contains("127.0.0.1") && line.contains("origin.example"), "{line}");
}

#[test]
fn an_authoritys_own_certificate_works_with_its_pin_and_is_explained_with_ca() {
    let dir = tempfile::tempdir().unwrap();
    // What `openssl req -x509` makes: self-signed, and CA:TRUE.
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let server = serve(dir.path(), &certificate.pem(), &key.serialize_pem());
    succeed(kwik(dir.path()).args(["get", &server.url("f"), "--pin", &server.pin]));
    let line = fail(kwik(dir.path()).args(["get", &server.url("f"), "--ca", "cert.pem"]), 5);
    assert!(line.contains("CA:TRUE") && line.contains("pin"), "{line}");
}

#[test]
fn authorities_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("nonsense.pem"), "nonsense").unwrap();
    let url = "kwik://127.0.0.1:1/f";
    for (ca, code) in [("missing.pem", 7), ("nonsense.pem", 1)] {
        let line = fail(kwik(dir.path()).args(["get", url, "--ca", ca]), code);
        assert!(line.contains(ca) || line.contains("--ca"), "{line}");
    }
}
