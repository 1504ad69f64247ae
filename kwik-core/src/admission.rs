//! Who may attach to a secondary: the claims of a token whose signature was verified, judged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use kwik_proto::frame::{ErrorCode, ServerIdentity};
use kwik_proto::{Epoch, PathId, SessionId};

use crate::time::WallTime;

/// Longest life of a token: 60 s. It is used within one dial; longer, and a stolen one is worth more.
pub const LIFETIME: Duration = Duration::from_secs(60);
/// How far the clocks of primary and secondary may differ: 60 s. Less, and servers without good clocks refuse
/// everybody; more, and every token lives that much longer.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// A token's own number, 16 random bytes from its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(pub [u8; 16]);

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The session.
    pub session: SessionId,
    /// The path in the session.
    pub path: PathId,
    /// Which try at the path.
    pub epoch: Epoch,
    /// The secondary: its pin, or its name where clients verify by CA.
    pub audience: ServerIdentity,
    /// First second in which the token counts.
    pub not_before: WallTime,
    /// Second in which it expires.
    pub expires: WallTime,
    /// Ed25519 public key of the client, whose private half proves that the token was not stolen.
    pub confirmation_key: [u8; 32],
    /// The token's number.
    pub token_id: TokenId,
}

/// What a secondary knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Pins of its certificates, the old one too while they are being changed.
    pub pins: Vec<[u8; 32]>,
    /// Names and IP literals that it answers to.
    pub names: Vec<String>,
}

/// Why nobody may attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// No token.
    #[error("no token")]
    Missing,
    /// Malformed, not signed by a trusted primary, or with claims that no primary makes.
    #[error("the token is invalid")]
    Invalid,
    /// Expired.
    #[error("the token expired {seconds} s ago")]
    Expired {
        /// Seconds since then.
        seconds: u64,
    },
    /// Not valid yet: a clock is wrong.
    #[error("the token is valid in {seconds} s")]
    NotYet {
        /// Seconds until then.
        seconds: u64,
    },
    /// For another server.
    #[error("the token is for another server")]
    Audience,
    /// Without the proof that the sender owns it.
    #[error("the sender does not prove that the token is its own")]
    Proof,
    /// Used before.
    #[error("the token was used before")]
    Replayed,
    /// Too many tokens are remembered.
    #[error("too many admissions in too short a time")]
    Busy,
}

impl AdmissionError {
    /// What Refuse says.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Missing => ErrorCode::TokenMissing,
            Self::Invalid => ErrorCode::TokenInvalid,
            Self::Expired { .. } | Self::NotYet { .. } => ErrorCode::TokenExpired,
            Self::Audience => ErrorCode::TokenAudience,
            Self::Proof => ErrorCode::TokenProof,
            Self::Replayed => ErrorCode::TokenReplayed,
            Self::Busy => ErrorCode::Busy,
        }
    }

    /// When a new try may succeed, for Refuse: `None` for good.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy => Some(Duration::from_secs(1)),
            Self::Missing
            | Self::Invalid
            | Self::Expired { .. }
            | Self::NotYet { .. }
            | Self::Audience
            | Self::Proof
            | Self::Replayed => None,
        }
    }
}

/// Whether claims admit to this server now. Signature and proof are verified elsewhere, replays by [`ReplayCache`].
///
/// ```
/// use kwik_core::admission::{AdmissionError, Claims, Expectation, TokenId, judge};
/// use kwik_core::time::WallTime;
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
/// let own = Expectation { pins: vec![[7; 32]], names: vec![] };
/// assert_eq!(judge(&claims, &own, WallTime(1_120)), Ok(()));
/// assert!(judge(&claims, &own, WallTime(1_121)).is_err());
/// ```
pub fn judge(claims: &Claims, own: &Expectation, now: WallTime) -> Result<(), AdmissionError> {
    let lifetime = claims.expires.0.checked_sub(claims.not_before.0);
    let sound = !claims.path.is_primary() && claims.epoch.0 > 0;
    if !sound || lifetime.is_none_or(|seconds| seconds > LIFETIME.as_secs()) {
        return Err(AdmissionError::Invalid);
    }
    if !own.is_audience(&claims.audience) {
        return Err(AdmissionError::Audience);
    }
    let leeway = LEEWAY.as_secs();
    if now.0 > claims.expires.0.saturating_add(leeway) {
        return Err(AdmissionError::Expired { seconds: now.0 - claims.expires.0 });
    }
    if now.0.saturating_add(leeway) < claims.not_before.0 {
        return Err(AdmissionError::NotYet { seconds: claims.not_before.0 - now.0 });
    }
    Ok(())
}

