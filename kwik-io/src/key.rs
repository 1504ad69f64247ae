//! Identity keys of primaries, and the files they live in.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::version4::V4;
use zeroize::Zeroizing;

use crate::env::Env;

/// A primary's Ed25519 key: signs tokens and orders. Written as the PASERK line `k4.secret.`.
///
/// It is wiped from memory when it is dropped, and `Debug` shows the public half's id alone.
///
/// ```
/// use kwik_io::env::Env;
/// use kwik_io::key::IdentityKey;
///
/// let key = IdentityKey::generate(&Env::system());
/// let line = key.to_paserk();
/// assert!(line.starts_with("k4.secret."));
/// assert_eq!(line.parse::<IdentityKey>()?.public(), key.public());
/// # Ok::<(), kwik_io::key::KeyError>(())
/// ```
pub struct IdentityKey {
    pair: Ed25519KeyPair,
    secret: AsymmetricSecretKey<V4>,
    public: PublicKey,
}

/// The public half of an [`IdentityKey`], which secondaries hold. Written as the PASERK line `k4.public.`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

/// Names a public key in tokens and orders: its PASERK id, `k4.pid.` and 44 characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

/// Why a key cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not the PASERK line of a secret key.
    #[error("no secret key: a line that begins with \"k4.secret.\" is needed")]
    Secret,
    /// Not the PASERK line of a public key.
    #[error("no public key: a line that begins with \"k4.public.\" is needed")]
    Public,
    /// A secret key where a public one belongs.
    #[error("this is a secret key; the public one (\"k4.public.\") is needed here")]
    SecretForPublic,
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file could not be read or written.
    #[error("{}: {error}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file exists, and a key is never overwritten.
    #[error("{} exists, and a key is never overwritten", .path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Others than the owner may read a secret key.
    #[error("{} may be read by others than its owner; run chmod 600 on it", .path.display())]
    Readable {
        /// Which file.
        path: PathBuf,
    },
    /// The file holds no such key.
    #[error("{}: {error}", .path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        error: KeyError,
    },
}

impl IdentityKey {
    /// A new key from the entropy of `env`.
    pub fn generate(env: &Env) -> Self {
        Self::from_seed(&Zeroizing::new(env.random::<32>()))
            .expect("32 bytes are an Ed25519 seed, whatever they are")
    }

    fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public: [u8; 32] = pair.public_key().as_ref().try_into().ok()?;
        let halves = Zeroizing::new([*seed, public].concat());
        let secret = AsymmetricSecretKey::from(&halves).ok()?;
        Some(Self { pair, secret, public: PublicKey(public) })
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The key as a `k4.secret.` line, without a line end. Whoever reads it can act as this primary.
    pub fn to_paserk(&self) -> String {
        paserk(&self.secret)
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyFileError`]; also when others than the owner may read the file.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        refuse_readable(path)?;
        let text = Zeroizing::new(read(path)?);
        text.trim().parse().map_err(|error| KeyFileError::Key { path: path.to_owned(), error })
    }

    /// Writes the secret key to a new file of mode 0600.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] when there is such a file; it is left as it is.
    pub fn save_new(&self, path: &Path) -> Result<(), KeyFileError> {
        write_new(path, &Zeroizing::new(self.to_paserk()), Access::Owner)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        signature(&self.pair, message)
    }

    pub(crate) fn secret(&self) -> &AsymmetricSecretKey<V4> {
        &self.secret
    }
}

/// How the line of a key of zeros begins: pasetors panics at it.
const ZERO_SEED: &str = "k4.secret.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl FromStr for IdentityKey {
    type Err = KeyError;

    fn from_str(line: &str) -> Result<Self, KeyError> {
        if line.starts_with(ZERO_SEED) {
            return Err(KeyError::Secret);
        }
        let secret = AsymmetricSecretKey::<V4>::try_from(line).map_err(|_| KeyError::Secret)?;
        let seed = secret.as_bytes().first_chunk().ok_or(KeyError::Secret)?;
        Self::from_seed(seed).ok_or(KeyError::Secret)
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IdentityKey").field(&self.public.id()).finish()
    }
}

impl PublicKey {
    /// The key with these 32 bytes (RFC 8032, 5.1.5).
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        KeyId(paserk(&Id::from(&self.pasetors())))
    }

    /// Reads a public key file.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let text = read(path)?;
        text.trim().parse().map_err(|error| KeyFileError::Key { path: path.to_owned(), error })
    }

    /// Writes the public key to a new file.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] when there is such a file; it is left as it is.
    pub fn save_new(&self, path: &Path) -> Result<(), KeyFileError> {
        write_new(path, &self.to_string(), Access::Everyone)
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }

    pub(crate) fn pasetors(&self) -> AsymmetricPublicKey<V4> {
        AsymmetricPublicKey::from(&self.0).expect("a public key has 32 bytes")
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&paserk(&self.pasetors()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(line: &str) -> Result<Self, KeyError> {
        if line.starts_with("k4.secret.") {
            return Err(KeyError::SecretForPublic);
        }
        let key = AsymmetricPublicKey::<V4>::try_from(line).map_err(|_| KeyError::Public)?;
        key.as_bytes().try_into().map(Self).map_err(|_| KeyError::Public)
    }
}

impl KeyId {
    /// The text, as it stands in a token's footer and in signed orders.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The primaries that a secondary trusts, by key id. As many as its operator names.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys(BTreeMap<String, PublicKey>);

impl TrustedKeys {
    /// The key with that id; `None` if it is not trusted.
    pub fn find(&self, id: &str) -> Option<&PublicKey> {
        self.0.get(id)
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<PublicKey> for TrustedKeys {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.id().0, key)).collect())
    }
}

pub(crate) fn signature(pair: &Ed25519KeyPair, message: &[u8]) -> [u8; 64] {
    pair.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
}

fn paserk(key: &impl FormatAsPaserk) -> String {
    let mut line = String::new();
    key.fmt(&mut line).expect("writing to a string never fails");
    line
}

/// Who may read a new file.
#[derive(Clone, Copy)]
enum Access {
    Owner,
    Everyone,
}

fn read(path: &Path) -> Result<String, KeyFileError> {
    std::fs::read_to_string(path).map_err(|error| io_error(path, error))
}

/// Creates the file, or fails if there is one: two runs at once cannot overwrite each other's key either.
fn write_new(path: &Path, line: &str, access: Access) -> Result<(), KeyFileError> {
    let mut file = create_new(path, access).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_owned() },
        _ => io_error(path, error),
    })?;
    file.write_all(line.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .map_err(|error| io_error(path, error))
}

fn io_error(path: &Path, error: io::Error) -> KeyFileError {
    KeyFileError::Io { path: path.to_owned(), error }
}

#[cfg(unix)]
fn create_new(path: &Path, access: Access) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mode = match access {
        Access::Owner => 0o600,
        Access::Everyone => 0o644,
    };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

#[cfg(not(unix))]
fn create_new(path: &Path, _access: Access) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(unix)]
fn refuse_readable(path: &Path) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(|error| io_error(path, error))?;
    if !metadata.is_file() {
        // Reading a named pipe waits for its writer, for ever.
        return Err(io_error(path, io::Error::other("no regular file")));
    }
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(KeyFileError::Readable { path: path.to_owned() })
}

#[cfg(not(unix))]
fn refuse_readable(_path: &Path) -> Result<(), KeyFileError> {
    Ok(())
}

#[cfg(test)]
mod tests;
