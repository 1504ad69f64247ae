//! Directories: found by listing, fetched over one session, and left alone where nothing has changed.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Fleet, Server, content, fail, kwik, objects, root, succeed, wait_until};
use rustix::process::{Pid, Signal, kill_process};

/// The files below a directory, with what is in them.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

/// How many files had each outcome.
fn outcomes(command: &mut Command) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for object in objects(&command.output().unwrap().stdout) {
        *counts.entry(object["outcome"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

fn expect(counts: &BTreeMap<String, usize>, expected: &[(&str, usize)]) {
    let expected = expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(counts, &expected);
}

const FILES: [(&str, &[u8]); 6] = [
    ("models/a.bin", b"a"),
    ("models/b.bin", b"bb"),
    ("models/notes.txt", b""),
    ("models/sub dir/deep/c.bin", b"ccc"),
    ("models/sub dir/\u{fc}.txt", b"d"),
    ("other/e", b"e"),
];

fn below(prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let name = |(name, content): &(&str, &[u8])| {
        Some((name.strip_prefix(prefix)?.to_owned(), content.to_vec()))
    };
    FILES.iter().filter_map(name).collect()
}

#[test]
fn a_directory_comes_with_all_below_it_and_its_times() {
    let fleet = Fleet::start(0, &FILES);
    let dir = fleet.dir.path();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_234_567_890, 500_000_000);
    let file = fs::File::options().write(true).open(dir.join("root-primary/models/a.bin")).unwrap();
    file.set_modified(time).unwrap();
    succeed(fleet.get("models/").args(["-r", "-P", "here"]));
    assert_eq!(tree(&dir.join("here")), below("models/"));
    let metadata = fs::metadata(dir.join("here/a.bin")).unwrap();
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_234_567_890, 500_000_000));
    succeed(fleet.get("models").args(["-r", "-P", "named"]));
    assert_eq!(tree(&dir.join("named/models")), below("models/"));
    succeed(fleet.get("").args(["-r", "-P", "all"]));
    assert_eq!(tree(&dir.join("all")), below(""));
    // A file is a directory's name to nobody.
    succeed(fleet.get("models/a.bin").args(["-r", "-P", "file"]));
    assert_eq!(fs::read(dir.join("file/a.bin")).unwrap(), b"a");
    assert!(fail(fleet.get("models").args(["-o", "x"]), 3).contains("-r"));
}

