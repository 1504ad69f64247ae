#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::open_files::OpenFiles;
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
    fn file(&self, content: &[u8]) -> Arc<ServedFile> {
        fs::write(self.root.join("f"), content).unwrap();
        self.reopened()
    }

    fn reopened(&self) -> Arc<ServedFile> {
        let root = Root::open(&self.root).unwrap();
        let files = OpenFiles::new(1);
        Arc::new(files.find(&root, RequestPath::new("f").unwrap(), None).unwrap())
    }

    fn cache(&self) -> TagCache {
        TagCache::new(TagStore::open(&self.state).unwrap())
    }
}

impl TagCache {
    /// The tag, waiting for it if need be.
    async fn tag(&self, file: &Arc<ServedFile>) -> io::Result<Tag> {
        match self.lookup(file, None).await {
            Lookup::Ready(tag) => Ok(tag),
            Lookup::Pending(hashing) => hashing.outcome().await,
            Lookup::Busy => Err(io::Error::other("busy")),
        }
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
async fn no_more_tags_are_loaded_at_once_than_may_be() {
    let bench = bench();
    let (cache, file) = (bench.cache(), bench.file(b"content"));
    let loading = Arc::clone(&cache.shared.loading);
    let others = loading.acquire_many_owned(LOADING_AT_ONCE as u32).await.unwrap();
    let mut waits = Box::pin(cache.lookup(&file, None));
    let early = tokio::select! {
        biased;
        lookup = &mut waits => Some(lookup),
        () = std::future::ready(()) => None,
    };
    assert!(early.is_none() && cache.shared.loading.available_permits() == 0);
    drop(others);
    assert!(matches!(waits.await, Lookup::Pending(_)));
}

#[tokio::test]
async fn the_first_lookup_is_pending_and_a_later_one_ready() {
    let bench = bench();
    let (cache, file) = (bench.cache(), bench.file(b"content"));
    let Lookup::Pending(hashing) = cache.lookup(&file, None).await else { panic!("known already") };
    assert_eq!(hashing.outcome().await.unwrap(), tag_of(b"content"));
    assert!(
        matches!(cache.lookup(&file, None).await, Lookup::Ready(tag) if tag == tag_of(b"content"))
    );
}

#[tokio::test]
async fn a_restarted_server_knows_the_tag_at_once() {
    let bench = bench();
    let file = bench.file(b"content");
    bench.cache().tag(&file).await.unwrap();
    assert!(matches!(bench.cache().lookup(&bench.reopened(), None).await, Lookup::Ready(_)));
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
    let mut waiting = Vec::new();
    for inode in 0..MAX_RUNNING as u64 {
        let key = FileKey { inode: u64::MAX - inode, ..file.key() };
        let (done, pending) = watch::channel(None);
        let client = Some(std::net::Ipv4Addr::from_bits(inode as u32).into());
        cache.shared.tables().running.insert(key, Job { client, done, tagging: None });
        waiting.push(pending);
    }
    assert!(matches!(cache.lookup(&file, None).await, Lookup::Busy));
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

/// Some files, opened.
struct Files {
    _dir: tempfile::TempDir,
    opened: Vec<Arc<ServedFile>>,
}

fn files(count: usize) -> Files {
    let dir = tempfile::tempdir().unwrap();
    let (root, files) = (Root::open(dir.path()).unwrap(), OpenFiles::new(1));
    let open = |n: usize| {
        fs::write(dir.path().join(n.to_string()), n.to_string()).unwrap();
        Arc::new(files.find(&root, RequestPath::new(n.to_string()).unwrap(), None).unwrap())
    };
    let opened = (0..count).map(open).collect();
    Files { _dir: dir, opened }
}

fn client(n: u8) -> Client {
    Some([192, 0, 2, n].into())
}

fn pending(tables: &mut Tables, file: &Arc<ServedFile>, client: Client) -> Hashing {
    match tables.enter(file, client) {
        Lookup::Pending(hashing) => hashing,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_of_many_slices_gets_the_tag_of_the_whole() {
    let bench = bench();
    let content: Vec<u8> = (0..3 * SLICE + 5).map(|at| (at / 1000) as u8).collect();
    let file = bench.file(&content);
    assert_eq!(bench.cache().tag(&file).await.unwrap(), tag_of(&content));
}

#[test]
fn a_small_file_does_not_wait_for_the_large_ones_of_another_client() {
    let files = files(40);
    let mut tables = Tables::default();
    let mut large = Vec::new();
    for file in &files.opened[..30] {
        large.push(pending(&mut tables, file, client(1)));
    }
    let at_work = [(); HASHING_AT_ONCE].map(|()| tables.next().unwrap());
    let small = &files.opened[30];
    let _small = pending(&mut tables, small, client(2));
    for turn in at_work {
        tables.put_back(turn.key, turn.tagging);
    }
    assert_eq!(tables.next().unwrap().key, small.key());
}

#[test]
fn one_client_does_not_take_all_places() {
    let files = files(MAX_OF_CLIENT + 1);
    let mut tables = Tables::default();
    let (last, first) = files.opened.split_last().unwrap();
    let _waiting: Vec<_> = first.iter().map(|it| pending(&mut tables, it, client(1))).collect();
    assert!(matches!(tables.enter(last, client(1)), Lookup::Busy));
    assert!(matches!(tables.enter(last, client(2)), Lookup::Pending(_)));
}

#[test]
fn what_nobody_waits_for_comes_last_and_only_a_little_of_it_is_kept() {
    let files = files(12);
    let mut tables = Tables::default();
    for file in &files.opened[..10] {
        drop(pending(&mut tables, file, client(1)));
    }
    let wanted = &files.opened[10];
    let _waits = pending(&mut tables, wanted, client(1));
    assert_eq!(tables.next().unwrap().key, wanted.key());
    assert_eq!(tables.running.len(), 1 + MAX_ABANDONED);
    // Who comes back finds it further, and in front of those that nobody wants.
    let back = &files.opened[9];
    let _again = pending(&mut tables, back, client(3));
    assert_eq!(tables.next().unwrap().key, back.key());
    assert_eq!(tables.next().unwrap().key, files.opened[6].key());
}

#[test]
fn what_nobody_waits_for_rests_after_each_slice_and_keeps_nobody_up() {
    let files = files(3);
    let mut tables = Tables::default();
    for file in &files.opened[..2] {
        drop(pending(&mut tables, file, client(1)));
    }
    let first = tables.next().unwrap();
    assert!(first.abandoned);
    assert!(tables.next().is_none(), "one at a time");
    tables.put_back(first.key, first.tagging);
    assert!(tables.next().is_none(), "it rests");
    // Who waits for one is not held up: for another file, nor for one of these.
    for wanted in [&files.opened[2], &files.opened[0]] {
        let _waits = pending(&mut tables, wanted, client(2));
        let turn = tables.next().unwrap();
        assert_eq!((turn.key, turn.abandoned), (wanted.key(), false));
        tables.finish(turn.key, Ok(Tag([1; 32])));
        assert!(tables.next().is_none());
    }
    tables.resting = false;
    assert_eq!(tables.next().unwrap().key, files.opened[1].key());
}

#[test]
fn files_that_nobody_waits_for_have_a_twentieth_of_a_worker() {
    for took in [1, 100, 3_000].map(Duration::from_millis) {
        assert_eq!(took + pause_after(took), ABANDONED_SHARE * took);
    }
}

/// Who comes back finds it done.
#[tokio::test]
async fn a_file_whose_client_is_gone_is_hashed_to_its_end() {
    let bench = bench();
    let content: Vec<u8> = (0..3 * SLICE + 5).map(|at| (at / 1000) as u8).collect();
    let (cache, file) = (bench.cache(), bench.file(&content));
    drop(cache.lookup(&file, client(1)).await);
    while !cache.shared.tables().known.contains_key(&file.key()) {
        // As if the pause were over.
        cache.shared.tables().resting = false;
        Shared::put_to_work(&cache.shared);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(
        matches!(cache.lookup(&file, None).await, Lookup::Ready(tag) if tag == tag_of(&content))
    );
}

#[test]
fn the_client_that_left_hinders_nobody_who_waits_for_the_same_file() {
    let files = files(1);
    let mut tables = Tables::default();
    let gone = pending(&mut tables, &files.opened[0], client(1));
    let stays = pending(&mut tables, &files.opened[0], client(2));
    drop(gone);
    let turn = tables.next().unwrap();
    tables.finish(turn.key, Ok(Tag([1; 32])));
    assert!(matches!(*stays.0.borrow(), Some(Ok(Tag(tag))) if tag == [1; 32]));
}
