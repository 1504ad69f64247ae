//! Files and directories that nobody else may read or change.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::ops::Deref;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// Longest key file that is read, in bytes: certificate chains and keys have some kilobytes.
const MAX_KEY: u64 = 1 << 20;
/// Room that a text has beyond its length: without it the read that finds the end of the file makes the text grow.
const PROBE: usize = 64;

/// Whether the last name of a path may be a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// The user named it: `/etc/letsencrypt/live` has nothing but links.
    Followed,
    /// The program made it.
    Refused,
}

/// Text with a private key: wiped from memory when it is dropped, and not shown by `Debug`.
pub(crate) struct Secret(Zeroizing<String>);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The text of a file with a private key: a regular file of this user's or root's, which nobody else may read or change.
pub(crate) fn read_key(path: &Path, links: Links) -> anyhow::Result<Secret> {
    let problem = || format!("cannot read {}", path.display());
    let file = open(path, links).with_context(problem)?;
    let metadata = file.metadata().with_context(problem)?;
    let name = path.display();
    ensure!(metadata.is_file(), "{name} is no regular file; a private key is read from one only");
    ensure!(is_ours(&metadata), "{name} belongs to another user; run chown {} {name}", user());
    ensure!(
        metadata.mode() & 0o077 == 0,
        "{name} has a private key that others may read or change; run chmod 600 {name}"
    );
    Ok(text(&file, MAX_KEY).with_context(problem)?.into())
}

/// The text of a regular file that the program made, of at most `most` bytes.
pub(crate) fn read_own(path: &Path, most: u64) -> io::Result<String> {
    let file = open(path, Links::Refused)?;
    match file.metadata()?.is_file() {
        true => text(&file, most),
        false => Err(io::Error::other("no regular file")),
    }
}

/// The text of a regular file that the user named, of at most `most` bytes.
pub(crate) fn read_named(path: &Path, most: u64) -> io::Result<String> {
    let file = open(path, Links::Followed)?;
    match file.metadata()?.is_file() {
        true => text(&file, most),
        false => Err(io::Error::other("it is no regular file")),
    }
}

/// The hash of a regular file that the user named, which may be a key: its first `most` bytes, wiped from memory.
pub(crate) fn fingerprint(path: &Path, most: u64) -> io::Result<blake3::Hash> {
    let file = open(path, Links::Followed)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let (mut file, mut hasher) = (file.take(most), blake3::Hasher::new());
    let mut buffer = Zeroizing::new([0; 4096]);
    loop {
        match file.read(buffer.as_mut_slice())? {
            0 => return Ok(hasher.finalize()),
            length => hasher.update(&buffer[..length]),
        };
    }
}

/// Fails unless `path` is a directory of this user's or root's in which nobody else may make or replace files.
pub(crate) fn check_directory(path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    let metadata = std::fs::metadata(path).with_context(|| format!("cannot use {name}"))?;
    let advice = "or choose another directory with --state";
    if !metadata.is_dir() {
        bail!("{name} is no directory; choose another with --state");
    }
    ensure!(
        is_ours(&metadata),
        "{name} belongs to another user; run chown {} {name}, {advice}",
        user()
    );
    ensure!(
        metadata.mode() & 0o022 == 0,
        "others may write to {name}; run chmod go-w {name}, {advice}"
    );
    Ok(())
}

/// Opens without waiting: a named pipe that nobody writes to would hang the program for ever.
fn open(path: &Path, links: Links) -> io::Result<File> {
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if links == Links::Refused {
        flags |= OFlags::NOFOLLOW;
    }
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

fn text(file: &File, most: u64) -> io::Result<String> {
    // In one piece: a text that grows leaves copies behind.
    let length = usize::try_from(file.metadata()?.len().min(most)).unwrap_or_default();
    let mut text = String::with_capacity(length + PROBE);
    file.take(most + 1).read_to_string(&mut text)?;
    match text.len() as u64 <= most {
        true => Ok(text),
        false => Err(io::Error::other(format!("more than {most} bytes"))),
    }
}

fn is_ours(metadata: &Metadata) -> bool {
    [user(), 0].contains(&metadata.uid())
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}
