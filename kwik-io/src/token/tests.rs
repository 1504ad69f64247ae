#![allow(clippy::unwrap_used)]

use super::*;
use crate::env::Env;

fn key(seed: u64) -> IdentityKey {
    IdentityKey::generate(&Env::seeded(seed, WallTime(0)))
}

fn trusting(seed: u64) -> TrustedKeys {
    TrustedKeys::from_iter([key(seed).public().clone()])
}

fn claims() -> Claims {
    Claims {
        session: SessionId([1; 16]),
        path: PathId::new(3),
        epoch: Epoch(4),
        audience: ServerIdentity::Pin([7; 32]),
        not_before: WallTime(1_700_000_000),
        expires: WallTime(1_700_000_060),
        confirmation_key: *key(9).public().bytes(),
        token_id: TokenId([2; 16]),
    }
}

/// A token with any payload, signed by key 1.
fn token(payload: &Value, footer: &Value) -> String {
    let (payload, footer) = (payload.to_string(), footer.to_string());
    PublicToken::sign(key(1).secret(), payload.as_bytes(), Some(footer.as_bytes()), None).unwrap()
}

fn footer() -> Value {
    json!({ "kid": key(1).public().id().as_str() })
}

#[test]
fn claims_come_back_as_they_were() {
    let names = [
        ServerIdentity::Name("edge.example".to_owned()),
        ServerIdentity::Name("192.0.2.1".to_owned()),
        ServerIdentity::Pin([0xab; 32]),
    ];
    for audience in names {
        let claims = Claims { audience, ..claims() };
        let verified = verify(&trusting(1), &sign(&key(1), &claims).unwrap()).unwrap();
        assert_eq!(verified, Verified { claims, signer: key(1).public().clone() });
    }
}

#[test]
fn a_token_is_paseto_with_registered_claims() {
    let token = sign(&key(1), &claims()).unwrap();
    assert!(token.starts_with("v4.public."));
    let payload = to_json(&claims()).unwrap();
    assert_eq!(payload["exp"], "2023-11-14T22:14:20Z");
    assert_eq!(payload["nbf"], "2023-11-14T22:13:20Z");
    assert_eq!(payload["aud"], format!("sha256:{}", "07".repeat(32)));
    assert_eq!(payload["jti"], "02".repeat(16));
    assert_eq!(payload["cnf"]["paserk"], key(9).public().to_string());
}

#[test]
fn a_token_of_the_largest_name_fits_its_limit() {
    let claims = Claims { audience: ServerIdentity::Name("a".repeat(253)), ..claims() };
    assert!(sign(&key(1), &claims).unwrap().len() < MAX_TOKEN / 2);
}

#[test]
fn a_foreign_key_is_refused_by_its_name() {
    let error = verify(&trusting(2), &sign(&key(1), &claims()).unwrap()).unwrap_err();
    assert_eq!(error, TokenError::UnknownKey(key(1).public().id().as_str().to_owned()));
}

#[test]
fn a_forged_signature_is_refused() {
    let forged = json!({ "kid": key(2).public().id().as_str() });
    let token = token(&to_json(&claims()).unwrap(), &forged);
    assert_eq!(verify(&trusting(2), &token), Err(TokenError::Signature));
}

#[test]
fn every_changed_character_is_noticed() {
    let token = sign(&key(1), &claims()).unwrap();
    for index in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(verify(&trusting(1), &changed).is_err(), "character {index}");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let long = "A".repeat(MAX_TOKEN + 1);
    let no_footer = PublicToken::sign(key(1).secret(), b"{}", None, None).unwrap();
    assert_eq!(verify(&trusting(1), ""), Err(TokenError::Malformed));
    assert_eq!(verify(&trusting(1), "v4.local.AAAA"), Err(TokenError::Malformed));
    assert_eq!(verify(&trusting(1), &no_footer), Err(TokenError::Malformed));
    assert_eq!(verify(&trusting(1), &long), Err(TokenError::TooLong(MAX_TOKEN + 1)));
    assert_eq!(verify(&trusting(1), &token(&json!([]), &footer())), Err(TokenError::Malformed));
    let listed = token(&to_json(&claims()).unwrap(), &json!({ "kid": 1 }));
    assert_eq!(verify(&trusting(1), &listed), Err(TokenError::Malformed));
}

#[test]
fn every_claim_is_needed_and_named_when_it_is_wrong() {
    for name in ["jti", "nbf", "exp", "aud", "session", "path", "epoch", "cnf"] {
        let whole = to_json(&claims()).unwrap();
        let mut missing = whole.clone();
        missing.as_object_mut().unwrap().remove(name);
        assert_eq!(verify(&trusting(1), &token(&missing, &footer())), Err(TokenError::Claim(name)));
        let mut wrong = whole;
        wrong[name] = json!(-1);
        assert_eq!(verify(&trusting(1), &token(&wrong, &footer())), Err(TokenError::Claim(name)));
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let table = [
        ("path", json!(65_536)),
        ("epoch", json!(4_294_967_296_u64)),
        ("session", json!("01")),
        ("jti", json!("zz".repeat(16))),
        ("exp", json!("yesterday")),
        ("nbf", json!("1969-12-31T23:59:59Z")),
        ("cnf", json!({ "paserk": "k4.public.AAAA" })),
    ];
    for (name, value) in table {
        let mut payload = to_json(&claims()).unwrap();
        payload[name] = value;
        assert_eq!(verify(&trusting(1), &token(&payload, &footer())), Err(TokenError::Claim(name)));
    }
}

#[test]
fn a_time_that_cannot_be_written_is_refused() {
    for seconds in [u64::MAX, 1 << 40] {
        let claims = Claims { expires: WallTime(seconds), ..claims() };
        assert_eq!(sign(&key(1), &claims), Err(TokenError::Time));
    }
}
