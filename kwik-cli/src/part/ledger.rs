//! What of a part file is durable: the only place that says so.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::disk::Disk;
use crate::kept::Keeper;
use crate::record::{Content, Record, RecordFile};
use crate::tag::Tag;

/// How much was written, and its BLAKE3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) written: u64,
    pub(crate) prefix: Tag,
}

/// The record of a part file, and what is needed to make it true.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) record: Record,
    pub(crate) file: RecordFile,
    /// The part file.
    pub(crate) part: File,
    pub(crate) disk: Box<dyn Disk>,
    /// Whether a sync has failed. The system says so once, and then counts what it could not write as written.
    pub(crate) failed: bool,
    pub(crate) dir: PathBuf,
    /// Whether the names of record and part file are on disk.
    pub(crate) named: bool,
    pub(crate) keeper: Keeper,
}

impl Ledger {
    /// Waits until what was written up to `point` is on disk, and only then says so in the record.
    pub(crate) fn advance(&mut self, point: Point) -> io::Result<()> {
        if point.written == self.record.durable {
            return Ok(());
        }
        self.sync()?;
        self.record(point)
    }

    /// Waits until what was written is on disk. After one failure it fails ever after.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("the disk has lost bytes"));
        }
        let synced = self.disk.sync(&self.part);
        self.failed = synced.is_err();
        synced
    }

    /// Says in the record that what was written up to `point` is on disk. To be called after [`sync`](Self::sync).
    pub(crate) fn record(&mut self, point: Point) -> io::Result<()> {
        self.record.durable = point.written;
        self.record.prefix = point.prefix;
        self.save()
    }

    /// From now on the part file is of `content`.
    pub(crate) fn begin(&mut self, content: Content) -> io::Result<()> {
        self.record.content = Some(content);
        self.file.write(&self.record)
    }

    /// Whether nothing was ever written.
    pub(crate) fn is_new(&self) -> io::Result<bool> {
        let Record { durable, content, .. } = &self.record;
        Ok(*durable == 0 && content.is_none() && self.part.metadata()?.len() == 0)
    }

    /// Forgets all that is durable, so that the part file may be emptied.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        let empty = Record::new(self.record.part, &[]);
        self.record = Record { file: self.record.file, urls: self.record.urls.clone(), ..empty };
        self.file.fill(&self.record)?;
        self.save()?;
        self.part.set_len(0)
    }

    fn save(&mut self) -> io::Result<()> {
        self.file.write(&self.record)?;
        self.file.sync()?;
        if !self.named {
            // A file system that cannot do this keeps names by other means, or not at all.
            let _ = File::open(&self.dir).and_then(|dir| dir.sync_all());
            self.named = true;
        }
        self.keeper.tell(self.record.durable);
        Ok(())
    }
}
