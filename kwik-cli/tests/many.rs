//! Several files with one command.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use common::{Fleet, Server, content, fail, kwik, names, objects, root, succeed, wait_until};
use serde_json::Value;

/// The object of the file of that name.
fn of<'a>(objects: &'a [Value], name: &str) -> &'a Value {
    let is_it = |object: &&Value| object["file"].as_str().unwrap().ends_with(name);
    objects.iter().find(is_it).unwrap_or_else(|| panic!("{name} is not in {objects:?}"))
}

#[test]
fn several_urls_are_several_files_over_one_session() {
    let large = content(3 << 20);
    let files: [(&str, &[u8]); 3] = [("a", b"first"), ("sub/b", b"second"), ("c", &large)];
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path(), "root", &files);
    let server = Server::start_tracing(dir.path(), "server", &root, &[]);
    let mut get = kwik(dir.path());
    get.arg("get").args(files.map(|(name, _)| server.url(name)));
    get.args(["--pin", &server.pin, "-P", "new/dir", "--json"]);
    let objects = objects(&succeed(&mut get).stdout);
    assert_eq!(objects.len(), 3);
    for (name, content) in files {
        let name = name.rsplit('/').next().unwrap();
        assert!(fs::read(dir.path().join("new/dir").join(name)).unwrap() == content, "{name}");
        let object = of(&objects, name);
        assert_eq!(
            (&object["outcome"], &object["bytes"]),
            (&"fetched".into(), &content.len().into())
        );
        assert_eq!(object["blake3"], blake3::hash(content).to_hex().as_str());
        assert_eq!(
            object["paths"][0]["bytes"],
            content.len(),
            "bytes of this file alone: {object}"
        );
    }
    assert_eq!(names(&dir.path().join("new/dir")), ["a", "b", "c"]);
    let sessions = || server.logged(&["primary session ended"]).len();
    wait_until("the end of the session", || sessions() > 0);
    assert_eq!(sessions(), 1);
}

#[test]
fn one_that_fails_does_not_end_the_others_and_its_status_counts() {
    let fleet = Fleet::start(0, &[("a", b"first"), ("c", b"third")]);
    let (url, dir) = (|name: &str| fleet.primary.url(name), fleet.dir.path());
    let mut get = fleet.get("a");
    let output = get.args([url("missing"), url("c")]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&url("missing")) && said.lines().count() == 1, "{said}");
    assert_eq!(fs::read(dir.join("a")).unwrap(), b"first");
    assert_eq!(fs::read(dir.join("c")).unwrap(), b"third");
    assert!(!dir.join("missing").exists() && !dir.join("missing.part").exists());
    // The first one in the order of the command line: 5 for what is too large, 3 for what is not there.
    let mut get = fleet.get("c");
    get.args([url("missing"), url("gone")]).args(["--max-size", "2", "--json"]);
    let output = get.output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let objects = objects(&output.stdout);
    assert_eq!(objects.len(), 3);
    assert_eq!(of(&objects, "c")["cause"], "refused");
    assert_eq!(of(&objects, "gone")["cause"], "not-found");
    assert!(output.stderr.is_empty(), "the objects tell it");
}

#[test]
fn urls_come_from_a_file_or_from_standard_input() {
    let fleet = Fleet::start(0, &[("a", b"first"), ("b", b"second"), ("c", b"third")]);
    let (url, dir) = (|name: &str| fleet.primary.url(name), fleet.dir.path());
    let list = format!("# what is wanted\n\n{}\n  {}  \n", url("a"), url("b"));
    fs::write(dir.join("list"), &list).unwrap();
    let get = |more: &[&str]| {
        let mut get = kwik(dir);
        get.args(["get", "--pin", &fleet.primary.pin]).args(more);
        get
    };
    succeed(&mut get(&["-i", "list", "-P", "one", &url("c")]));
    assert_eq!(names(&dir.join("one")), ["a", "b", "c"]);
    let mut child =
        get(&["-i", "-", "-P", "two"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(names(&dir.join("two")), ["a", "b"]);
    for (text, code, named) in [
        ("", 2, "no URL"),
        ("# nothing\n", 2, "no URL"),
        ("\nhttp://h/x\n", 2, "line 2"),
        ("kwik://h/x?y\n", 2, "line 1"),
    ] {
        fs::write(dir.join("list"), text).unwrap();
        let line = fail(&mut get(&["-i", "list", "-P", "three"]), code);
        assert!(line.contains(named), "{line}");
    }
    let line = fail(&mut get(&["-i", "not/there"]), 7);
    assert!(line.contains("not/there") && line.contains("-i"), "{line}");
    assert!(!dir.join("three").exists());
}

#[test]
fn two_urls_of_one_name_are_named_before_anything_is_fetched() {
    let fleet = Fleet::start(0, &[("a", b"first"), ("sub/a", b"second")]);
    let before = names(fleet.dir.path());
    let urls = [fleet.primary.url("a"), fleet.primary.url("sub/a")];
    let line = fail(fleet.get("a").arg(&urls[1]), 2);
    assert!(urls.iter().all(|url| line.contains(url)), "{line}");
    let line = fail(fleet.get("a").arg(&urls[0]), 2);
    assert!(line.contains(&urls[0]), "{line}");
    assert_eq!(names(fleet.dir.path()), before);
}

#[test]
fn standard_error_tells_how_far_it_is_as_json() {
    let fleet = Fleet::start(0, &[("a", &content(4 << 20))]);
    let mut get = fleet.get("a");
    let output = succeed(get.args(["--max-rate", "2MiB", "--progress=json"]));
    let lines = objects(&output.stderr);
    assert!(!lines.is_empty());
    for line in &lines {
        assert_eq!((&line["event"], &line["total"]), (&"progress".into(), &(4 << 20).into()));
        assert!(line["bytes"].as_u64().unwrap() <= 4 << 20, "{line}");
    }
    let output = succeed(fleet.get("a").args(["-o", "b", "--progress=none"]));
    assert!(output.stderr.is_empty());
}

#[test]
fn a_command_ends_when_it_takes_longer_than_it_may() {
    let fleet = Fleet::start(0, &[("a", &content(4 << 20)), ("b", b"second")]);
    let url = fleet.primary.url("b");
    for more in [&[][..], &[&url[..]]] {
        let mut get = fleet.get("a");
        get.args(more).args(["--max-rate", "100kB", "--max-time", "700ms"]);
        let output = get.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(8), "{said}");
        assert!(said.contains("--max-time") && said.contains("700 ms"), "{said}");
    }
}