#[test]
fn patterns_choose() {
    let fleet = Fleet::start(0, &FILES);
    let dir = fleet.dir.path();
    for (number, (url, more, expected)) in [
        ("models/*.bin", &[][..], &["a.bin", "b.bin"][..]),
        ("models/[ab].*", &[], &["a.bin", "b.bin"]),
        ("models/{a,x}.bin", &[], &["a.bin"]),
        ("models/s*", &["-r"], &["sub dir/deep/c.bin", "sub dir/\u{fc}.txt"]),
        ("models/", &["-r", "--include", "*.bin"], &["a.bin", "b.bin", "sub dir/deep/c.bin"]),
        (
            "models/",
            &["-r", "--include", "sub dir/**", "--exclude", "*.txt"],
            &["sub dir/deep/c.bin"],
        ),
        (
            "models/",
            &["-r", "--exclude", "deep", "--exclude", "a*"],
            &["b.bin", "notes.txt", "sub dir/\u{fc}.txt"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let to = format!("to-{number}");
        succeed(fleet.get(url).args(more).args(["-P", &to]));
        let found: Vec<_> = tree(&dir.join(&to)).into_keys().collect();
        assert_eq!(found, expected, "{url} {more:?}");
    }
    for more in [&["--include", "[a"][..], &["--exclude", ""], &["--include", "{"]] {
        fail(fleet.get("models/").arg("-r").args(more), 2);
    }
}

#[test]
fn patterns_are_of_what_is_below_the_url_with_and_without_a_slash_at_its_end() {
    let fleet = Fleet::start(0, &FILES);
    let dir = fleet.dir.path();
    for (url, here) in [("models/", "one"), ("models", "two/models")] {
        let to = here.split('/').next().unwrap();
        succeed(fleet.get(url).args(["-r", "--include", "sub dir/**", "-P", to]));
        let found: Vec<_> = tree(&dir.join(here)).into_keys().collect();
        assert_eq!(found, ["sub dir/deep/c.bin", "sub dir/\u{fc}.txt"], "{url}");
        let mine = dir.join(here).join("sub dir/mine");
        fs::write(&mine, b"").unwrap();
        fs::write(dir.join(here).join("mine"), b"").unwrap();
        succeed(fleet.get(url).args(["-r", "--exclude", "sub dir/*", "--delete", "-P", to]));
        assert!(mine.exists() && !dir.join(here).join("mine").exists(), "{url}");
    }
}

#[test]
fn two_patterns_of_one_directory_are_both_fetched() {
    let fleet = Fleet::start(0, &FILES);
    let other = fleet.primary.url("models/*.txt");
    succeed(fleet.get("models/*.bin").arg(other).args(["-P", "here"]));
    let found: Vec<_> = tree(&fleet.dir.path().join("here")).into_keys().collect();
    assert_eq!(found, ["a.bin", "b.bin", "notes.txt"]);
}

#[test]
fn a_file_in_place_of_a_directory_empties_nothing_and_downloads_keep_their_parts() {
    let fleet = Fleet::start(0, &FILES);
    let here = fleet.dir.path().join("here");
    fs::create_dir(&here).unwrap();
    for name in ["mine", "y.part", "y.part.kwik", "z.1.part", "z.part.kwik", "w.part"] {
        fs::write(here.join(name), b"").unwrap();
    }
    for url in ["models/a.bin/", "models/a.bin"] {
        let output = fleet.get(url).args(["-r", "-P", "here", "--delete"]).output().unwrap();
        assert!(!output.status.success(), "{url}");
        assert!(here.join("mine").exists(), "{url}");
    }
    succeed(fleet.get("models/").args(["-r", "-P", "here", "--delete"]));
    for (name, stays) in [
        ("mine", false),
        ("y.part", true),
        ("y.part.kwik", true),
        ("z.1.part", true),
        ("w.part", false),
    ] {
        assert_eq!(here.join(name).exists(), stays, "{name}");
    }
}

#[test]
fn what_is_unchanged_is_left_and_what_changed_is_fetched() {
    let fleet = Fleet::start(0, &FILES);
    let (dir, source) = (fleet.dir.path(), fleet.dir.path().join("root-primary/models"));
    let get = || {
        let mut get = fleet.get("models/");
        get.args(["-r", "-P", "here", "--json"]);
        get
    };
    expect(&outcomes(&mut get()), &[("fetched", 5)]);
    expect(&outcomes(&mut get()), &[("unchanged", 5)]);
    // Another size; the same size at another time; another time and the same bytes, of which the server knows the hash.
    fs::write(source.join("a.bin"), b"longer").unwrap();
    fs::write(source.join("b.bin"), b"BB").unwrap();
    let now = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    let file = fs::File::options().write(true).open(dir.join("here/sub dir/deep/c.bin")).unwrap();
    file.set_modified(now).unwrap();
    expect(&outcomes(&mut get()), &[("fetched", 2), ("unchanged", 3)]);
    assert_eq!(tree(&dir.join("here")), tree(&source));
    let time = |path: &Path| fs::metadata(path).unwrap().mtime();
    assert_eq!(
        time(&dir.join("here/sub dir/deep/c.bin")),
        time(&source.join("sub dir/deep/c.bin"))
    );
}

#[test]
fn what_the_server_does_not_have_is_removed_if_all_went_well() {
    let fleet = Fleet::start(0, &FILES);
    let dir = fleet.dir.path();
    for name in ["mine", "sub dir/mine.bin", "gone/deep/x", "kept.log"] {
        let path = dir.join("here").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"mine").unwrap();
    }
    fs::write(dir.join("outside"), b"stays").unwrap();
    fs::create_dir(dir.join("elsewhere")).unwrap();
    fs::write(dir.join("elsewhere/x"), b"stays").unwrap();
    symlink("../elsewhere", dir.join("here/link")).unwrap();
    let get = |path: &str| {
        let mut get = fleet.get(path);
        get.args(["-r", "-P", "here", "--delete", "--exclude", "*.log"]);
        get
    };
    // Nothing is removed where anything failed.
    let line = fail(fleet.get("missing/").args(["-r", "-P", "here", "--delete", "--quiet"]), 3);
    assert!(line.contains("missing"), "{line}");
    assert!(dir.join("here/mine").exists());
    let output = get("models/").args(["--max-size", "2"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(dir.join("here/mine").exists());
    assert!(String::from_utf8(output.stderr).unwrap().contains("nothing is removed"));
    succeed(&mut get("models/"));
    let mut expected = below("models/");
    expected.insert("kept.log".to_owned(), b"mine".to_vec());
    assert_eq!(tree(&dir.join("here")), expected);
    assert!(!dir.join("here/gone").exists() && !dir.join("here/link").exists());
    assert_eq!(fs::read(dir.join("elsewhere/x")).unwrap(), b"stays");
    assert_eq!(fs::read(dir.join("outside")).unwrap(), b"stays");
    for args in [&["--delete"][..], &["-r", "--delete"], &["-P", "here", "--delete"]] {
        fail(fleet.get("models/").args(args), 2);
    }
}

#[test]
fn large_files_are_continued_and_small_ones_come_side_by_side() {
    let large = content(24 << 20);
    let mut files: Vec<(String, Vec<u8>)> =
        (0..1_500).map(|n| (format!("d/{n:04}"), vec![b'x'; n % 977])).collect();
    files.push(("d/large".to_owned(), large));
    let files: Vec<_> = files.iter().map(|(name, content)| (&name[..], &content[..])).collect();
    let fleet = Fleet::start(1, &files);
    let dir = fleet.dir.path();
    let mut limited = fleet.get("d/");
    limited.args(["-r", "-P", "here", "--max-rate", "4MB"]).stdout(Stdio::null());
    let mut limited = limited.stderr(Stdio::null()).spawn().unwrap();
    wait_until("a part of the large file", || {
        fs::metadata(dir.join("here/large.part")).is_ok_and(|part| part.len() > 0)
    });
    kill_process(Pid::from_child(&limited), Signal::INT).unwrap();
    assert_eq!(limited.wait().unwrap().code(), Some(130));
    assert!(dir.join("here/large.part.kwik").exists());
    let mut get = fleet.get("d/");
    let output = succeed(get.args(["-r", "-P", "here", "--json"]));
    let large = objects(&output.stdout).into_iter().find(|o| o["file"] == "here/large").unwrap();
    assert!(large["resumed_at"].as_u64().unwrap() > 0, "{large}");
    assert_eq!(tree(&dir.join("here")), tree(&dir.join("root-primary/d")));
}

#[test]
fn what_cannot_be_fetched_is_named_and_the_rest_comes() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path(), "root", &[("good", b"good"), ("x.part.kwik", b"reserved")]);
    fs::write(root.join(OsStr::from_bytes(b"\xff")), b"").unwrap();
    symlink("good", root.join("link")).unwrap();
    symlink("../state", root.join("outside")).unwrap();
    symlink(".", root.join("loop")).unwrap();
    let server = Server::start(dir.path(), "state", &root, &[]);
    let mut get = kwik(dir.path());
    get.args(["get", "-r", &server.url(""), "--pin", &server.pin, "-P", "here"]);
    let output = get.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("x.part.kwik") && said.contains("UTF-8"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    let found: Vec<_> = tree(&dir.path().join("here")).into_keys().collect();
    assert_eq!(found, ["good", "link"]);
}

#[test]
fn a_server_may_list_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path(), "root", &[("f", b"content")]);
    let server = Server::start(dir.path(), "state", &root, &["--no-listing"]);
    let get = |args: &[&str]| {
        let mut get = kwik(dir.path());
        get.args(["get", "--pin", &server.pin]).args(args);
        get
    };
    let line = fail(&mut get(&["-r", &server.url(""), "-P", "here", "--quiet"]), 5);
    assert!(line.contains("lists no directories") && line.contains("name the files"), "{line}");
    succeed(&mut get(&[&server.url("f")]));
}
