#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::request_path::RequestPath;
use crate::root::Root;

struct Bench {
    _dir: tempfile::TempDir,
    root: PathBuf,
    state: PathBuf,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let (root, state) = (dir.path().join("root"), dir.path().join("state"));
    fs::create_dir(&root).unwrap();
    Bench { _dir: dir, root, state }
}

impl Bench {
    fn file(&self, content: &[u8]) -> Arc<OpenFile> {
        fs::write(self.root.join("f"), content).unwrap();
        self.reopened()
    }

    fn reopened(&self) -> Arc<OpenFile> {
        let root = Root::open(&self.root).unwrap();
        Arc::new(root.open_file(&RequestPath::new("f").unwrap()).unwrap())
    }

    fn cache(&self) -> TagCache {
        TagCache::new(TagStore::open(&self.state).unwrap())
    }
}

fn tag_of(content: &[u8]) -> Tag {
    blake3::hash(content).into()
}

#[tokio::test]
async fn the_tag_is_the_hash_of_the_content() {
    let bench = bench();
    let large = vec![7; 3 << 20];
    for content in [&b""[..], b"x", &large] {
        let file = bench.file(content);
        assert_eq!(bench.cache().tag(&file).await.unwrap(), tag_of(content));
    }
}

#[tokio::test]
async fn the_first_lookup_is_pending_and_a_later_one_ready() {
    let bench = bench();
    let (cache, file) = (bench.cache(), bench.file(b"content"));
    let Lookup::Pending(hashing) = cache.lookup(&file).await else { panic!("known already") };
    assert_eq!(hashing.outcome().await.unwrap(), tag_of(b"content"));
    assert!(matches!(cache.lookup(&file).await, Lookup::Ready(tag) if tag == tag_of(b"content")));
}

#[tokio::test]
async fn a_restarted_server_knows_the_tag_at_once() {
    let bench = bench();
    let file = bench.file(b"content");
    bench.cache().tag(&file).await.unwrap();
    assert!(matches!(bench.cache().lookup(&bench.reopened()).await, Lookup::Ready(_)));
}

#[tokio::test]
async fn a_rewritten_file_gets_a_new_tag() {
    let bench = bench();
    let cache = bench.cache();
    cache.tag(&bench.file(b"before")).await.unwrap();
    // Same size, and the modification time set back: only the change time tells.
    let before = fs::metadata(bench.root.join("f")).unwrap().modified().unwrap();
    fs::write(bench.root.join("f"), b"beyond").unwrap();
    fs::File::options()
        .write(true)
        .open(bench.root.join("f"))
        .unwrap()
        .set_modified(before)
        .unwrap();
    assert_eq!(cache.tag(&bench.reopened()).await.unwrap(), tag_of(b"beyond"));
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_opened_has_no_tag() {
    let bench = bench();
    let file = bench.file(b"before");
    fs::write(bench.root.join("f"), b"after, and longer").unwrap();
    let error = bench.cache().tag(&file).await.unwrap_err();
    assert!(error.to_string().contains("changed"), "{error}");
    assert_eq!(bench.cache().tag(&bench.reopened()).await.unwrap(), tag_of(b"after, and longer"));
}

#[tokio::test]
async fn beyond_the_cap_files_are_told_busy() {
    let bench = bench();
    let (cache, file) = (bench.cache(), bench.file(b"x"));
    let (_keep, pending) = watch::channel(None);
    for inode in 0..MAX_RUNNING as u64 {
        let key = FileKey { inode: u64::MAX - inode, ..file.key() };
        cache.shared.tables().running.insert(key, pending.clone());
    }
    assert!(matches!(cache.lookup(&file).await, Lookup::Busy));
    assert!(cache.tag(&file).await.is_err());
}

#[test]
fn memory_for_tags_is_bounded() {
    let mut tables = Tables::default();
    let key = FileKey { device: 0, inode: 0, size: 0, modified: (0, 0), changed: (0, 0) };
    for inode in 0..3 * MAX_KNOWN as u64 {
        tables.remember(FileKey { inode, ..key }, Tag([0; 32]));
        assert!(tables.known.len() <= MAX_KNOWN);
    }
}
