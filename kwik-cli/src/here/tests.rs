#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;

use super::*;
use crate::directory::EntryKind;

fn entry(content: &[u8], modified: (i64, u32), tag: Option<Tag>) -> Entry {
    let size = content.len() as u64;
    Entry { name: "f".to_owned(), kind: EntryKind::File, size, modified, tag }
}

fn tag(content: &[u8]) -> Tag {
    blake3::hash(content).into()
}

#[test]
fn names_that_could_lead_elsewhere_are_refused() {
    let long = "x".repeat(256);
    for name in ["", ".", "..", "a/b", "/etc", "../x", "a\0b", "x.part.kwik", &long] {
        assert!(fault_of(name).is_some(), "{name:?}");
    }
    for name in ["a", "...", "a b", "ü", "-", "a\\b", &long[1..], "con", "x.part"] {
        assert!(fault_of(name).is_none(), "{name:?}");
    }
}

#[test]
fn a_file_is_put_with_its_time_in_place_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    for (content, time) in [(&b"old"[..], (1_000, 5)), (b"newer", (-5, 7)), (b"", (i64::MAX, 0))] {
        put(&path, content, Some(time)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    put(&path, b"x", Some((-5, 7))).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (-5, 7));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn what_may_not_be_replaced_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name| dir.path().join(name);
    fs::create_dir(path("directory")).unwrap();
    fs::write(path("protected"), b"old").unwrap();
    fs::set_permissions(path("protected"), Permissions::from_mode(0o444)).unwrap();
    assert!(put(&path("directory"), b"", None).is_err());
    assert!(put(&path("protected"), b"", None).is_err());
    fs::write(path("named"), b"old").unwrap();
    fs::set_permissions(path("named"), Permissions::from_mode(0o640)).unwrap();
    symlink("named", path("link")).unwrap();
    put(&path("link"), b"new", None).unwrap();
    assert_eq!(fs::read(path("named")).unwrap(), b"new");
    assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
    assert_eq!(fs::metadata(path("named")).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn a_file_is_the_same_by_time_or_by_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    put(&path, b"content", Some((1_000, 5))).unwrap();
    assert!(is_same(&path, &entry(b"content", (1_000, 5), None)));
    assert!(!is_same(&path, &entry(b"content", (1_000, 6), None)));
    assert!(!is_same(&path, &entry(b"longer content", (1_000, 5), None)));
    assert!(!is_same(&path, &entry(b"content", (1_001, 0), Some(tag(b"CONTENT")))));
    assert!(is_same(&path, &entry(b"content", (1_001, 0), Some(tag(b"content")))));
    assert_eq!(fs::metadata(&path).unwrap().mtime(), 1_001, "the time is the server's now");
    assert!(!is_same(dir.path(), &entry(b"", (0, 0), None)));
    assert!(!is_same(&dir.path().join("missing"), &entry(b"", (0, 0), None)));
}

#[test]
fn what_was_not_seen_is_removed_and_nothing_outside() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in
        ["in/keep/a", "in/keep/b", "in/gone/c", "in/half/d", "in/half/mine", "out/e", "in/f"]
    {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), b"x").unwrap();
    }
    symlink("../out", path("in/link")).unwrap();
    symlink("../out", path("in/seen-link")).unwrap();
    let mut seen = Seen::default();
    for name in ["keep", "keep/a", "seen-link"] {
        assert!(seen.add(name.as_bytes()));
    }
    let (mut removed, failed) =
        remove_others(&path("in"), &seen, &|below, _| !below.ends_with("mine"));
    removed.sort();
    assert!(failed.is_empty(), "{failed:?}");
    let expected =
        ["gone", "gone/c", "f", "half/d", "keep/b", "link"].map(|name| path("in").join(name));
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(removed, expected);
    for name in ["in/keep/a", "in/half/mine", "out/e", "in/seen-link/e"] {
        assert!(path(name).exists(), "{name}");
    }
}

#[test]
fn case_is_tried_out() {
    let dir = tempfile::tempdir().unwrap();
    let here = Case::of(dir.path()).unwrap();
    fs::write(dir.path().join("NAME"), b"").unwrap();
    assert_eq!(here == Case::Folded, dir.path().join("name").exists());
    assert_eq!(Case::Folded.key("A/b"), Case::Folded.key("a/B"));
    assert_ne!(Case::Kept.key("A"), Case::Kept.key("a"));
}
