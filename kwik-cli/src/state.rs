//! The directory for what a server keeps between runs.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::private::{self, Links, Secret};

#[cfg(test)]
mod tests;

/// Certificate and key in one file, so that they cannot come apart.
pub(crate) const CERTIFICATE: &str = "server.pem";

/// A directory with a self-signed certificate and the tags of files.
///
/// Several servers may share it: they then have one key, and one pin.
#[derive(Clone, Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Opens `path`, or the user's state directory; makes it if need be.
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let path = path_of(path)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).with_context(|| {
            format!("cannot make {}; choose another directory with --state", path.display())
        })?;
        private::check_directory(&path)?;
        Ok(Self { path })
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The kept certificate and key as PEM text; at the first time, what `make` makes.
    pub(crate) fn certificate(
        &self,
        make: impl FnOnce() -> anyhow::Result<Secret>,
    ) -> anyhow::Result<Secret> {
        let path = self.path.join(CERTIFICATE);
        let problem = || format!("cannot use {}; choose another --state", path.display());
        if let Some(pem) = read_secret(&path).with_context(problem)? {
            return Ok(pem);
        }
        keep_new(&path, &make()?).with_context(problem)?;
        // What is there now may be another server's, started at the same moment.
        read_secret(&path).with_context(problem)?.with_context(problem)
    }
}

/// `path`, or the user's state directory.
pub(crate) fn path_of(path: Option<&Path>) -> anyhow::Result<PathBuf> {
    match path {
        Some(path) => Ok(path.to_owned()),
        None => default_path(|name| env::var_os(name).map(PathBuf::from)),
    }
}

/// `$XDG_STATE_HOME/kwik`, or where that is when it is not set.
fn default_path(variable: impl Fn(&str) -> Option<PathBuf>) -> anyhow::Result<PathBuf> {
    // The XDG specification has relative paths ignored.
    if let Some(state) = variable("XDG_STATE_HOME").filter(|path| path.is_absolute()) {
        return Ok(state.join("kwik"));
    }
    match variable("HOME").filter(|path| path.is_absolute()) {
        Some(home) => Ok(home.join(".local/state/kwik")),
        None => bail!("neither XDG_STATE_HOME nor HOME is set; name a directory with --state"),
    }
}

/// The text of a file that nobody else may read; `None` if there is none.
fn read_secret(path: &Path) -> anyhow::Result<Option<Secret>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => private::read_key(path, Links::Refused).map(Some),
    }
}

/// Writes a file of mode 0600 that appears complete or not at all; keeps one that is there.
fn keep_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let dir = path.parent().context("the file is in a directory")?;
    let mut file =
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o600)).tempfile_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error)?,
        _ => Ok(()),
    }
}
