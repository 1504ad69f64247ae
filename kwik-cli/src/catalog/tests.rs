#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;

use kwik_server::RangeSource as _;

use super::*;
use crate::tag::Tag;
use crate::tag_store::TagStore;

struct Bench {
    dir: tempfile::TempDir,
    catalog: Catalog,
}

fn bench(content: &[u8]) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("f"), content).unwrap();
    let tags = TagCache::new(TagStore::open(&dir.path().join("state")).unwrap());
    Bench { catalog: Catalog::new(Root::open(&root).unwrap(), tags, OpenFiles::new(2)), dir }
}

fn get(path: &str) -> Get {
    Get { path: path.into(), offset: 0, length: None, if_tag: None }
}

fn tag(content: &[u8]) -> Tag {
    blake3::hash(content).into()
}

fn resource(content: &[u8]) -> Resource {
    Resource { path: "f".into(), tag: tag(content), shift: 40 }
}

async fn code(bench: &Bench, get: Get) -> FailureCode {
    bench.catalog.find(&get).await.unwrap_err().code
}

#[tokio::test]
async fn a_file_is_found_with_size_tag_and_range() {
    let bench = bench(b"0123456789");
    for (offset, length, expected) in
        [(0, None, 10), (0, Some(10), 10), (4, None, 6), (4, Some(2), 2), (10, None, 0)]
    {
        let get = Get { offset, length, if_tag: Some(tag(b"0123456789")), ..get("f") };
        let found = bench.catalog.find(&get).await.unwrap().found;
        let expected = Found { size: 10, tag: tag(b"0123456789"), offset, length: expected };
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn what_cannot_be_served_is_told_why() {
    let bench = bench(b"0123456789");
    let root = bench.dir.path().join("root");
    fs::create_dir(root.join("sub")).unwrap();
    fs::write(bench.dir.path().join("secret"), b"secret").unwrap();
    symlink("../secret", root.join("link")).unwrap();
    for (path, expected) in [
        ("missing", FailureCode::NotFound),
        ("sub", FailureCode::NotAFile),
        ("link", FailureCode::BadPath),
        ("../secret", FailureCode::BadPath),
        ("/etc/passwd", FailureCode::BadPath),
        ("", FailureCode::BadPath),
        ("a\0b", FailureCode::BadPath),
    ] {
        assert_eq!(code(&bench, get(path)).await, expected, "{path}");
    }
    for (offset, length) in [(11, None), (5, Some(6)), (u64::MAX, Some(u64::MAX))] {
        let get = Get { offset, length, ..get("f") };
        assert_eq!(code(&bench, get).await, FailureCode::BadRange, "{offset} {length:?}");
    }
    let other = Get { if_tag: Some(Tag([0; 32])), ..get("f") };
    assert_eq!(code(&bench, other).await, FailureCode::TagMismatch);
}

#[tokio::test]
async fn a_secondary_asks_to_wait_while_its_copy_is_hashed() {
    let bench = bench(b"0123456789");
    let mut waits = 0;
    for _ in 0..2 {
        let resource = resource(b"0123456789");
        let source = bench.catalog.check(&resource, &(40..50), || waits += 1).await.unwrap();
        assert_eq!(source.read_at(42, 3).unwrap(), "234");
    }
    assert_eq!(waits, 1, "the second time the tag is known");
}

#[tokio::test]
async fn a_secondary_refuses_what_it_does_not_have() {
    let bench = bench(b"0123456789");
    bench.catalog.find(&get("f")).await.unwrap();
    let check = async |resource: Resource, range| {
        bench.catalog.check(&resource, &range, || ()).await.map(|_| ()).unwrap_err()
    };
    let good = || resource(b"0123456789");
    assert_eq!(check(resource(b"other bytes"), 40..50).await, Refused::Stale);
    let named = |path: &str| Resource { path: path.into(), ..good() };
    assert_eq!(check(named("g"), 40..50).await, Refused::NotFound);
    assert_eq!(check(named("../root/f"), 40..50).await, Refused::Failed);
    assert_eq!(check(good(), 40..51).await, Refused::Failed);
    assert_eq!(check(good(), 39..50).await, Refused::Failed);
}

#[tokio::test]
async fn a_copy_that_was_changed_is_stale() {
    let bench = bench(b"0123456789");
    bench.catalog.find(&get("f")).await.unwrap();
    fs::write(bench.dir.path().join("root/f"), b"9876543210").unwrap();
    bench.catalog.find(&get("f")).await.unwrap();
    let refused =
        bench.catalog.check(&resource(b"0123456789"), &(40..50), || ()).await.unwrap_err();
    assert_eq!(refused, Refused::Stale);
}
