//! The messages that list a directory: a page of its entries, and what asks for one.

use crate::protocol::{Malformed, known_tag};
use crate::tag::Tag;
use crate::wire;

/// Entries of a page, at most.
pub(crate) const MAX_ENTRIES: usize = 1_000;

/// A request for a page of a directory's entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// The directory; empty: the root. Not checked yet.
    pub(crate) path: String,
    /// The page begins behind this name.
    pub(crate) after: String,
}

/// A page of a directory's entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// At most [`MAX_ENTRIES`], in the order of the bytes of their names. A client has still to check that.
    pub(crate) entries: Vec<Entry>,
    /// Whether others come behind them.
    pub(crate) more: bool,
    /// Entries of the directory whose names are not UTF-8.
    pub(crate) unnamed: u64,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Not checked yet.
    pub(crate) name: String,
    pub(crate) kind: EntryKind,
    /// Size of a file in bytes.
    pub(crate) size: u64,
    /// Modification time of a file: seconds since 1970, and nanoseconds, fewer than 10^9.
    pub(crate) modified: (i64, u32),
    /// BLAKE3 of a file, if the server knows it.
    pub(crate) tag: Option<Tag>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Directory,
    /// Nothing that can be fetched, or a kind that this version does not know.
    Other,
}

impl From<List> for wire::List {
    fn from(List { path, after }: List) -> Self {
        Self { path, after }
    }
}

impl From<wire::List> for List {
    fn from(wire::List { path, after }: wire::List) -> Self {
        Self { path, after }
    }
}

impl From<Listed> for wire::Listed {
    fn from(Listed { entries, more, unnamed }: Listed) -> Self {
        Self { entries: entries.into_iter().map(Into::into).collect(), more, unnamed }
    }
}

impl TryFrom<wire::Listed> for Listed {
    type Error = Malformed;

    fn try_from(wire::Listed { entries, more, unnamed }: wire::Listed) -> Result<Self, Malformed> {
        if entries.len() > MAX_ENTRIES || (more && entries.is_empty()) {
            return Err(Malformed::Listing);
        }
        let entries = entries.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok(Self { entries, more, unnamed })
    }
}

impl From<Entry> for wire::Entry {
    fn from(Entry { name, kind, size, modified: (modified_s, modified_ns), tag }: Entry) -> Self {
        let kind = match kind {
            EntryKind::File => wire::EntryKind::File,
            EntryKind::Directory => wire::EntryKind::Directory,
            EntryKind::Other => wire::EntryKind::Unspecified,
        };
        let tag = tag.map(|tag| tag.0.to_vec()).unwrap_or_default();
        Self { name, kind: kind as i32, size, modified_s, modified_ns, tag }
    }
}

impl TryFrom<wire::Entry> for Entry {
    type Error = Malformed;

    fn try_from(entry: wire::Entry) -> Result<Self, Malformed> {
        let wire::Entry { name, kind, size, modified_s, modified_ns, tag } = entry;
        if modified_ns >= 1_000_000_000 {
            return Err(Malformed::Listing);
        }
        let kind = match wire::EntryKind::try_from(kind) {
            Ok(wire::EntryKind::File) => EntryKind::File,
            Ok(wire::EntryKind::Directory) => EntryKind::Directory,
            Ok(wire::EntryKind::Unspecified) | Err(_) => EntryKind::Other,
        };
        Ok(Self { name, kind, size, modified: (modified_s, modified_ns), tag: known_tag(&tag)? })
    }
}
