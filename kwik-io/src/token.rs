//! Admission tokens: PASETO v4.public, signed by a primary, shown to a secondary by the client.
//!
//! The payload is a JSON object: `jti` (32 hexadecimal digits), `nbf` and `exp` (RFC 3339), `aud` (a pin, or a name),
//! `session` (32 hexadecimal digits), `path`, `epoch`, and `cnf` with the client's key as `paserk`. The footer names
//! the signing key as `kid`.

use kwik_core::admission::{Claims, TokenId};
use kwik_core::time::WallTime;
use kwik_proto::control::limits::MAX_TOKEN;
use kwik_proto::frame::ServerIdentity;
use kwik_proto::{Epoch, PathId, SessionId};
use pasetors::Public;
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::key::{IdentityKey, PublicKey, TrustedKeys};
use crate::tls::Pin;

/// Why a token cannot be made, or proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// A time beyond the year 9999 cannot be written.
    #[error("a token's time lies beyond the year 9999")]
    Time,
    /// Longer than [`MAX_TOKEN`].
    #[error("the token has {0} bytes, more than 4096")]
    TooLong(usize),
    /// No PASETO v4.public token, or a footer without `kid`.
    #[error("this is no PASETO v4.public token with the key's id in its footer")]
    Malformed,
    /// Signed with a key that is not trusted.
    #[error("the token is signed with {0:?}, which is not trusted")]
    UnknownKey(String),
    /// The signature is not the key's, or the token was changed.
    #[error("the token's signature does not verify")]
    Signature,
    /// Well signed, but this claim is missing or has no sense.
    #[error("the token's claim {0:?} is missing or wrong")]
    Claim(&'static str),
}

/// Signs `claims`.
///
/// # Errors
/// [`TokenError::Time`].
///
/// ```
/// use kwik_core::admission::{Claims, TokenId};
/// use kwik_core::time::WallTime;
/// use kwik_io::env::Env;
/// use kwik_io::key::{IdentityKey, TrustedKeys};
/// use kwik_io::token;
/// use kwik_proto::frame::ServerIdentity;
/// use kwik_proto::{Epoch, PathId, SessionId};
///
/// let claims = Claims {
///     session: SessionId([1; 16]),
///     path: PathId::new(1),
///     epoch: Epoch::FIRST,
///     audience: ServerIdentity::Pin([7; 32]),
///     not_before: WallTime(1_000),
///     expires: WallTime(1_060),
///     confirmation_key: [9; 32],
///     token_id: TokenId([2; 16]),
/// };
/// let key = IdentityKey::generate(&Env::system());
/// let token = token::sign(&key, &claims)?;
/// let trusted = TrustedKeys::from_iter([key.public().clone()]);
/// let verified = token::verify(&trusted, &token)?;
/// assert_eq!(verified.claims, claims);
/// assert_eq!(verified.signer, *key.public());
/// # Ok::<(), token::TokenError>(())
/// ```
pub fn sign(key: &IdentityKey, claims: &Claims) -> Result<String, TokenError> {
    let payload = to_json(claims)?.to_string();
    let footer = json!({ "kid": key.public().id().as_str() }).to_string();
    let signed = PublicToken::sign(key.secret(), payload.as_bytes(), Some(footer.as_bytes()), None);
    Ok(signed.expect("the key is whole and the payload is not empty"))
}

/// A token whose signature holds. Whether its claims admit is judged by [`kwik_core::admission::judge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What the token says.
    pub claims: Claims,
    /// Who signed it. The path's orders must be signed with the same key.
    pub signer: PublicKey,
}

/// Checks that one of `keys` signed `token`, and reads its claims.
///
/// # Errors
/// [`TokenError`].
pub fn verify(keys: &TrustedKeys, token: &str) -> Result<Verified, TokenError> {
    if token.len() > MAX_TOKEN {
        return Err(TokenError::TooLong(token.len()));
    }
    let untrusted =
        UntrustedToken::<Public, V4>::try_from(token).map_err(|_| TokenError::Malformed)?;
    let kid = key_id(untrusted.untrusted_footer()).ok_or(TokenError::Malformed)?;
    let signer = keys.find(&kid).ok_or(TokenError::UnknownKey(kid))?;
    let trusted = PublicToken::verify(&signer.pasetors(), &untrusted, None, None)
        .map_err(|_| TokenError::Signature)?;
    let payload: Map<String, Value> =
        serde_json::from_str(trusted.payload()).map_err(|_| TokenError::Malformed)?;
    Ok(Verified { claims: from_json(&payload)?, signer: signer.clone() })
}

fn key_id(footer: &[u8]) -> Option<String> {
    let footer: Map<String, Value> = serde_json::from_slice(footer).ok()?;
    footer.get("kid")?.as_str().map(str::to_owned)
}

fn to_json(claims: &Claims) -> Result<Value, TokenError> {
    let audience = match &claims.audience {
        ServerIdentity::Pin(pin) => Pin(*pin).to_string(),
        ServerIdentity::Name(name) => name.clone(),
    };
    Ok(json!({
        "jti": hex(&claims.token_id.0),
        "nbf": to_rfc3339(claims.not_before)?,
        "exp": to_rfc3339(claims.expires)?,
        "aud": audience,
        "session": hex(&claims.session.0),
        "path": claims.path.value(),
        "epoch": claims.epoch.0,
        "cnf": { "paserk": PublicKey::new(claims.confirmation_key).to_string() },
    }))
}

fn from_json(payload: &Map<String, Value>) -> Result<Claims, TokenError> {
    let text = |name| payload.get(name).and_then(Value::as_str).ok_or(TokenError::Claim(name));
    let number = |name| payload.get(name).and_then(Value::as_u64).ok_or(TokenError::Claim(name));
    let bytes = |name| from_hex(text(name)?).ok_or(TokenError::Claim(name));
    let time = |name| from_rfc3339(text(name)?).ok_or(TokenError::Claim(name));
    let path = u16::try_from(number("path")?).map_err(|_| TokenError::Claim("path"))?;
    let epoch = u32::try_from(number("epoch")?).map_err(|_| TokenError::Claim("epoch"))?;
    Ok(Claims {
        session: SessionId(bytes("session")?),
        path: PathId::new(path),
        epoch: Epoch(epoch),
        audience: audience(text("aud")?),
        not_before: time("nbf")?,
        expires: time("exp")?,
        confirmation_key: confirmation_key(payload).ok_or(TokenError::Claim("cnf"))?,
        token_id: TokenId(bytes("jti")?),
    })
}

/// No DNS name and no address begins with `sha256:` and 64 digits.
fn audience(text: &str) -> ServerIdentity {
    match text.parse::<Pin>() {
        Ok(pin) => ServerIdentity::Pin(pin.0),
        Err(_) => ServerIdentity::Name(text.to_owned()),
    }
}

fn confirmation_key(payload: &Map<String, Value>) -> Option<[u8; 32]> {
    let key: PublicKey = payload.get("cnf")?.get("paserk")?.as_str()?.parse().ok()?;
    Some(*key.bytes())
}

fn to_rfc3339(time: WallTime) -> Result<String, TokenError> {
    let seconds = i64::try_from(time.0).map_err(|_| TokenError::Time)?;
    let date = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| TokenError::Time)?;
    date.format(&Rfc3339).map_err(|_| TokenError::Time)
}

fn from_rfc3339(text: &str) -> Option<WallTime> {
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(date.unix_timestamp()).ok().map(WallTime)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
