#![allow(clippy::unwrap_used)]

use super::*;
use kwik_core::time::WallTime;

fn key(seed: u64) -> IdentityKey {
    IdentityKey::generate(&Env::seeded(seed, WallTime(0)))
}

fn orders() -> SignedOrders {
    sign_orders(&key(1), Bytes::from_static(b"body"))
}

#[test]
fn orders_are_signed_over_context_and_body() {
    let message = b"kwik/1 orders\0body";
    assert!(key(1).public().verifies(message, &orders().signature));
}

#[test]
fn orders_of_the_paths_primary_verify() {
    assert_eq!(verify_orders(key(1).public(), &orders()), Ok(()));
}

#[test]
fn a_changed_body_is_refused() {
    let mut orders = orders();
    orders.body = Bytes::from_static(b"bodies");
    assert_eq!(verify_orders(key(1).public(), &orders), Err(OrdersError::Signature));
}

#[test]
fn orders_of_another_primary_are_refused() {
    assert_eq!(verify_orders(key(2).public(), &orders()), Err(OrdersError::OtherKey));
    let mut forged = orders();
    forged.key_id = key(2).public().id().as_str().to_owned();
    assert_eq!(verify_orders(key(2).public(), &forged), Err(OrdersError::Signature));
}

#[test]
fn the_signer_is_found_among_the_trusted() {
    let keys = TrustedKeys::from_iter([key(1).public().clone(), key(2).public().clone()]);
    assert_eq!(verify_orders_by_any(&keys, &orders()), Ok(key(1).public()));
    let keys = TrustedKeys::from_iter([key(2).public().clone()]);
    let unknown = OrdersError::UnknownKey(orders().key_id);
    assert_eq!(verify_orders_by_any(&keys, &orders()), Err(unknown));
}

#[test]
fn a_proof_is_signed_over_context_token_and_exporter() {
    let confirmation = ConfirmationKey::generate(&Env::seeded(1, WallTime(0)));
    let proof = confirmation.prove("token", &[7; 32]);
    let hash = digest(&SHA256, b"token");
    let message = [b"kwik/1 admission\0".as_slice(), hash.as_ref(), &[7; 32]].concat();
    assert!(PublicKey::new(confirmation.public()).verifies(&message, &proof));
}

#[test]
fn a_proof_holds_for_one_key_token_and_connection() {
    let confirmation = ConfirmationKey::generate(&Env::seeded(1, WallTime(0)));
    let other = ConfirmationKey::generate(&Env::seeded(2, WallTime(0)));
    let proof = confirmation.prove("token", &[7; 32]);
    assert!(proof_verifies(&confirmation.public(), "token", &[7; 32], &proof));
    assert!(!proof_verifies(&other.public(), "token", &[7; 32], &proof));
    assert!(!proof_verifies(&confirmation.public(), "taken", &[7; 32], &proof));
    assert!(!proof_verifies(&confirmation.public(), "token", &[8; 32], &proof));
}

#[test]
fn a_key_that_is_no_point_verifies_nothing() {
    assert!(!proof_verifies(&[0xff; 32], "token", &[7; 32], &[0; 64]));
}

#[test]
fn the_debug_text_keeps_the_confirmation_key_secret() {
    let confirmation = ConfirmationKey::generate(&Env::seeded(1, WallTime(0)));
    assert_eq!(format!("{confirmation:?}"), "ConfirmationKey");
}
