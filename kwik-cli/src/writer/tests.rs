#![allow(clippy::unwrap_used)]

use std::path::Path;

use futures_util::FutureExt as _;

use super::*;
use crate::kept::kept;
use crate::output::Making;
use crate::part::Resume;

fn file(path: &Path) -> Output {
    let making = Making { urls: Vec::new(), resume: Resume::Continue, keeper: kept().0 };
    Output::file(path, making).unwrap().0
}

#[tokio::test]
async fn everything_is_written_in_order_and_hashed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let writer = Writer::start(file(&path));
    let mut expected = Vec::new();
    for i in 0..10 * QUEUE {
        let chunk = vec![i as u8; i];
        expected.extend_from_slice(&chunk);
        assert!(writer.write(chunk.into()).await);
    }
    let Written { output, tag, .. } = writer.finish().await.unwrap();
    output.commit().unwrap();
    assert_eq!(tag, blake3::hash(&expected).into());
    assert_eq!(std::fs::read(path).unwrap(), expected);
}

#[tokio::test]
async fn a_failed_write_stops_the_reader_and_is_explained() {
    let writer = Writer::start(file(Path::new("/dev/full")));
    while writer.write(vec![0; 1 << 20].into()).await {}
    let error = format!("{:#}", writer.finish().await.unwrap_err());
    assert!(error.contains("/dev/full"), "{error}");
}

#[tokio::test]
async fn an_abandoned_writer_writes_what_it_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::start(file(&dir.path().join("f")));
    writer.write(Bytes::from_static(b"half")).await;
    let Writer { queue, written } = writer;
    drop(queue);
    drop(written.await.unwrap().unwrap());
    assert_eq!(std::fs::read(dir.path().join("f.part")).unwrap(), b"half");
}

#[tokio::test]
async fn an_output_that_takes_nothing_holds_up_its_writer() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reads = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let writer = Writer::start(file(&pipe));
    let chunk = Bytes::from(vec![0; 1 << 20]);
    // In the queue, and one chunk after another of a batch as large in the thread that nobody reads from.
    let mut taken = 0;
    for _ in 0..100 * QUEUE {
        let wants = writer.write(chunk.clone());
        taken += usize::from(wants.now_or_never().is_some_and(|written| written));
        // Tokio's budget for a task would stop the writer, too.
        tokio::task::yield_now().await;
        std::thread::yield_now();
    }
    assert!((QUEUE..=2 * QUEUE).contains(&taken), "{taken}");
    drop((reads, writer));
}
