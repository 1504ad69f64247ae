//! What the files have that a server's settings name: certificate, keys, root.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use kwik_server::{IdentityKey, PublicKey, ServerCertificate};

use crate::cli::ServeArgs;
use crate::config::MAX_FAULTS;
use crate::private::{self, Links, Secret};
use crate::root::Root;
use crate::state::StateDir;

/// The longest certificate chain and the longest public key that are read, in bytes.
const MAX_PUBLIC: u64 = 1 << 20;

/// The keys of a server.
#[derive(Debug)]
pub(crate) struct Materials {
    pub(crate) certificate: ServerCertificate,
    pub(crate) identity: Option<IdentityKey>,
    pub(crate) trusted: Vec<PublicKey>,
}

/// What of them is no secret: whether they change shows in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The certificate chain, PEM.
    pub(crate) chain: String,
    pub(crate) identity: Option<PublicKey>,
    pub(crate) trusted: Vec<PublicKey>,
}

impl Materials {
    pub(crate) fn known(&self) -> Known {
        Known {
            chain: self.certificate.certificate_pem(),
            identity: self.identity.as_ref().map(|key| key.public().clone()),
            trusted: self.trusted.clone(),
        }
    }

    /// Reads them all. Blocks on the file system.
    pub(crate) fn read(args: &ServeArgs, state: &StateDir) -> anyhow::Result<Self> {
        let blame = |option| move |error| args.origins.blame(option, error);
        let certificate = match given_certificate(args).map_err(blame("cert"))? {
            Some(certificate) => certificate,
            None => kept_certificate(state)?,
        };
        let identity = identity(args).map_err(blame("identity"))?;
        let trusted = args.trust.iter().map(|path| trusted(path)).collect::<Result<_, _>>();
        Ok(Self { certificate, identity, trusted: trusted.map_err(blame("trust"))? })
    }
}

/// The files whose content a server goes by, for who watches them.
pub(crate) fn files(args: &ServeArgs) -> Vec<PathBuf> {
    let named = [&args.config, &args.cert, &args.key, &args.identity];
    named.into_iter().flatten().chain(&args.trust).cloned().collect()
}

/// Everything that is wrong with what the settings name, by option, without making anything. Blocks.
pub(crate) fn faults(args: &ServeArgs) -> Vec<(&'static str, anyhow::Error)> {
    let blame = |option| move |error| (option, args.origins.blame(option, error));
    let root = Root::open(&args.root).map(drop).map_err(blame("root"));
    let state = match &args.state {
        Some(path) if path.exists() => private::check_directory(path).map_err(blame("state")),
        _ => Ok(()),
    };
    let certificate = given_certificate(args).map(drop).map_err(blame("cert"));
    let identity = identity(args).map(drop).map_err(blame("identity"));
    let trust = args.trust.iter().map(|path| trusted(path).map(drop).map_err(blame("trust")));
    let all = [root, state, certificate, identity].into_iter().chain(trust);
    all.filter_map(Result::err).take(MAX_FAULTS).collect()
}

/// The certificate that the settings name; `None`: they name none.
fn given_certificate(args: &ServeArgs) -> anyhow::Result<Option<ServerCertificate>> {
    let (Some(cert), Some(key)) = (&args.cert, &args.key) else { return Ok(None) };
    let chain = private::read_named(cert, MAX_PUBLIC)
        .with_context(|| format!("cannot read {}", cert.display()))?;
    let secret = private::read_key(key, Links::Followed)?;
    let certificate = ServerCertificate::from_pem(&chain, &secret).with_context(|| {
        format!("{} and {} are no certificate with its key", cert.display(), key.display())
    })?;
    Ok(Some(certificate))
}

/// The self-signed one of the state directory, made at the first time.
fn kept_certificate(state: &StateDir) -> anyhow::Result<ServerCertificate> {
    let pem = state.certificate(|| {
        let made = ServerCertificate::self_signed(["localhost"])?;
        let key = Secret::from(made.key_pem());
        Ok((made.certificate_pem() + &key).into())
    })?;
    ServerCertificate::from_pem(&pem, &pem)
        .with_context(|| format!("{}/server.pem; remove it", state.path().display()))
}

fn identity(args: &ServeArgs) -> anyhow::Result<Option<IdentityKey>> {
    let Some(path) = &args.identity else { return Ok(None) };
    let line = private::read_key(path, Links::Followed)?;
    let key = line.trim().parse().with_context(|| format!("cannot use {}", path.display()))?;
    Ok(Some(key))
}

fn trusted(path: &Path) -> anyhow::Result<PublicKey> {
    let text = private::read_named(path, MAX_PUBLIC)
        .with_context(|| format!("cannot read {}", path.display()))?;
    match text.trim().parse() {
        Ok(key) => Ok(key),
        Err(error) => bail!("{} is no public key of a primary: {error}", path.display()),
    }
}
