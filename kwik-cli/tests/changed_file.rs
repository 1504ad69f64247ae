//! A primary whose own copy changes while it is sent tells its client at once, and why.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use common::stream::Download;
use common::{Fleet, content};

const SIZE: usize = 96 << 20;
const BEGUN: usize = 4 << 20;

fn truncate(file: &Path) {
    File::options().write(true).open(file).unwrap().set_len(SIZE as u64 / 2).unwrap();
}

fn overwrite(file: &Path) {
    File::options().write(true).open(file).unwrap().write_all(b"another content").unwrap();
}

/// How the download ends when `change` is done to the primary's copy in the middle of it.
fn broken_off(secondaries: usize, args: &[&str], change: impl FnOnce(&Path)) {
    let content = content(SIZE);
    let fleet = Fleet::start_with(secondaries, &[("f", &content)], args, |it| it.address);
    fleet.warm_up("f");
    let mut download = Download::start(&fleet, "f");
    download.read(BEGUN);
    change(&fleet.dir.path().join("root-primary/f"));
    let (code, received, stderr) = download.end();
    assert_eq!(code, Some(6), "{stderr}");
    // It asks once more, whether another server has what it began, and finds what there is now.
    assert!(stderr.contains("the content has changed"), "{stderr}");
    assert!(stderr.contains(&fleet.primary.address.to_string()), "which server: {stderr}");
    assert!(content.starts_with(&received), "no wrong byte before it");
    let warnings = fleet.primary.logged(&["WARN"]);
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].contains("broken off"), "{warnings:?}");
}

#[test]
fn alone() {
    broken_off(0, &[], overwrite);
}

#[test]
fn with_secondaries() {
    broken_off(2, &[], overwrite);
}

#[test]
fn truncated_with_secondaries() {
    broken_off(2, &[], truncate);
}

#[test]
fn where_only_secondaries_send() {
    broken_off(2, &["--delegate-only"], overwrite);
}

#[test]
fn where_nothing_reads_the_copy() {
    broken_off(2, &["--delegate-only", "--no-proof"], overwrite);
}

#[test]
fn a_file_that_is_replaced_by_another_is_sent_to_its_end() {
    let content = content(SIZE);
    let fleet = Fleet::start(2, &[("f", &content)]);
    fleet.warm_up("f");
    let mut download = Download::start(&fleet, "f");
    download.read(BEGUN);
    let root = fleet.dir.path().join("root-primary");
    std::fs::write(root.join("g"), b"another content").unwrap();
    std::fs::rename(root.join("g"), root.join("f")).unwrap();
    download.succeed(&content);
}
