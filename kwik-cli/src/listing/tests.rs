#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;
use crate::protocol::{Message as _, Reply};
use crate::tag_store::TagStore;

struct Bench {
    _dir: tempfile::TempDir,
    path: PathBuf,
    root: Root,
    tags: TagCache,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root");
        fs::create_dir(&path).unwrap();
        let root = Root::open(&path).unwrap();
        let tags = TagCache::new(TagStore::open(&dir.path().join("state")).unwrap());
        Self { _dir: dir, path, root, tags }
    }

    fn make(&self, names: impl IntoIterator<Item = String>) {
        names.into_iter().for_each(|name| fs::write(self.path.join(name), b"x").unwrap());
    }

    fn page(&self, path: &str, after: &str) -> Listed {
        let path = (!path.is_empty()).then(|| RequestPath::new(path).unwrap());
        page(&self.root, path.as_ref(), after, &self.tags).unwrap()
    }

    /// All pages; `between` is called after each.
    fn all(&self, mut between: impl FnMut(usize)) -> Vec<String> {
        let (mut names, mut pages) = (Vec::<String>::new(), 0);
        loop {
            let listed = self.page("", names.last().map_or("", String::as_str));
            names.extend(listed.entries.into_iter().map(|entry| entry.name));
            pages += 1;
            if !listed.more {
                return names;
            }
            between(pages);
        }
    }
}

#[test]
fn entries_are_told_with_kind_size_and_time() {
    let bench = Bench::new();
    fs::create_dir(bench.path.join("sub")).unwrap();
    fs::write(bench.path.join("sub/file"), b"0123456789").unwrap();
    let file = fs::File::options().write(true).open(bench.path.join("sub/file")).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    file.set_modified(time).unwrap();
    symlink("sub/file", bench.path.join("link")).unwrap();
    symlink("sub", bench.path.join("to-directory")).unwrap();
    symlink("../state", bench.path.join("outside")).unwrap();
    symlink("nothing", bench.path.join("broken")).unwrap();
    let of_root: BTreeMap<_, _> =
        bench.page("", "").entries.into_iter().map(|e| (e.name, (e.kind, e.size))).collect();
    let (file, directory, other) = (EntryKind::File, EntryKind::Directory, EntryKind::Other);
    for (name, expected) in [
        ("sub", (directory, 0)),
        ("link", (file, 10)),
        ("to-directory", (other, 0)),
        ("outside", (other, 0)),
        ("broken", (other, 0)),
    ] {
        assert_eq!(of_root.get(name), Some(&expected), "{name}");
    }
    assert_eq!(of_root.len(), 5);
    let below = bench.page("sub", "");
    assert_eq!(below.entries.len(), 1);
    assert_eq!(below.entries[0].modified, (1_000_000_000, 123_456_789));
    assert_eq!((below.entries[0].tag, below.more), (None, false));
}

#[test]
fn a_tag_is_told_once_it_is_known() {
    let bench = Bench::new();
    bench.make(["f".to_owned()]);
    let key = bench.root.open_file(&RequestPath::new("f").unwrap()).unwrap().key();
    let store = TagStore::open(&bench.path.join("../state")).unwrap();
    let tag = blake3::hash(b"x").into();
    store.save(key, tag).unwrap();
    assert_eq!(bench.page("", "").entries[0].tag, Some(tag));
    fs::write(bench.path.join("f"), b"longer").unwrap();
    assert_eq!(bench.page("", "").entries[0].tag, None, "the file has changed");
}

#[test]
fn pages_are_bounded_and_continue_behind_a_name() {
    let bench = Bench::new();
    let names: Vec<_> = (0..2_345).map(|n| format!("{n:05}")).collect();
    bench.make(names.clone());
    let first = bench.page("", "");
    assert!(first.entries.len() <= MAX_ENTRIES && first.more);
    assert_eq!(bench.all(|_| ()), names);
    assert!(bench.page("", "02344").entries.is_empty());
    assert_eq!(bench.page("", "02343").entries.len(), 1);
}

#[test]
fn a_page_of_the_longest_names_fits_a_reply() {
    let bench = Bench::new();
    let names: Vec<_> = (0..600).map(|n| format!("{n:03}{}", "x".repeat(252))).collect();
    bench.make(names.clone());
    let page = bench.page("", "");
    assert!(page.more && page.entries.len() < 300);
    let bytes = Reply::Listed(page).to_wire().len();
    assert!(bytes <= MAX_REPLY && bytes > MAX_REPLY / 2, "{bytes}");
    assert_eq!(bench.all(|_| ()), names);
}

#[test]
fn of_a_directory_that_changes_what_stays_is_listed_once() {
    let bench = Bench::new();
    let stays: Vec<_> = (0..3_000).map(|n| format!("{n:05}-stays")).collect();
    let goes: Vec<_> = (0..3_000).map(|n| format!("{n:05}-goes")).collect();
    bench.make(stays.iter().chain(&goes).cloned());
    let names = bench.all(|page| {
        for name in goes.iter().skip(page).step_by(3) {
            let _ = fs::remove_file(bench.path.join(name));
        }
        bench.make((0..500).map(|n| format!("{:05}-new-{page}", n * 6)));
    });
    let seen: Vec<_> = names.iter().filter(|name| name.ends_with("-stays")).collect();
    assert!(seen == stays.iter().collect::<Vec<_>>(), "{} of {}", seen.len(), stays.len());
    assert!(names.is_sorted_by(|a, b| a < b));
}

#[test]
fn names_that_are_not_utf_8_are_counted() {
    let bench = Bench::new();
    bench.make(["a".to_owned()]);
    fs::write(bench.path.join(OsStr::from_bytes(b"\xff\xfe")), b"").unwrap();
    let page = bench.page("", "");
    assert_eq!((page.entries.len(), page.unnamed), (1, 1));
    let page = bench.page("", "a");
    assert_eq!((page.entries.len(), page.unnamed), (0, 1));
}

#[test]
fn what_is_no_directory_below_the_root_is_refused() {
    let bench = Bench::new();
    bench.make(["f".to_owned()]);
    symlink("..", bench.path.join("up")).unwrap();
    let page = |path: &str| {
        let path = RequestPath::new(path).unwrap();
        page(&bench.root, Some(&path), "", &bench.tags).unwrap_err()
    };
    assert!(matches!(page("f"), OpenError::NotAFile));
    assert!(matches!(page("missing"), OpenError::NotFound));
    assert!(matches!(page("up"), OpenError::Outside));
}
