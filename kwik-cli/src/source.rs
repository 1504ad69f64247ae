//! A file as the source of a stream's bytes.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use kwik_server::RangeSource;
use tokio::task::JoinHandle;

use crate::root::OpenFile;

#[cfg(test)]
mod tests;

/// Bytes that are read at once.
const CHUNK: u64 = 256 << 10;

/// An open file, addressed by offsets of a stream.
#[derive(Clone, Debug)]
pub(crate) struct FileSource {
    file: Arc<OpenFile>,
    /// Stream offset minus file offset, in bytes.
    shift: i64,
}

impl FileSource {
    pub(crate) fn new(file: Arc<OpenFile>, shift: i64) -> Self {
        Self { file, shift }
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
        let read = move || source.read_at(offset, len as usize);
        self.reading = Some((offset, tokio::task::spawn_blocking(read)));
    }
}
