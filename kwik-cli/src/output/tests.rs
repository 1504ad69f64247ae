#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;

use super::*;
use crate::gather::BUFFER;
use crate::kept::kept;
use crate::part::tests::disk::on_losing_disk;
use crate::writer::Writer;

fn making() -> Making {
    Making { urls: Vec::new(), resume: Resume::Continue, keeper: kept().0 }
}

fn file(path: &Path) -> anyhow::Result<Output> {
    Output::file(path, making()).map(|(output, _)| output)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_name_appears_only_when_everything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("f");
    let mut output = file(&target).unwrap();
    output.write(b"some ").unwrap();
    assert_eq!(names(dir.path()), ["f.part", "f.part.kwik"]);
    output.write(b"bytes").unwrap();
    output.commit().unwrap();
    assert_eq!(names(dir.path()), ["f"]);
    assert_eq!(fs::read(target).unwrap(), b"some bytes");
}

#[test]
fn an_abandoned_output_is_kept_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("f");
    let mut output = file(&target).unwrap();
    let content = Content { tag: Tag([1; 32]), size: 9 };
    output.begin(content).unwrap();
    output.write(b"half").unwrap();
    drop(output);
    let output = file(&target).unwrap();
    assert_eq!(output.resumed(), Some(Resumed { content, bytes: 4 }));
    output.reject();
    assert!(names(dir.path()).is_empty());
}

#[test]
fn an_abandoned_output_keeps_what_was_there_before() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("f");
    fs::write(&target, b"before").unwrap();
    let mut output = file(&target).unwrap();
    output.write(b"half").unwrap();
    drop(output);
    assert_eq!(fs::read(target).unwrap(), b"before");
}

#[test]
fn two_writers_of_one_file_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("f");
    let mut first = file(&target).unwrap();
    first.write(b"first").unwrap();
    let error = format!("{:#}", file(&target).unwrap_err());
    assert!(error.contains("another kwik"), "{error}");
    first.commit().unwrap();
    assert_eq!(fs::read(target).unwrap(), b"first");
}

#[test]
fn a_link_in_place_of_the_part_is_not_written_through() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("precious"), b"precious").unwrap();
    symlink("precious", dir.path().join("f.part")).unwrap();
    let mut output = file(&dir.path().join("f")).unwrap();
    output.write(b"new").unwrap();
    output.commit().unwrap();
    assert_eq!(fs::read(dir.path().join("precious")).unwrap(), b"precious");
    assert_eq!(names(dir.path()), ["f", "f.part", "precious"]);
}

#[test]
fn a_read_only_file_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("f");
    fs::write(&target, b"before").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o444)).unwrap();
    let error = format!("{:#}", file(&target).unwrap_err());
    assert!(error.contains("read-only"), "{error}");
    assert_eq!(names(dir.path()), ["f"]);
}

#[test]
fn the_advice_fits_the_cause() {
    let told = |kind: io::ErrorKind| cannot_write("f", &kind.into()).to_string();
    assert!(told(io::ErrorKind::StorageFull).contains("free some disk space"));
    assert!(told(io::ErrorKind::BrokenPipe).contains("its reader is gone"));
    for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
        let told = told(kind);
        assert!(told.contains("choose another -o") && !told.contains("space"), "{told}");
    }
}

#[test]
fn an_output_through_a_link_keeps_the_link() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("real"), b"before").unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    let mut output = file(&dir.path().join("link")).unwrap();
    output.write(b"after").unwrap();
    output.commit().unwrap();
    assert!(fs::symlink_metadata(dir.path().join("link")).unwrap().is_symlink());
    assert_eq!(fs::read(dir.path().join("real")).unwrap(), b"after");
}

#[test]
fn a_full_device_is_reported_by_name() {
    let mut output = file(Path::new("/dev/full")).unwrap();
    let outcome = output.write(&[0; 3 * BUFFER]).and_then(|()| output.commit());
    let error = format!("{:#}", outcome.unwrap_err());
    assert!(error.contains("/dev/full") && error.contains("No space left"), "{error}");
    assert!(!Path::new("/dev/full.part").exists());
}

#[test]
fn a_full_device_is_reported_even_if_little_was_written() {
    let mut output = file(Path::new("/dev/full")).unwrap();
    output.write(b"x").unwrap();
    assert!(output.commit().is_err());
}

#[test]
fn a_target_that_cannot_be_made_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no/such/dir/f");
    for path in [dir.path(), &missing] {
        let error = format!("{:#}", file(path).unwrap_err());
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn a_disk_that_loses_bytes_in_the_middle_fails_the_file_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("f");
    let mut output = file(&target).unwrap();
    let Sink::Part(part) = &mut output.sink else { panic!() };
    on_losing_disk(part, 1);
    let writer = Writer::start(output);
    let piece = bytes::Bytes::from(vec![7; 1 << 20]);
    while writer.write(piece.clone()).await {}
    let error = format!("{:#}", writer.finish().await.unwrap_err());
    assert!(error.contains(target.to_str().unwrap()) && error.contains("quota"), "{error}");
    assert!(!target.exists());
}

#[tokio::test]
async fn a_pipe_gets_what_there_is_without_waiting_for_more() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let reader = pipe.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = [0; 5];
        io::Read::read_exact(&mut File::open(reader)?, &mut bytes)?;
        io::Result::Ok(bytes)
    });
    let output = tokio::task::spawn_blocking(move || file(&pipe)).await.unwrap().unwrap();
    let writer = Writer::start(output);
    assert!(writer.write(b"first".as_slice().into()).await);
    // While the writer waits for more.
    let read = tokio::time::timeout(std::time::Duration::from_secs(60), read).await;
    assert_eq!(&read.expect("nothing comes").unwrap().unwrap(), b"first");
    writer.finish().await.unwrap();
}
