#![allow(clippy::unwrap_used)]

use super::*;

fn variables<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<PathBuf> + 'a {
    move |name| set.iter().find(|(set, _)| *set == name).map(|(_, value)| PathBuf::from(value))
}

#[test]
fn the_default_follows_the_xdg_specification() {
    let both = [("XDG_STATE_HOME", "/s"), ("HOME", "/h")];
    assert_eq!(default_path(variables(&both)).unwrap(), Path::new("/s/kwik"));
    let relative = [("XDG_STATE_HOME", "s"), ("HOME", "/h")];
    assert_eq!(default_path(variables(&relative)).unwrap(), Path::new("/h/.local/state/kwik"));
    let error = default_path(variables(&[])).unwrap_err().to_string();
    assert!(error.contains("--state"), "{error}");
}

#[test]
fn the_certificate_is_made_once_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(Some(&dir.path().join("a/b"))).unwrap();
    assert_eq!(&*state.certificate(|| Ok("first".to_owned().into())).unwrap(), "first");
    let again = StateDir::open(Some(state.path())).unwrap();
    assert_eq!(&*again.certificate(|| panic!("made twice")).unwrap(), "first");
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1);
}

#[test]
fn of_two_that_make_it_at_once_both_use_the_one_that_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(Some(dir.path())).unwrap();
    let pem = state.certificate(|| {
        state.certificate(|| Ok("faster".to_owned().into())).unwrap();
        Ok("slower".to_owned().into())
    });
    assert_eq!(&*pem.unwrap(), "faster");
}

#[test]
fn only_the_owner_may_read_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(Some(dir.path())).unwrap();
    state.certificate(|| Ok("pem".to_owned().into())).unwrap();
    let path = dir.path().join(CERTIFICATE);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = format!("{:#}", state.certificate(|| panic!("made anew")).unwrap_err());
    assert!(error.contains("chmod 600") && error.contains("server.pem"), "{error}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = format!("{:#}", StateDir::open(Some(&file.join("x"))).unwrap_err());
    assert!(error.contains("file/x") && error.contains("--state"), "{error}");
}

#[test]
fn a_directory_that_others_may_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = format!("{:#}", StateDir::open(Some(dir.path())).unwrap_err());
    assert!(error.contains("chmod go-w") && error.contains("--state"), "{error}");
}

#[test]
fn a_certificate_that_is_a_link_is_refused() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let state = StateDir::open(Some(dir.path())).unwrap();
    let theirs = elsewhere.path().join("theirs");
    fs::write(&theirs, "pem").unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&theirs, dir.path().join(CERTIFICATE)).unwrap();
    assert!(state.certificate(|| panic!("made anew")).is_err());
}
