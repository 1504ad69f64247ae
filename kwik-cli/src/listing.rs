//! Pages of a directory's entries, as a server tells them.

use std::collections::BinaryHeap;
use std::io;

use cap_std::fs::Dir;

use crate::directory::{Entry, EntryKind, Listed, MAX_ENTRIES};
use crate::protocol::MAX_REPLY;
use crate::request_path::RequestPath;
use crate::root::{FileKey, OpenError, Root};
use crate::tag_cache::TagCache;

#[cfg(test)]
mod tests;

/// Bytes that an entry takes beside its name: two times, a tag, a size and the numbers of the fields take 72 at most.
const ENTRY: usize = 80;
/// Bytes of a page that are for its entries. The rest is for what surrounds them.
const ROOM: usize = MAX_REPLY - 256;

/// The entries of the directory at `path`, or of the root, whose names come after `after`. Blocks.
///
/// Every page reads all names of the directory and keeps the first ones: nothing is remembered between two pages, and the memory
/// does not grow with the directory. What changes meanwhile is listed or not; what stays is listed once, for a page
/// continues behind a name and not behind a number.
pub(crate) fn page(
    root: &Root,
    path: Option<&RequestPath>,
    after: &str,
    tags: &TagCache,
) -> Result<Listed, OpenError> {
    let dir = root.open_directory(path)?;
    let mut after = after.to_owned();
    loop {
        let names = first_names(&dir, &after).map_err(OpenError::Unreadable)?;
        let Some(last) = names.first.last().cloned() else {
            return Ok(Listed { unnamed: names.unnamed, ..Listed::default() });
        };
        let more = names.more;
        let listed = entries(names, |name| look(root, path, &dir, name), tags);
        // A page whose entries are all gone by now says nothing of where the next one begins.
        if !more || !listed.entries.is_empty() {
            return Ok(listed);
        }
        after = last;
    }
}

fn entries(
    names: Names,
    look: impl Fn(&str) -> Option<(EntryKind, Option<FileKey>)>,
    tags: &TagCache,
) -> Listed {
    let Names { first, more, unnamed } = names;
    let mut listed = Listed { entries: Vec::with_capacity(first.len()), more, unnamed };
    let mut room = ROOM;
    for name in first {
        let Some((kind, key)) = look(&name) else { continue };
        let Some(left) = room.checked_sub(name.len() + ENTRY) else {
            listed.more = true;
            break;
        };
        room = left;
        listed.entries.push(entry(name, kind, key, tags));
    }
    listed.more &= !listed.entries.is_empty();
    listed
}

/// The first names behind another one.
struct Names {
    /// In their order.
    first: Vec<String>,
    more: bool,
    unnamed: u64,
}

fn first_names(dir: &Dir, after: &str) -> io::Result<Names> {
    let mut first = BinaryHeap::with_capacity(MAX_ENTRIES + 1);
    let (mut more, mut unnamed) = (false, 0);
    for entry in dir.entries()? {
        let Ok(name) = entry?.file_name().into_string() else {
            unnamed += 1;
            continue;
        };
        if name.as_str() <= after {
            continue;
        }
        first.push(name);
        if first.len() > MAX_ENTRIES {
            first.pop();
            more = true;
        }
    }
    Ok(Names { first: first.into_sorted_vec(), more, unnamed })
}

/// What an entry is; `None`: it is gone.
fn look(
    root: &Root,
    path: Option<&RequestPath>,
    dir: &Dir,
    name: &str,
) -> Option<(EntryKind, Option<FileKey>)> {
    let other = Some((EntryKind::Other, None));
    let metadata = match dir.symlink_metadata(name) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        // It is there: whoever compares is not to take it for gone.
        Err(_) => return other,
    };
    if metadata.is_dir() {
        return Some((EntryKind::Directory, None));
    }
    if metadata.is_file() {
        return Some((EntryKind::File, Some(FileKey::of_entry(&metadata))));
    }
    if !metadata.is_symlink() {
        return other;
    }
    // Only links to files: one to a directory may lead to the very directory that is listed.
    let below = match path {
        Some(path) => format!("{path}/{name}"),
        None => name.to_owned(),
    };
    let file = RequestPath::new(below).ok().and_then(|path| root.open_file(&path).ok());
    file.map_or(other, |file| Some((EntryKind::File, Some(file.key()))))
}

fn entry(name: String, kind: EntryKind, key: Option<FileKey>, tags: &TagCache) -> Entry {
    let Some(key) = key else {
        return Entry { name, kind, size: 0, modified: (0, 0), tag: None };
    };
    let (seconds, nanoseconds) = key.modified;
    let modified = (seconds, u32::try_from(nanoseconds).unwrap_or_default());
    Entry { name, kind, size: key.size, modified, tag: tags.known(key) }
}
