//! What is signed is what `docs/spec` says: `kwik-proto/interop/signed.py` makes it from there, in another language with
//! another implementation of Ed25519, and the same bytes come out here.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use kwik_core::admission::{Claims, TokenId};
use kwik_core::time::WallTime;
use kwik_io::key::{IdentityKey, PublicKey, TrustedKeys};
use kwik_io::sign::{proof_verifies, sign_orders, verify_orders};
use kwik_io::token;
use kwik_proto::frame::{Orders, ServerIdentity, SignedOrders};
use kwik_proto::{Epoch, PathId, SessionId};
use serde_json::Value;

const VECTOR: &str = include_str!("../../kwik-proto/vectors/signed/signed.json");

fn vector() -> Value {
    serde_json::from_str(VECTOR).unwrap()
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {path}"))
}

fn bytes<const N: usize>(value: &Value, path: &str) -> [u8; N] {
    unhex(text(value, path)).try_into().unwrap()
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn identity(value: &Value) -> IdentityKey {
    text(value, "/identity/secret_paserk").parse().unwrap()
}

/// 2026-01-02T03:04:05Z, as in the vector.
const NOT_BEFORE: u64 = 1_767_323_045;

fn claims(value: &Value) -> Claims {
    Claims {
        session: SessionId(*b"session of bytes"),
        path: PathId::new(300),
        epoch: Epoch(2),
        audience: ServerIdentity::Pin([0xa1; 32]),
        not_before: WallTime(NOT_BEFORE),
        expires: WallTime(NOT_BEFORE + 60),
        confirmation_key: bytes(value, "/confirmation/public"),
        token_id: TokenId(std::array::from_fn(|place| place as u8)),
    }
}

#[test]
fn keys_have_the_names_of_the_vector() {
    let value = vector();
    for (owner, public) in [
        ("identity", identity(&value).public().clone()),
        ("confirmation", PublicKey::new(bytes(&value, "/confirmation/public"))),
    ] {
        assert_eq!(*public.bytes(), bytes(&value, &format!("/{owner}/public")));
        assert_eq!(public.to_string(), text(&value, &format!("/{owner}/paserk")));
        assert_eq!(public.id().as_str(), text(&value, &format!("/{owner}/id")));
    }
    assert_eq!(identity(&value).to_paserk(), text(&value, "/identity/secret_paserk"));
}

#[test]
fn the_token_of_the_vector_is_the_one_that_is_signed_here() {
    let value = vector();
    let key = identity(&value);
    let theirs = text(&value, "/token/token");
    let verified = token::verify(&TrustedKeys::from_iter([key.public().clone()]), theirs).unwrap();
    assert_eq!(verified.claims, claims(&value));
    assert_eq!(token::sign(&key, &claims(&value)).unwrap(), theirs);
}

#[test]
fn the_proof_of_the_vector_holds_for_its_token_and_connection_alone() {
    let value = vector();
    let confirmation = bytes(&value, "/confirmation/public");
    let (exporter, proof) =
        (bytes(&value, "/admission/exporter"), bytes(&value, "/admission/proof"));
    let token = text(&value, "/token/token");
    assert!(proof_verifies(&confirmation, token, &exporter, &proof));
    assert!(!proof_verifies(&confirmation, token, &[0; 32], &proof));
    assert!(!proof_verifies(&confirmation, "v4.public.other", &exporter, &proof));
}

#[test]
fn the_orders_of_the_vector_are_signed_as_here() {
    let value = vector();
    let key = identity(&value);
    let body = Bytes::from(unhex(text(&value, "/orders/body")));
    let signature = bytes(&value, "/orders/signature");
    let key_id = text(&value, "/identity/id").to_owned();
    let theirs = SignedOrders { body: body.clone(), signature, key_id };
    assert_eq!(verify_orders(key.public(), &theirs), Ok(()));
    assert_eq!(sign_orders(&key, body.clone()), theirs);
    assert!(Orders::decode(&body).is_ok());
}
