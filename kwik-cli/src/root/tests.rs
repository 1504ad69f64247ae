#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::*;

struct Tree {
    _outer: tempfile::TempDir,
    root: PathBuf,
}

/// `outer/secret`, `outer/root/{file,sub/inner}`.
fn tree() -> Tree {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(outer.path().join("secret"), b"secret").unwrap();
    fs::write(root.join("file"), b"0123456789").unwrap();
    fs::write(root.join("sub/inner"), b"inner").unwrap();
    Tree { _outer: outer, root }
}

fn open(tree: &Tree, path: &str) -> Result<OpenFile, OpenError> {
    Root::open(&tree.root).unwrap().open_file(&RequestPath::new(path).unwrap())
}

#[test]
fn a_file_below_the_root_is_opened_with_its_size() {
    let tree = tree();
    assert_eq!(open(&tree, "file").unwrap().size(), 10);
    assert_eq!(open(&tree, "sub/inner").unwrap().size(), 5);
}

#[test]
fn reads_are_positioned_and_end_with_the_file() {
    let tree = tree();
    let file = open(&tree, "file").unwrap();
    assert_eq!(file.read_at(3, 4).unwrap(), b"3456");
    assert_eq!(file.read_at(8, 4).unwrap(), b"89");
    assert_eq!(file.read_at(0, 3).unwrap(), b"012");
    assert_eq!(file.read_at(10, 4).unwrap(), b"");
}

#[test]
fn a_symbolic_link_inside_the_root_is_followed() {
    let tree = tree();
    symlink("sub/inner", tree.root.join("link")).unwrap();
    symlink("../file", tree.root.join("sub/up")).unwrap();
    assert_eq!(open(&tree, "link").unwrap().size(), 5);
    assert_eq!(open(&tree, "sub/up").unwrap().size(), 10);
}

#[test]
fn a_symbolic_link_that_leaves_the_root_is_refused() {
    let tree = tree();
    symlink("../secret", tree.root.join("relative")).unwrap();
    symlink(tree.root.parent().unwrap().join("secret"), tree.root.join("absolute")).unwrap();
    symlink("..", tree.root.join("directory")).unwrap();
    symlink("relative", tree.root.join("chain")).unwrap();
    for path in ["relative", "absolute", "directory/secret", "chain"] {
        let outcome = open(&tree, path);
        assert!(matches!(outcome, Err(OpenError::Outside)), "{path}: {outcome:?}");
    }
}

#[test]
fn what_is_missing_is_not_found() {
    let tree = tree();
    symlink("nowhere", tree.root.join("dangling")).unwrap();
    for path in ["missing", "sub/missing", "file/below", "dangling"] {
        assert!(matches!(open(&tree, path), Err(OpenError::NotFound)), "{path}");
    }
}

#[test]
fn only_regular_files_are_served() {
    let tree = tree();
    let pipe = tree.root.join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    let _socket = UnixListener::bind(tree.root.join("socket")).unwrap();
    for path in ["sub", "pipe", "socket"] {
        let outcome = open(&tree, path);
        assert!(matches!(outcome, Err(OpenError::NotAFile)), "{path}: {outcome:?}");
    }
}

#[test]
fn a_file_without_permission_is_unreadable() {
    let tree = tree();
    let path = tree.root.join("file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(&path).is_ok() {
        return; // The superuser reads everything.
    }
    assert!(matches!(open(&tree, "file"), Err(OpenError::Unreadable(_))));
}

#[test]
fn a_root_that_is_no_directory_is_refused_by_name() {
    let tree = tree();
    for path in ["missing", "file"] {
        let path = tree.root.join(path);
        let error = format!("{:#}", Root::open(&path).unwrap_err());
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn the_key_changes_with_the_content() {
    let tree = tree();
    let file = open(&tree, "file").unwrap();
    assert_eq!(file.current_key().unwrap(), file.key());
    fs::write(tree.root.join("file"), b"another size").unwrap();
    assert_ne!(file.current_key().unwrap(), file.key());
}
