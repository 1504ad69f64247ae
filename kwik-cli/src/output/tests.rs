#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;

use super::*;

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
    let mut output = Output::file(&target).unwrap();
    output.write(b"some ").unwrap();
    assert_eq!(names(dir.path()), ["f.part"]);
    output.write(b"bytes").unwrap();
    output.commit().unwrap();
    assert_eq!(names(dir.path()), ["f"]);
    assert_eq!(fs::read(target).unwrap(), b"some bytes");
}

#[test]
fn an_abandoned_output_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut output = Output::file(&dir.path().join("f")).unwrap();
    output.write(b"half").unwrap();
    drop(output);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn an_abandoned_output_keeps_what_was_there_before() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("f");
    fs::write(&target, b"before").unwrap();
    let mut output = Output::file(&target).unwrap();
    output.write(b"half").unwrap();
    drop(output);
    assert_eq!(fs::read(target).unwrap(), b"before");
}

#[test]
fn a_left_over_part_is_started_anew() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f.part"), b"a long leftover of a crash").unwrap();
    let mut output = Output::file(&dir.path().join("f")).unwrap();
    output.write(b"new").unwrap();
    output.commit().unwrap();
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"new");
}

#[test]
fn two_writers_of_one_file_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("f");
    let mut first = Output::file(&target).unwrap();
    first.write(b"first").unwrap();
    let error = format!("{:#}", Output::file(&target).unwrap_err());
    assert!(error.contains("another process"), "{error}");
    first.commit().unwrap();
    assert_eq!(fs::read(target).unwrap(), b"first");
}

#[test]
fn a_link_in_place_of_the_part_is_not_written_through() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("precious"), b"precious").unwrap();
    symlink("precious", dir.path().join("f.part")).unwrap();
    assert!(Output::file(&dir.path().join("f")).is_err());
    assert_eq!(fs::read(dir.path().join("precious")).unwrap(), b"precious");
}

#[test]
fn an_output_through_a_link_keeps_the_link() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("real"), b"before").unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    let mut output = Output::file(&dir.path().join("link")).unwrap();
    output.write(b"after").unwrap();
    output.commit().unwrap();
    assert!(fs::symlink_metadata(dir.path().join("link")).unwrap().is_symlink());
    assert_eq!(fs::read(dir.path().join("real")).unwrap(), b"after");
}

#[test]
fn a_full_device_is_reported_by_name() {
    let mut output = Output::file(Path::new("/dev/full")).unwrap();
    let outcome = output.write(&[0; 3 * BUFFER]).and_then(|()| output.commit());
    let error = format!("{:#}", outcome.unwrap_err());
    assert!(error.contains("/dev/full") && error.contains("No space left"), "{error}");
    assert!(!Path::new("/dev/full.part").exists());
}

#[test]
fn a_full_device_is_reported_even_if_little_was_written() {
    let mut output = Output::file(Path::new("/dev/full")).unwrap();
    output.write(b"x").unwrap();
    assert!(output.commit().is_err());
}

#[test]
fn a_target_that_cannot_be_made_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no/such/dir/f");
    for path in [dir.path(), &missing] {
        let error = format!("{:#}", Output::file(path).unwrap_err());
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}
