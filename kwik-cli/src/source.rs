//! A file as the source of a stream's bytes.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kwik_server::RangeSource;
use tokio::task::JoinHandle;

use crate::open_files::ServedFile;

#[cfg(test)]
mod tests;

/// Bytes that are read at once.
const CHUNK: u64 = 256 << 10;

/// How often a file is looked at that only others send. A look is one system call.
const LOOK: Duration = Duration::from_millis(250);

/// Why a file that was found can't be sent to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It was written or truncated: its bytes are those of no tag.
    Changed,
    /// The system does not let it be read any more.
    Unreadable,
}

impl Trouble {
    /// The code that the stream is reset with.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Changed => 1,
            Self::Unreadable => 2,
        }
    }

    /// What a stream's code means; `None` for one that this program does not send.
    pub(crate) fn of_code(code: u64) -> Option<Self> {
        [Self::Changed, Self::Unreadable].into_iter().find(|known| u64::from(known.code()) == code)
    }
}

impl std::error::Error for Trouble {}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "the file changed while it was sent",
            Self::Unreadable => "the file could not be read to its end",
        })
    }
}

/// A file that is served, addressed by offsets of a stream.
#[derive(Clone, Debug)]
pub(crate) struct FileSource {
    file: Arc<ServedFile>,
    /// Stream offset minus file offset, in bytes.
    shift: i64,
}

impl FileSource {
    pub(crate) fn new(file: Arc<ServedFile>, shift: i64) -> Self {
        Self { file, shift }
    }

    /// Why the file can't be sent any more, as the client is told.
    pub(crate) async fn trouble(&self) -> Trouble {
        let file = Arc::clone(&self.file);
        match self.file.on_thread(move || file.was_written()).await {
            Ok(Ok(true)) => Trouble::Changed,
            _ => Trouble::Unreadable,
        }
    }

    /// Waits until the file changes, for ranges that others send: nothing here is read then, and nobody would notice.
    pub(crate) async fn changed(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let file = Arc::clone(&self.file);
            if let Ok(Ok(true)) = self.file.on_thread(move || file.was_written()).await {
                return;
            }
        }
    }

    /// Whether the file has all bytes of this range of the stream.
    pub(crate) fn covers(&self, range: &Range<u64>) -> bool {
        range.start <= range.end
            && self.file_offset(range.start).is_some()
            && self.file_offset(range.end).is_some_and(|end| end <= self.file.size())
    }

    fn file_offset(&self, stream_offset: u64) -> Option<u64> {
        u64::try_from(i128::from(stream_offset) - i128::from(self.shift)).ok()
    }
}

impl RangeSource for FileSource {
    /// Fails if the file changed since it was opened: its bytes are then those of no tag.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let at = self.file_offset(offset).ok_or(io::ErrorKind::InvalidInput)?;
        let bytes = self.file.read_at(at, length)?;
        if self.file.was_written()? {
            return Err(io::Error::other("the file changed while it was served"));
        }
        if bytes.is_empty() && length > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes.into())
    }
}

/// Reads a range in order, one chunk ahead of its consumer, off the asynchronous threads.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    source: FileSource,
    /// What no read was started for yet.
    left: Range<u64>,
    reading: Option<(u64, JoinHandle<io::Result<Bytes>>)>,
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        // A read that waits for its turn is for nobody any more.
        if let Some((_, reading)) = &self.reading {
            reading.abort();
        }
    }
}

impl ReadAhead {
    /// Starts to read `range` of the stream. Needs a tokio runtime.
    pub(crate) fn new(source: FileSource, range: Range<u64>) -> Self {
        let mut ahead = Self { source, left: range, reading: None };
        ahead.start_next();
        ahead
    }

    /// The next bytes and their offset in the stream; `None` at the end of the range.
    pub(crate) async fn next(&mut self) -> io::Result<Option<(u64, Bytes)>> {
        let Some((offset, reading)) = self.reading.take() else { return Ok(None) };
        let bytes = reading.await.map_err(io::Error::other)??;
        // A short read ends the file: what is left of the range then fails at its own offset.
        self.left.start = offset + bytes.len() as u64;
        self.start_next();
        Ok(Some((offset, bytes)))
    }

    fn start_next(&mut self) {
        let offset = self.left.start;
        let len = self.left.end.saturating_sub(offset).min(CHUNK);
        if len == 0 {
            return;
        }
        let source = self.source.clone();
        let read = async move {
            let file = Arc::clone(&source.file);
            file.on_thread(move || source.read_at(offset, len as usize)).await?
        };
        self.reading = Some((offset, tokio::spawn(read)));
    }
}
