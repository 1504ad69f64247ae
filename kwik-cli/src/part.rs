//! A file under construction that outlives its process.
//!
//! The bytes are in a part file beside the target. A record beside it says which content they are of and how many of them
//! are on disk, together with their hash. Whoever comes next, after whatever end, continues there: what the record says is
//! true, since it is written after the bytes were synced. What is beyond it is written again.

mod bookkeeper;
mod claim;
mod disk;
mod ledger;
mod names;

#[cfg(test)]
pub(crate) mod tests;

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::advice;
use crate::gather::{self, Gather};
use crate::kept::Keeper;
use crate::record::{Content, Record};
use crate::tag::Tag;
use bookkeeper::{Bookkeeper, Ended};
use claim::{Claim, Turn, claim};
use disk::FileSystem;
use ledger::{Ledger, Point};
use names::Names;

/// Bytes after which the record follows. Smaller: more syncs than a disk likes. Larger: more is fetched again.
const STEP: u64 = 8 << 20;
/// Time after which it follows if anything was written.
const INTERVAL: Duration = Duration::from_millis(500);
/// Bytes that are written and not on disk yet, at most. When there are so many the writer waits for the disk, and with it,
/// through the window, the servers. Smaller: the disk runs idle between two syncs. Larger: more is fetched again after a
/// power cut, and the end waits longer.
const MAX_UNSYNCED: u64 = 32 << 20;
/// Bytes that are read at once while a prefix is hashed.
const CHUNK: usize = 1 << 20;

/// How the output of a download begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// Where an earlier one ended.
    Continue,
    /// At its start.
    Anew,
}

/// What is known of a content already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resumed {
    pub(crate) content: Content,
    /// Bytes from its start that are there.
    pub(crate) bytes: u64,
}

/// A part file and its record.
///
/// Dropped, both stay, unless nothing was written: then both are removed.
#[derive(Debug)]
pub(crate) struct Part {
    names: Names,
    /// Permissions of the target, if there is one.
    mode: Option<u32>,
    number: u8,
    gather: Gather,
    books: Books,
    /// What was offered to the ledger last, and when.
    offered: (u64, Instant),
    /// Up to where the system was asked to write to the disk.
    started: u64,
    /// Bytes from the start that are on disk, as far as is known here.
    synced: u64,
    fate: Fate,
}

#[derive(Debug)]
enum Books {
    Here(Box<Ledger>),
    Beside(Bookkeeper),
    /// The thread failed and took the ledger along.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Keep,
    Remove,
    Published,
}

impl Part {
    /// Takes or makes the part file of `target`, which has these permissions if it exists. Also returns why it starts over,
    /// if it does against the caller's wish. Reads what was kept. Blocks.
    pub(crate) fn open(
        target: PathBuf,
        mode: Option<u32>,
        urls: &[String],
        resume: Resume,
        keeper: Keeper,
    ) -> anyhow::Result<(Self, Option<String>)> {
        let names = Names::of(target)?;
        let Claim { part, file, record, note } = claim(&names, urls, mode, resume)?;
        let (number, dir) = (record.part, names.dir().to_owned());
        let ledger = Ledger {
            record,
            file,
            part: part.try_clone()?,
            disk: Box::new(FileSystem),
            failed: false,
            dir,
            named: false,
            keeper,
        };
        let mut part = Self {
            names,
            mode,
            number,
            gather: Gather::new(part),
            books: Books::Here(Box::new(ledger)),
            offered: (0, Instant::now()),
            started: 0,
            synced: 0,
            fate: Fate::Keep,
        };
        let useless = match resume {
            Resume::Anew => part.restart().map(|()| None)?,
            Resume::Continue => part.take_up()?,
        };
        Ok((part, note.or(useless)))
    }

