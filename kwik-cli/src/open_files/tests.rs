#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::Barrier;

use super::*;

fn client(n: u8) -> Client {
    Some([192, 0, 2, n].into())
}

/// A directory with files `0` to `n`, each of which has its name as its content.
fn made(count: usize) -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..count {
        fs::write(dir.path().join(n.to_string()), n.to_string()).unwrap();
    }
    let root = Root::open(dir.path()).unwrap();
    (dir, root)
}

fn find(files: &OpenFiles, root: &Root, n: usize, client: Client) -> ServedFile {
    files.find(root, RequestPath::new(n.to_string()).unwrap(), client).unwrap()
}

fn descriptors(dir: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    links
        .filter(|it| {
            fs::read_link(it.as_ref().unwrap().path())
                .is_ok_and(|to| to.starts_with(dir) && to != dir)
        })
        .count()
}

#[test]
fn many_files_are_read_through_few_descriptors() {
    let (dir, root) = made(50);
    let files = OpenFiles::new(8);
    let found: Vec<_> = (0..50).map(|n| find(&files, &root, n, client(n as u8))).collect();
    for _ in 0..3 {
        for (n, file) in found.iter().enumerate() {
            assert_eq!(file.read_at(0, 10).unwrap(), n.to_string().as_bytes());
            assert!(files.count() <= 8 && descriptors(dir.path()) <= 8);
        }
    }
    drop(found);
    assert_eq!((files.count(), descriptors(dir.path())), (0, 0));
}

#[test]
fn a_client_that_asks_for_many_takes_its_own_places() {
    let (dir, root) = made(100);
    let files = OpenFiles::new(32);
    let honest = find(&files, &root, 0, client(1));
    let _greedy: Vec<_> = (1..100).map(|n| find(&files, &root, n, client(2))).collect();
    assert_eq!(files.count(), 1 + 32 / PART);
    // It is still open: replaced it can be read.
    fs::rename(dir.path().join("1"), dir.path().join("0")).unwrap();
    assert_eq!(honest.read_at(0, 10).unwrap(), b"0");
}

#[test]
fn the_file_that_was_read_last_keeps_its_place() {
    let (dir, root) = made(3);
    let files = OpenFiles::new(2);
    let [read, idle] = [0, 1].map(|n| find(&files, &root, n, client(n as u8)));
    read.read_at(0, 1).unwrap();
    let _third = find(&files, &root, 2, client(2));
    for n in ["0", "1"] {
        fs::remove_file(dir.path().join(n)).unwrap();
    }
    assert_eq!(read.read_at(0, 1).unwrap(), b"0", "it stayed open");
    assert!(idle.read_at(0, 1).is_err());
}

#[test]
fn a_file_that_was_closed_is_opened_again_only_if_it_is_the_same() {
    let (dir, root) = made(3);
    let files = OpenFiles::new(1);
    let file = find(&files, &root, 0, client(1));
    let other = find(&files, &root, 1, client(1));
    assert!(!file.was_written().unwrap());
    other.read_at(0, 1).unwrap();
    fs::rename(dir.path().join("2"), dir.path().join("0")).unwrap();
    assert!(file.was_written().unwrap());
    let error = file.read_at(0, 1).unwrap_err();
    assert!(error.to_string().contains("another"), "{error}");
    // What fails takes no place.
    assert_eq!(other.read_at(0, 1).unwrap(), b"1");
}

#[test]
fn who_finds_all_files_being_read_waits_for_one() {
    let (_dir, root) = made(9);
    let files = OpenFiles::new(1);
    let found: Vec<_> = (0..9).map(|n| find(&files, &root, n, client(1))).collect();
    let reading = Barrier::new(2);
    std::thread::scope(|scope| {
        let (first, others) = found.split_first().unwrap();
        let slow = scope.spawn(|| {
            first.with(|file| {
                reading.wait();
                // The others have come, or come later: both is right.
                std::thread::yield_now();
                file.read_at(0, 1)
            })
        });
        reading.wait();
        let waiting: Vec<_> = others.iter().map(|it| scope.spawn(|| it.read_at(0, 1))).collect();
        assert_eq!(slow.join().unwrap().unwrap(), b"0");
        for (n, read) in (1..).zip(waiting) {
            assert_eq!(read.join().unwrap().unwrap(), format!("{n}").as_bytes());
        }
    });
    assert_eq!(files.count(), 1);
}
