//! Tags on disk, so that a file is hashed once and not at every start.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::private;
use crate::root::FileKey;
use crate::tag::Tag;

#[cfg(test)]
mod tests;

/// Number of files that the store may have. A file's slot follows from its device and inode; of two files that share
/// one, the later displaces the earlier, which is then hashed again. At one block each, 64 MiB.
const SLOTS: u32 = 1 << 14;
/// Longest entry that is read, in bytes.
const MAX_ENTRY: u64 = 512;
const VERSION: &str = "v1";

/// A directory with one small file per tag.
///
/// Entries are written beside and renamed, so that servers may share the directory. An entry that does not read back
/// in full, or belongs to another state of the file, counts as absent.
#[derive(Clone, Debug)]
pub(crate) struct TagStore {
    dir: PathBuf,
}

impl TagStore {
    /// The store in `state`, made if need be.
    pub(crate) fn open(state: &Path) -> anyhow::Result<Self> {
        let dir = state.join("tags");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("cannot make {}; choose another --state", dir.display()))?;
        private::check_directory(&dir)?;
        Ok(Self { dir })
    }

    /// The tag of the file in the state that `key` describes. Blocks.
    pub(crate) fn load(&self, key: FileKey) -> Option<Tag> {
        let entry = private::read_own(&self.slot(key), MAX_ENTRY).ok()?;
        let hex = entry.strip_prefix(&describe(key))?.strip_suffix('\n')?;
        Tag::from_hex(hex)
    }

    /// Keeps the tag. Blocks; a failure costs another hashing, nothing else.
    pub(crate) fn save(&self, key: FileKey, tag: Tag) -> io::Result<()> {
        let mut entry = tempfile::NamedTempFile::new_in(&self.dir)?;
        writeln!(entry, "{}{tag}", describe(key))?;
        entry.persist(self.slot(key))?;
        Ok(())
    }

    fn slot(&self, key: FileKey) -> PathBuf {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&key.device.to_le_bytes()).update(&key.inode.to_le_bytes());
        let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
        self.dir.join(format!("{:04x}", u32::from_le_bytes([a, b, c, d]) % SLOTS))
    }
}

fn describe(key: FileKey) -> String {
    let FileKey { device, inode, size, modified, changed } = key;
    format!(
        "{VERSION} {device} {inode} {size} {}.{:09} {}.{:09} ",
        modified.0, modified.1, changed.0, changed.1
    )
}
