#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use super::*;

fn file(dir: &Path, mode: u32) -> PathBuf {
    let path = dir.join(format!("key-{mode:o}"));
    fs::write(&path, "secret").unwrap();
    set_mode(&path, mode);
    path
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn fifo(path: &Path) {
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        rustix::fs::FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
}

fn why(result: anyhow::Result<impl Sized>) -> String {
    format!("{:#}", result.err().unwrap())
}

#[test]
fn a_key_is_read_only_if_nobody_else_may() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o600, 0o400] {
        let key = read_key(&file(dir.path(), mode), Links::Followed).unwrap();
        assert_eq!((&*key, format!("{key:?}")), ("secret", "Secret".to_owned()));
    }
    for mode in [0o644, 0o640, 0o604, 0o620, 0o602, 0o666, 0o601] {
        let path = file(dir.path(), mode);
        let error = why(read_key(&path, Links::Followed));
        let advice = format!("chmod 600 {}", path.display());
        assert!(error.contains(&advice) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    fifo(&pipe);
    for links in [Links::Followed, Links::Refused] {
        assert!(why(read_key(&pipe, links)).contains("regular file"));
    }
    assert!(why(read_key(dir.path(), Links::Followed)).contains("regular file"));
    assert!(read_own(&pipe, 100).is_err());
    assert!(why(read_key(&dir.path().join("none"), Links::Followed)).contains("none"));
}

#[test]
fn links_are_followed_where_the_user_named_them() {
    let dir = tempfile::tempdir().unwrap();
    let (key, link) = (file(dir.path(), 0o600), dir.path().join("link"));
    symlink(&key, &link).unwrap();
    assert_eq!(&*read_key(&link, Links::Followed).unwrap(), "secret");
    assert!(read_key(&link, Links::Refused).is_err());
    assert!(read_own(&link, 100).is_err());
    let loose = file(dir.path(), 0o644);
    fs::remove_file(&link).unwrap();
    symlink(&loose, &link).unwrap();
    assert!(why(read_key(&link, Links::Followed)).contains("chmod 600"), "the target counts");
}

#[test]
fn a_file_is_read_up_to_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), 0o600);
    assert_eq!(read_own(&path, 6).unwrap(), "secret");
    assert!(read_own(&path, 5).is_err());
}

#[test]
fn a_directory_that_others_may_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o700, 0o755, 0o750] {
        set_mode(dir.path(), mode);
        check_directory(dir.path()).unwrap();
    }
    for mode in [0o777, 0o775, 0o757, 0o1777] {
        set_mode(dir.path(), mode);
        let error = why(check_directory(dir.path()));
        assert!(error.contains("chmod go-w") && error.contains("--state"), "{error}");
    }
    assert!(why(check_directory(&file(dir.path(), 0o600))).contains("no directory"));
}
