//! The name of a file's content.

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::root::{FileKey, OpenFile};

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

    /// Hashes a file. Blocks; an error if the file changes meanwhile.
    pub(crate) fn of_file(file: &OpenFile) -> io::Result<Self> {
        wait_out_clock_grain(file.key());
        let mut hasher = blake3::Hasher::new();
        let mut offset = 0;
        loop {
            let chunk = file.read_at(offset, CHUNK)?;
            if chunk.is_empty() {
                break;
            }
            offset += chunk.len() as u64;
            hasher.update(&chunk);
        }
        if offset != file.size() || file.current_key()? != file.key() {
            return Err(io::Error::other("the file changed while it was read"));
        }
        Ok(Self(hasher.finalize().into()))
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
