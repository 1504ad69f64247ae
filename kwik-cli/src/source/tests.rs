#![allow(clippy::unwrap_used)]

use std::fs;

use super::*;
use crate::open_files::OpenFiles;
use crate::request_path::RequestPath;
use crate::root::Root;

fn source(dir: &tempfile::TempDir, content: &[u8], shift: i64) -> FileSource {
    fs::write(dir.path().join("f"), content).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let file = OpenFiles::new(8).find(&root, RequestPath::new("f").unwrap(), None).unwrap();
    FileSource::new(Arc::new(file), shift)
}

#[test]
fn offsets_of_the_stream_are_shifted_into_the_file() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(source(&dir, b"0123456789", 0).read_at(2, 3).unwrap(), "234");
    assert_eq!(source(&dir, b"0123456789", 40).read_at(42, 3).unwrap(), "234");
    assert_eq!(source(&dir, b"0123456789", -5).read_at(0, 5).unwrap(), "56789");
}

#[test]
fn only_ranges_within_the_file_are_covered() {
    let dir = tempfile::tempdir().unwrap();
    let source = source(&dir, b"0123456789", 40);
    for range in [40..50, 40..40, 50..50, 45..47] {
        assert!(source.covers(&range), "{range:?}");
    }
    #[allow(clippy::reversed_empty_ranges)]
    for range in [39..41, 0..50, 49..51, 60..70, 46..44, 0..u64::MAX] {
        assert!(!source.covers(&range), "{range:?}");
    }
    assert!(!FileSource::new(source.file.clone(), i64::MIN).covers(&(0..1)));
    assert!(!FileSource::new(source.file.clone(), i64::MAX).covers(&(0..u64::MAX)));
    assert!(source.read_at(39, 1).is_err());
    assert!(source.read_at(50, 1).is_err());
    assert_eq!(source.read_at(45, 6).unwrap(), "56789");
}

#[test]
fn a_file_that_changes_is_not_served_further() {
    let dir = tempfile::tempdir().unwrap();
    let source = source(&dir, b"0123456789", 0);
    source.read_at(0, 5).unwrap();
    fs::write(dir.path().join("f"), b"other content").unwrap();
    let error = source.read_at(5, 5).unwrap_err();
    assert!(error.to_string().contains("changed"), "{error}");
}

#[tokio::test]
async fn a_range_is_read_in_order_and_completely() {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..3 * MOST_CHUNK + 77).map(|i| (i % 251) as u8).collect();
    let source = source(&dir, &content, 40);
    let len = content.len() as u64;
    for range in [0..len, 5..5, 1..MOST_CHUNK + 1, MOST_CHUNK..len, len - 1..len] {
        let mut ahead = InOrder::new(source.clone(), range.start + 40..range.end + 40);
        let mut read = Vec::new();
        while let Some((offset, bytes)) = ahead.next().await.unwrap() {
            assert_eq!(offset, 40 + range.start + read.len() as u64);
            read.extend_from_slice(&bytes);
        }
        assert_eq!(read, content[range.start as usize..range.end as usize]);
    }
}

#[tokio::test]
async fn no_more_is_read_than_there_is_room_for() {
    let dir = tempfile::tempdir().unwrap();
    let source = source(&dir, &vec![7; 2 * MOST_CHUNK as usize], 40);
    let range = 40..40 + 2 * MOST_CHUNK;
    for (room, read) in [
        (1, LEAST_CHUNK),
        (LEAST_CHUNK as usize, LEAST_CHUNK),
        (100_000, 100_000),
        (usize::MAX, MOST_CHUNK),
    ] {
        assert_eq!(
            source.read(&range, room, &mut Ahead::new(40)).await.unwrap().len() as u64,
            read
        );
    }
    let last = source.read(&(range.end - 5..range.end), 1, &mut Ahead::new(40)).await.unwrap();
    assert_eq!(last.len(), 5);
    assert!(source.read(&(range.end..range.end + 1), 1, &mut Ahead::new(40)).await.is_err());
}

#[tokio::test]
async fn a_range_beyond_the_file_is_an_error_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut ahead = InOrder::new(source(&dir, b"short", 0), 0..6);
    assert_eq!(ahead.next().await.unwrap().unwrap().1, "short");
    assert!(ahead.next().await.is_err());
    assert_eq!(ahead.next().await.unwrap(), None);
}

#[tokio::test]
async fn the_system_reads_ahead_within_the_range_alone() {
    let dir = tempfile::tempdir().unwrap();
    let content = vec![0; 4 * AHEAD as usize + 77];
    let source = source(&dir, &content, 0);
    for range in [0..content.len() as u64, MOST_CHUNK..2 * AHEAD, 5..6, 5..5] {
        let mut ahead = InOrder::new(source.clone(), range.clone());
        let mut ends = vec![ahead.ahead.0];
        while let Some((offset, _)) = ahead.next().await.unwrap() {
            let ask = ahead.ahead.0;
            assert!(
                ask <= range.end && ask <= offset + 2 * MOST_CHUNK + AHEAD,
                "{ask} at {offset}"
            );
            assert!(ask >= range.end.min(ahead.left.start + AHEAD / 2), "{ask} at {offset}");
            ends.push(ask);
        }
        ends.dedup();
        // Few calls for many reads.
        assert!(ends.len() as u64 <= 2 + (range.end - range.start) / (AHEAD / 2), "{ends:?}");
    }
}