    /// Reads the durable prefix. Returns why it is of no use, if it is not.
    fn take_up(&mut self) -> io::Result<Option<String>> {
        let ledger = self.ledger()?;
        let record = ledger.record.clone();
        if record.durable == 0 || record.content.is_none() {
            return self.restart().map(|()| None);
        }
        let length = ledger.part.metadata()?.len();
        let wrong = if length < record.durable {
            format!("has {length} bytes, and its record says {}", record.durable)
        } else if let Some(hasher) = hash_prefix(&ledger.part, &record)? {
            // What a killed process wrote beyond it may be longer than the content.
            ledger.part.set_len(record.durable)?;
            ledger.keeper.tell(record.durable);
            self.gather.resume(hasher, record.durable)?;
            self.begin_at(record.durable);
            return Ok(None);
        } else {
            "is damaged".to_owned()
        };
        self.restart()?;
        Ok(Some(format!("{} {wrong}; starting over", self.names.part(self.number).display())))
    }

    /// What is there of which content; `None` if nothing is.
    pub(crate) fn resumed(&self) -> Option<Resumed> {
        let Books::Here(ledger) = &self.books else { return None };
        let bytes = ledger.record.durable;
        ledger.record.content.filter(|_| bytes > 0).map(|content| Resumed { content, bytes })
    }

