//! A file as the source of a stream's bytes.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kwik_server::RangeSource;

use crate::open_files::ServedFile;

#[cfg(test)]
mod tests;

/// Bytes that are read at once where there is room, at most. The room is not kept while they are read: a hundred streams that
/// see the same room may hold as many of these beyond it, for the one time. Larger: more than that. Smaller: as below.
const MOST_CHUNK: u64 = 128 << 10;
/// Bytes that are read at once even where there is room for fewer: what a stream may hold always, so that a server whose send
/// memory is used up reads no more than that. Smaller: a system call and a change of threads for each few packets.
const LEAST_CHUNK: u64 = 64 << 10;

/// How many bytes beyond a read the system is asked to have in its memory by then. The disk works on them while the read
/// before is sent; its own read-ahead, 128 KiB on most systems, is less than one read. A program that only read a cold file
/// 256 KiB at a time got 134 to 156 MB/s without it, and 461 to 496 MB/s with it; 383 MB/s with half as many bytes.
const AHEAD: u64 = 1 << 20;

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

    /// The first bytes of a range, off the asynchronous threads: about as many as there is room for, and at least one.
    pub(crate) async fn read(
        &self,
        range: &Range<u64>,
        room: usize,
        ahead: &mut Ahead,
    ) -> io::Result<Bytes> {
        let most = (room as u64).clamp(LEAST_CHUNK, MOST_CHUNK);
        let (offset, length) = (range.start, range.end.saturating_sub(range.start).min(most));
        let (source, ask) = (self.clone(), ahead.ask(offset + length, range.end));
        self.file.on_thread(move || source.read_and_ask(offset, length as usize, ask)).await?
    }

    /// Reads, and has the system begin with what comes then: last, so that the first byte does not wait for it. Blocks.
    fn read_and_ask(
        &self,
        offset: u64,
        length: usize,
        ask: Option<Range<u64>>,
    ) -> io::Result<Bytes> {
        let bytes = self.read_at(offset, length);
        if let Some(ask) = ask
            && let Some(at) = self.file_offset(ask.start)
        {
            // The read will tell what is wrong.
            let _ = self.file.start_reading(at, ask.end.saturating_sub(ask.start));
        }
        bytes
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

/// Up to where the system was asked to read, for who reads a range in order.
#[derive(Debug)]
pub(crate) struct Ahead(u64);

impl Ahead {
    /// Of a range that starts there.
    pub(crate) const fn new(start: u64) -> Self {
        Self(start)
    }

    /// What the system is to be asked for when the next read begins at `next`: nothing beyond `end`, which others send.
    fn ask(&mut self, next: u64, end: u64) -> Option<Range<u64>> {
        self.0 = self.0.max(next);
        let ahead = self.0..next.saturating_add(AHEAD).min(end);
        let new = ahead.end.saturating_sub(ahead.start);
        if new == 0 || (new < AHEAD / 2 && ahead.end < end) {
            return None;
        }
        self.0 = ahead.end;
        Some(ahead)
    }
}

/// Reads a range in order, off the asynchronous threads, when it is asked to: the system reads ahead of that, and its memory is
/// not the program's.
#[derive(Debug)]
pub(crate) struct InOrder {
    source: FileSource,
    /// What was not read yet.
    left: Range<u64>,
    ahead: Ahead,
}

impl InOrder {
    /// The bytes of `range` of the stream.
    pub(crate) const fn new(source: FileSource, range: Range<u64>) -> Self {
        let ahead = Ahead::new(range.start);
        Self { source, left: range, ahead }
    }

    /// The offset in the stream of what is read next; `None` at the end of the range.
    pub(crate) const fn position(&self) -> Option<u64> {
        if self.left.start < self.left.end { Some(self.left.start) } else { None }
    }

    /// The next bytes, 128 KiB at most, and their offset in the stream; `None` at the end of the range.
    pub(crate) async fn next(&mut self) -> io::Result<Option<(u64, Bytes)>> {
        let Some(offset) = self.position() else { return Ok(None) };
        let left = std::mem::replace(&mut self.left, offset..offset);
        let bytes = self.source.read(&left, MOST_CHUNK as usize, &mut self.ahead).await?;
        // A short read ends the file: what is left of the range then fails at its own offset.
        self.left = offset + bytes.len() as u64..left.end;
        Ok(Some((offset, bytes)))
    }
}
