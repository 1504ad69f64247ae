//! The name of a file's content.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::open_files::ServedFile;
use crate::root::FileKey;

/// Bytes that are read at once while hashing.
const CHUNK: usize = 1 << 20;
/// A file that changed less than this ago may change again without a new change time: Linux moves file times with
/// its tick, every 1 to 10 ms.
const CLOCK_GRAIN: Duration = Duration::from_millis(20);

/// BLAKE3 of a file's content.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tag(pub(crate) [u8; 32]);

impl Tag {
    /// The tag in 64 hex digits.
    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        if hex.len() != 64 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// A file that is being hashed, slice by slice.
#[derive(Debug)]
pub(crate) struct Tagging {
    file: Arc<ServedFile>,
    hasher: Box<blake3::Hasher>,
    offset: u64,
}

impl Tagging {
    pub(crate) fn new(file: Arc<ServedFile>) -> Self {
        Self { file, hasher: Box::default(), offset: 0 }
    }

    /// Hashes `most` bytes further, rounded up to whole reads; the tag at the end of the file. Blocks.
    ///
    /// An error if the file has changed since it was opened.
    pub(crate) fn advance(&mut self, most: u64) -> io::Result<Option<Tag>> {
        let changed = || io::Error::other("the file changed while it was read");
        if self.offset == 0 {
            wait_out_clock_grain(self.file.key());
        }
        let end = self.offset.saturating_add(most);
        while self.offset < end {
            let chunk = self.file.read_at(self.offset, CHUNK)?;
            self.offset += chunk.len() as u64;
            // A file that grows has no end.
            if self.offset > self.file.size() {
                return Err(changed());
            }
            self.hasher.update(&chunk);
            if chunk.is_empty() {
                let whole = self.offset == self.file.size();
                let same = self.file.current_key()? == self.file.key();
                let tag = Tag(self.hasher.finalize().into());
                return if whole && same { Ok(Some(tag)) } else { Err(changed()) };
            }
        }
        Ok(None)
    }
}

/// Sleeps until any further change of the file gets a change time of its own.
fn wait_out_clock_grain(key: FileKey) {
    let (seconds, nanoseconds) = key.changed;
    let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(seconds), u32::try_from(nanoseconds))
    else {
        return;
    };
    let settled = UNIX_EPOCH + Duration::new(seconds, nanoseconds) + CLOCK_GRAIN;
    if let Ok(remaining) = settled.duration_since(SystemTime::now()) {
        // A change time in the future is a wrong clock: no reason to wait for it.
        std::thread::sleep(remaining.min(CLOCK_GRAIN));
    }
}

impl From<blake3::Hash> for Tag {
    fn from(hash: blake3::Hash) -> Self {
        Self(hash.into())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
