//! Bytes gathered, hashed and written.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

use crate::tag::Tag;

/// Bytes that are gathered before they are written, if they come fast enough.
pub(crate) const BUFFER: usize = 1 << 20;

/// A file that is written from its present position on, and the BLAKE3 of exactly what was written: hash and length agree also
/// after a write that failed halfway.
#[derive(Debug)]
pub(crate) struct Gather {
    file: File,
    held: Vec<u8>,
    hasher: blake3::Hasher,
    written: u64,
}

impl Gather {
    pub(crate) fn new(file: File) -> Self {
        Self { file, held: Vec::with_capacity(BUFFER), hasher: blake3::Hasher::new(), written: 0 }
    }

    /// Takes bytes; writes when enough have come together. Blocks.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = BUFFER.saturating_sub(self.held.len());
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.held.extend_from_slice(now);
            bytes = later;
            if self.held.len() >= BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes what is held. What can't be written is held on.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut done = 0;
        let outcome = loop {
            if done == self.held.len() {
                break Ok(());
            }
            match self.file.write(&self.held[done..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    self.hasher.update(&self.held[done..done + len]);
                    done += len;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.written += done as u64;
        self.held.drain(..done);
        outcome
    }

    /// Begins anew at the file's start.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.resume(blake3::Hasher::new(), 0)
    }

    /// Goes on behind `written` bytes that were hashed.
    pub(crate) fn resume(&mut self, hasher: blake3::Hasher, written: u64) -> io::Result<()> {
        self.held.clear();
        self.file.seek(SeekFrom::Start(written))?;
        self.hasher = hasher;
        self.written = written;
        Ok(())
    }

    /// Bytes written, those before it included.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes taken and not written yet.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Bytes written and held.
    pub(crate) fn taken(&self) -> u64 {
        self.written + self.held.len() as u64
    }

    /// BLAKE3 of what was written.
    pub(crate) fn tag(&self) -> Tag {
        self.hasher.finalize().into()
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}