impl Expectation {
    fn is_audience(&self, audience: &ServerIdentity) -> bool {
        match audience {
            ServerIdentity::Pin(pin) => self.pins.contains(pin),
            ServerIdentity::Name(name) => self.names.iter().any(|own| is_same_name(own, name)),
        }
    }
}

/// DNS names are compared without regard to case (RFC 4343), IP literals by the address they mean.
fn is_same_name(one: &str, other: &str) -> bool {
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one.to_canonical() == other.to_canonical(),
        (Err(_), Err(_)) => !one.is_empty() && one.eq_ignore_ascii_case(other),
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}

/// The tokens that were used, until they expire. The second line behind the proof of ownership.
///
/// When it is full, who comes next pays: nobody is admitted until a token has expired. Only trusted primaries can
/// fill it, within the two minutes that a token lives at most.
///
/// ```
/// use kwik_core::admission::{AdmissionError, ReplayCache, TokenId};
/// use kwik_core::time::WallTime;
///
/// let mut cache = ReplayCache::new(1_000);
/// let (token, expires, now) = (TokenId([1; 16]), WallTime(1_060), WallTime(1_010));
/// assert_eq!(cache.admit(token, expires, now), Ok(()));
/// assert_eq!(cache.admit(token, expires, now), Err(AdmissionError::Replayed));
/// ```
#[derive(Clone, Debug)]
pub struct ReplayCache {
    capacity: usize,
    seen: BTreeMap<TokenId, WallTime>,
    by_expiry: BTreeSet<(WallTime, TokenId)>,
    /// Tokens that expired before this may have been seen and forgotten. Guards against a clock that is set back.
    forgotten: WallTime,
}

impl ReplayCache {
    /// Tokens remembered by default: 65,536, about 8 MiB: over 500 admissions a second for as long as a token lives.
    pub const CAPACITY: usize = 65_536;

    /// Remembers up to `capacity` tokens.
    pub const fn new(capacity: usize) -> Self {
        Self { capacity, seen: BTreeMap::new(), by_expiry: BTreeSet::new(), forgotten: WallTime(0) }
    }

    /// Takes note of a token that was judged and proven; fails if it was used before.
    pub fn admit(
        &mut self,
        token: TokenId,
        expires: WallTime,
        now: WallTime,
    ) -> Result<(), AdmissionError> {
        self.forget_expired(now);
        if self.seen.contains_key(&token) {
            return Err(AdmissionError::Replayed);
        }
        if expires < self.forgotten {
            return Err(AdmissionError::Expired { seconds: self.forgotten.0 - expires.0 });
        }
        if self.seen.len() >= self.capacity {
            return Err(AdmissionError::Busy);
        }
        self.seen.insert(token, expires);
        self.by_expiry.insert((expires, token));
        Ok(())
    }

    /// Tokens remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    fn forget_expired(&mut self, now: WallTime) {
        let limit = WallTime(now.0.saturating_sub(LEEWAY.as_secs()));
        while let Some(&(expires, token)) = self.by_expiry.first() {
            if expires >= limit {
                break;
            }
            self.by_expiry.pop_first();
            self.seen.remove(&token);
            self.forgotten = self.forgotten.max(limit);
        }
    }
}

impl Default for ReplayCache {
    fn default() -> Self {
        Self::new(Self::CAPACITY)
    }
}

#[cfg(test)]
mod tests;