    /// What is written next is the content's start.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        let ledger = self.ledger()?;
        if !ledger.is_new()? {
            ledger.restart()?;
        }
        self.gather.restart()?;
        self.begin_at(0);
        Ok(())
    }

    /// So many bytes are there and durable.
    fn begin_at(&mut self, bytes: u64) {
        self.offered = (bytes, Instant::now());
        (self.started, self.synced) = (bytes, bytes);
    }

    /// Says of which content it is.
    pub(crate) fn begin(&mut self, content: Content) -> io::Result<()> {
        self.ledger()?.begin(content)
    }

    /// Adds bytes. Blocks, also while the disk has [`MAX_UNSYNCED`] to do.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(gather::BUFFER) {
            self.wait_for_room(piece.len() as u64)?;
            self.gather.write(piece)?;
            self.start_writing();
            self.offer_if_due()?;
        }
        Ok(())
    }

    /// Bytes that were taken and not written yet.
    pub(crate) fn held(&self) -> usize {
        self.gather.held()
    }

    /// To be called when nothing comes: writes what is held, and has it made durable when it is time.
    pub(crate) fn pause(&mut self) -> io::Result<()> {
        self.gather.flush()?;
        self.start_writing();
        self.offer_if_due()
    }

    fn wait_for_room(&mut self, len: u64) -> io::Result<()> {
        let needed = (self.gather.taken() + len).saturating_sub(MAX_UNSYNCED);
        if self.synced >= needed {
            return Ok(());
        }
        self.offer()?;
        match self.bookkeeper()?.wait(needed) {
            Ok(synced) => self.synced = synced,
            Err(Ended) => self.close_books()?,
        }
        Ok(())
    }

    /// Has the system begin to write to the disk, in large pieces.
    fn start_writing(&mut self) {
        let (from, to) = (self.started, self.gather.written());
        if to - from >= gather::BUFFER as u64 {
            advice::start_writing(self.gather.file(), from, to - from);
            self.started = to;
        }
    }

    fn offer_if_due(&mut self) -> io::Result<()> {
        let (last, at) = self.offered;
        let new = self.gather.taken() - last;
        let due = new >= STEP || (new > 0 && at.elapsed() >= INTERVAL);
        if due { self.offer() } else { Ok(()) }
    }

    /// Has all that was taken made durable, beside.
    fn offer(&mut self) -> io::Result<()> {
        self.gather.flush()?;
        let point = self.point();
        self.offered = (point.written, Instant::now());
        match self.bookkeeper()?.offer(point) {
            Ok(()) => Ok(()),
            Err(Ended) => self.close_books(),
        }
    }

    /// Writes what is gathered; the BLAKE3 of all.
    pub(crate) fn finish(&mut self) -> io::Result<Tag> {
        self.gather.flush()?;
        Ok(self.gather.tag())
    }

    /// Puts it in the place of the target, on disk. Blocks.
    pub(crate) fn publish(mut self) -> io::Result<()> {
        self.gather.flush()?;
        if let Books::Beside(bookkeeper) = &self.books {
            bookkeeper.stop();
        }
        let part = self.names.part(self.number);
        let mode = self.mode.map(|mode| Permissions::from_mode(mode & 0o777));
        mode.map_or(Ok(()), |mode| self.gather.file().set_permissions(mode))?;
        // Before the rename: after a power cut the name must not stand for half the bytes. Beside what the thread is at.
        let synced = self.gather.file().sync_all();
        let closed = self.close_books();
        if let Books::Here(ledger) = &mut self.books {
            ledger.failed |= synced.is_err();
        }
        synced.and(closed)?;
        let file = self.gather.file();
        let _turn = Turn::take(self.names.dir());
        let (ours, length) = (claim::names_file(&part, file), file.metadata()?.len());
        if !ours? || length != self.gather.written() {
            return Err(io::Error::other(format!("somebody has changed {}", part.display())));
        }
        match self.mode {
            Some(_) => fs::rename(&part, &self.names.target)?,
            None => claim::rename_new(&part, &self.names.target)?,
        }
        self.fate = Fate::Published;
        if let Books::Here(ledger) = &self.books {
            claim::remove(&self.names.record(), ledger.file.file());
            ledger.keeper.tell_whole();
        }
        Ok(())
    }

    /// What was written is of no use.
    pub(crate) fn reject(mut self) {
        self.fate = Fate::Remove;
    }

    fn point(&self) -> Point {
        Point { written: self.gather.written(), prefix: self.gather.tag() }
    }

    fn ledger(&mut self) -> io::Result<&mut Ledger> {
        self.close_books()?;
        match &mut self.books {
            Books::Here(ledger) => Ok(ledger),
            Books::Beside(_) | Books::Lost => Err(io::Error::other("the record is not kept")),
        }
    }

    fn bookkeeper(&mut self) -> io::Result<&Bookkeeper> {
        if let Books::Here(_) = self.books
            && let Books::Here(ledger) = std::mem::replace(&mut self.books, Books::Lost)
        {
            self.books = Books::Beside(Bookkeeper::start(*ledger)?);
        }
        match &self.books {
            Books::Beside(bookkeeper) => Ok(bookkeeper),
            Books::Here(_) | Books::Lost => Err(io::Error::other("the record is not kept")),
        }
    }

    /// Has the ledger here again, and what went wrong with it.
    fn close_books(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.books, Books::Lost) {
            Books::Beside(bookkeeper) => {
                let (ledger, outcome) = bookkeeper.end()?;
                self.books = Books::Here(Box::new(ledger));
                outcome
            }
            other => {
                self.books = other;
                Ok(())
            }
        }
    }

    /// Makes durable what was written, as far as that goes.
    fn keep(&mut self) -> io::Result<()> {
        let flushed = self.gather.flush();
        self.close_books()?;
        let point = self.point();
        self.ledger()?.advance(point)?;
        flushed
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.fate == Fate::Keep && self.gather.taken() > 0 {
            if let Err(error) = self.keep() {
                tracing::warn!(%error, "not all that was written is durable");
            }
        } else {
            let _ = self.close_books();
        }
        let Books::Here(ledger) = &mut self.books else { return };
        let part = self.names.part(self.number);
        let is_there = claim::names_file(&part, &ledger.part).unwrap_or(false);
        let useless = ledger.record.durable == 0 || self.fate == Fate::Remove || !is_there;
        if useless && self.fate != Fate::Published {
            let _turn = Turn::take(self.names.dir());
            claim::remove(&part, &ledger.part);
            claim::remove(&self.names.record(), ledger.file.file());
            ledger.keeper.tell(0);
        }
    }
}

/// Whether the part file begins with what its record says.
fn has_prefix(part: &File, record: &Record) -> io::Result<bool> {
    Ok(hash_prefix(part, record)?.is_some())
}

/// Hashes the durable prefix; `None` if it is not what the record says.
fn hash_prefix(part: &File, record: &Record) -> io::Result<Option<blake3::Hasher>> {
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    let mut offset = 0;
    while offset < record.durable {
        let wanted = (record.durable - offset).min(CHUNK as u64) as usize;
        let len = part.read_at(&mut chunk[..wanted], offset)?;
        if len == 0 {
            return Ok(None);
        }
        hasher.update(&chunk[..len]);
        offset += len as u64;
    }
    Ok((Tag::from(hasher.finalize()) == record.prefix).then_some(hasher))
}
