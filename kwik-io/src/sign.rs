//! Signatures outside TLS: a primary's orders, and a client's proof that an admission token is its own.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use bytes::Bytes;
use kwik_proto::frame::SignedOrders;
use zeroize::Zeroizing;

use crate::env::Env;
use crate::key::{IdentityKey, PublicKey, TrustedKeys, signature};

const ORDERS_CONTEXT: &[u8] = b"kwik/1 orders\0";
const ADMISSION_CONTEXT: &[u8] = b"kwik/1 admission\0";

/// Why signed orders are not the primary's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrdersError {
    /// Signed with a key that this secondary does not trust.
    #[error("orders are signed with {0:?}, which is not trusted")]
    UnknownKey(String),
    /// Signed with another key than the one that admitted the path.
    #[error("orders are signed with another key than the path's token")]
    OtherKey,
    /// The signature is not the key's, or the body was changed.
    #[error("the signature of the orders does not verify")]
    Signature,
}

/// Signs the body of orders (a serialised `Orders` message) as `control.proto` says.
///
/// ```
/// use kwik_io::env::Env;
/// use kwik_io::key::IdentityKey;
/// use kwik_io::sign::{sign_orders, verify_orders};
///
/// let key = IdentityKey::generate(&Env::system());
/// let orders = sign_orders(&key, b"body".as_slice().into());
/// assert_eq!(verify_orders(key.public(), &orders), Ok(()));
/// ```
pub fn sign_orders(key: &IdentityKey, body: Bytes) -> SignedOrders {
    let signature = key.sign(&[ORDERS_CONTEXT, &body].concat());
    SignedOrders { body, signature, key_id: key.public().id().as_str().to_owned() }
}

/// Checks orders against the key that signed the path's token. Only then is the body worth decoding.
///
/// # Errors
/// [`OrdersError`].
pub fn verify_orders(key: &PublicKey, orders: &SignedOrders) -> Result<(), OrdersError> {
    if orders.key_id != key.id().as_str() {
        return Err(OrdersError::OtherKey);
    }
    let message = [ORDERS_CONTEXT, &orders.body].concat();
    if key.verifies(&message, &orders.signature) { Ok(()) } else { Err(OrdersError::Signature) }
}

/// Checks orders against all keys that a secondary trusts, and says which one signed.
///
/// # Errors
/// [`OrdersError`].
pub fn verify_orders_by_any<'k>(
    keys: &'k TrustedKeys,
    orders: &SignedOrders,
) -> Result<&'k PublicKey, OrdersError> {
    let key =
        keys.find(&orders.key_id).ok_or_else(|| OrdersError::UnknownKey(orders.key_id.clone()))?;
    verify_orders(key, orders).map(|()| key)
}

/// A client's ephemeral Ed25519 key, one per session, that its admission tokens are bound to.
///
/// ```
/// use kwik_io::env::Env;
/// use kwik_io::sign::{ConfirmationKey, proof_verifies};
///
/// let key = ConfirmationKey::generate(&Env::system());
/// let exporter = [7; 32];
/// let proof = key.prove("v4.public.token", &exporter);
/// assert!(proof_verifies(&key.public(), "v4.public.token", &exporter, &proof));
/// ```
pub struct ConfirmationKey(Ed25519KeyPair);

impl ConfirmationKey {
    /// A new key from the entropy of `env`. It never leaves memory.
    pub fn generate(env: &Env) -> Self {
        let seed = Zeroizing::new(env.random::<32>());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice())
            .expect("32 bytes are an Ed25519 seed, whatever they are");
        Self(pair)
    }

    /// The public half, for the Hello to the primary.
    pub fn public(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes")
    }

    /// The proof for the Hello to a secondary, valid on the connection with this TLS exporter alone.
    pub fn prove(&self, token: &str, exporter: &[u8; 32]) -> [u8; 64] {
        signature(&self.0, &admission_message(token, exporter))
    }
}

impl std::fmt::Debug for ConfirmationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConfirmationKey")
    }
}

/// Whether `proof` was made with the key of `confirmation` for this token on this connection.
pub fn proof_verifies(
    confirmation: &[u8; 32],
    token: &str,
    exporter: &[u8; 32],
    proof: &[u8; 64],
) -> bool {
    PublicKey::new(*confirmation).verifies(&admission_message(token, exporter), proof)
}

fn admission_message(token: &str, exporter: &[u8; 32]) -> Vec<u8> {
    let hash = digest(&SHA256, token.as_bytes());
    [ADMISSION_CONTEXT, hash.as_ref(), exporter].concat()
}

#[cfg(test)]
mod tests;
