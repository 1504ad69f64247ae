//! The record beside a part file: which content the part is of, and how much of it is durable.
//!
//! It has two slots, each with a checksum of its own, that are written in turn. A write that was cut off spoils one slot, and
//! the other still stands. So the record keeps its inode, needs no room on a disk that has become full, and leaves no other
//! name behind when the process is killed: a rename of a second file would do none of the three.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::tag::Tag;

#[cfg(test)]
mod tests;

/// Bytes of a slot: one line, filled up with spaces.
const SLOT: usize = 4 << 10;
/// Bytes of the record.
const LENGTH: u64 = 2 * SLOT as u64;
/// How every slot begins, before its version.
const MAGIC: &str = "kwik-part ";
const VERSION: &str = "1";
/// Hex digits of a slot's checksum.
const CHECK: usize = 32;
/// Bytes that the URLs may take in a slot, as JSON. The rest of a slot takes less than 500.
const MAX_URLS: usize = 3 << 10;

/// What is known of a part file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Which of the target's part files it is about.
    pub(crate) part: u8,
    /// Which file the part file is; `None` before it is made.
    pub(crate) file: Option<FileId>,
    /// Where the content was asked for; for people.
    pub(crate) urls: Vec<String>,
    /// The content; `None` before a server has named it.
    pub(crate) content: Option<Content>,
    /// Bytes from the start of the part file that are on disk.
    pub(crate) durable: u64,
    /// BLAKE3 of these bytes.
    pub(crate) prefix: Tag,
}

/// Which file it is, whatever its name. File systems give the inode of a file that was removed to the next that is made, so
/// the time of its birth belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileId {
    inode: u64,
    /// In nanoseconds since 1970.
    born: u64,
}

impl FileId {
    /// `None` where the file system does not know when a file was born.
    pub(crate) fn of(file: &Metadata) -> Option<Self> {
        let born = file.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self { inode: file.ino(), born: u64::try_from(born.as_nanos()).ok()? })
    }
}

/// Which content a part file is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) tag: Tag,
    /// Size of the whole content in bytes.
    pub(crate) size: u64,
}

/// What stands in a record's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Nothing: it was made and not written.
    Nothing,
    /// A record, and how often it was written.
    Valid(Record, u64),
    /// A record whose checksums are both wrong.
    Damaged,
    /// A record of another version of this program.
    OtherVersion,
    /// No record at all.
    Foreign,
}

/// A record's file, open.
#[derive(Debug)]
pub(crate) struct RecordFile {
    file: File,
    /// How often it was written.
    writes: u64,
}

/// A slot as JSON.
#[derive(Serialize, Deserialize)]
struct Slot {
    writes: u64,
    part: u8,
    file: Option<FileId>,
    urls: Vec<String>,
    tag: Option<String>,
    size: u64,
    durable: u64,
    prefix: String,
}

impl Record {
    /// The record of a part file that is empty.
    pub(crate) fn new(part: u8, urls: &[String]) -> Self {
        let (file, content) = (None, None);
        let urls = fitting(urls);
        Self { part, file, urls, content, durable: 0, prefix: blake3::hash(&[]).into() }
    }
}

/// The first URLs, as many as fit.
fn fitting(urls: &[String]) -> Vec<String> {
    let mut left = MAX_URLS;
    let fits = |url: &&String| {
        // A character takes six bytes of JSON at most.
        let taken = serde_json::to_string(url).map_or(usize::MAX, |json| json.len() + 1);
        left.checked_sub(taken).map(|rest| left = rest).is_some()
    };
    urls.iter().take_while(fits).cloned().collect()
}

impl RecordFile {
    /// The record in `file`, and what stands there.
    pub(crate) fn open(file: File) -> io::Result<(Self, Stored)> {
        let stored = read(&file)?;
        let writes = match &stored {
            Stored::Valid(_, writes) => *writes,
            _ => 0,
        };
        Ok((Self { file, writes }, stored))
    }

    /// Has `record` in both slots. After it, writing takes no more room on the disk.
    pub(crate) fn fill(&mut self, record: &Record) -> io::Result<()> {
        if self.file.metadata()?.len() > LENGTH {
            self.file.set_len(LENGTH)?;
        }
        self.write(record)?;
        self.write(record)
    }

    /// Writes `record` in place of the older slot. Not on disk before [`sync`](Self::sync).
    pub(crate) fn write(&mut self, record: &Record) -> io::Result<()> {
        let writes = self.writes + 1;
        let offset = if writes.is_multiple_of(2) { 0 } else { SLOT as u64 };
        self.file.write_all_at(&encode(record, writes), offset)?;
        self.writes = writes;
        Ok(())
    }

    /// Waits until what was written is on disk. Its times need not be, which saves the file system's journal a commit.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

fn read(file: &File) -> io::Result<Stored> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(Stored::Nothing);
    }
    let mut bytes = vec![0; LENGTH as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            len => filled += len,
        }
    }
    Ok(judge(&bytes[..filled], length))
}

fn judge(bytes: &[u8], length: u64) -> Stored {
    let (slots, _) = bytes.as_chunks::<SLOT>();
    let newest = slots.iter().filter_map(|slot| decode(slot)).max_by_key(|(_, writes)| *writes);
    // A file that is longer is none of this program's.
    if let Some((record, writes)) = newest.filter(|_| length <= LENGTH) {
        return Stored::Valid(record, writes);
    }
    let of_version = |version: &str| {
        let start = format!("{MAGIC}{version}");
        bytes.chunks(SLOT).any(|slot| slot.starts_with(start.as_bytes()))
    };
    // After a power cut a file may have its length, and zeros.
    let lost = length == LENGTH && bytes.iter().all(|byte| *byte == 0);
    match (of_version(&format!("{VERSION} ")) || lost, of_version("")) {
        (true, _) => Stored::Damaged,
        (false, true) => Stored::OtherVersion,
        (false, false) => Stored::Foreign,
    }
}

fn encode(record: &Record, writes: u64) -> Vec<u8> {
    let slot = Slot {
        writes,
        part: record.part,
        file: record.file,
        urls: record.urls.clone(),
        tag: record.content.map(|content| content.tag.to_string()),
        size: record.content.map_or(0, |content| content.size),
        durable: record.durable,
        prefix: record.prefix.to_string(),
    };
    let json = serde_json::to_string(&slot).expect("numbers, strings and lists are JSON");
    let mut line = format!("{MAGIC}{VERSION} {} {json}", check(&json)).into_bytes();
    debug_assert!(line.len() < SLOT, "{}", line.len());
    line.resize(SLOT - 1, b' ');
    line.push(b'\n');
    line
}

fn decode(slot: &[u8]) -> Option<(Record, u64)> {
    let line = str::from_utf8(slot).ok()?.strip_suffix('\n')?.trim_end_matches(' ');
    let rest = line.strip_prefix(MAGIC)?.strip_prefix(VERSION)?.strip_prefix(' ')?;
    let (sum, json) = rest.split_once(' ')?;
    if sum != check(json) {
        return None;
    }
    let slot: Slot = serde_json::from_str(json).ok()?;
    let content = match slot.tag {
        Some(hex) => Some(Content { tag: Tag::from_hex(&hex)?, size: slot.size }),
        None => None,
    };
    let Slot { writes, part, file, urls, durable, .. } = slot;
    let prefix = Tag::from_hex(&slot.prefix)?;
    Some((Record { part, file, urls, content, durable, prefix }, writes))
}

fn check(json: &str) -> String {
    blake3::hash(json.as_bytes()).to_hex()[..CHECK].to_owned()
}
