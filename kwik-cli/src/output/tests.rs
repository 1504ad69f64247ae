#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;

use super::*;
use crate::gather::BUFFER;
use crate::kept::kept;

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
