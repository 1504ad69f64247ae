//! A download that lasts: whatever ends it, the next run continues; whichever primary dies, it goes on.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::forwarder::Forwarder;
use common::stream::Download;
use common::{
    Fleet, Server, content, fail, kwik, last_object, lasting_port, names, root, succeed, wait_until,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// More than a window, so that a reader that stops holds the servers back in the middle.
const SIZE: usize = 96 << 20;
const BEGUN: usize = 16 << 20;

/// A `kwik get` of `f` from these servers.
fn get(dir: &Path, servers: &[&Server]) -> Command {
    let mut get = kwik(dir);
    get.arg("get");
    for server in servers {
        get.args([&server.url("f"), "--pin", &server.pin]);
    }
    get
}

/// Bytes that the record of `out` says are durable.
fn durable(dir: &Path) -> u64 {
    let record = fs::read(dir.join("out.part.kwik")).unwrap_or_default();
    let slots = record.chunks(4096).filter_map(|slot| {
        let line = str::from_utf8(slot).ok()?;
        let json: Value = serde_json::from_str(line.get(line.find('{')?..)?.trim_end()).ok()?;
        Some((json["writes"].as_u64()?, json["durable"].as_u64()?))
    });
    slots.max().map_or(0, |(_, durable)| durable)
}

/// Ends a `get -o out` by a signal once something is durable; what it said, and how much is durable then.
fn interrupt(fleet: &Fleet, signal: Signal) -> (String, u64) {
    let dir = fleet.dir.path();
    let get = fleet.get("f").args(["-o", "out"]).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the first durable bytes", || durable(dir) > 0);
    kill_process(Pid::from_child(&get), signal).unwrap();
    let output = get.wait_with_output().unwrap();
    assert_ne!(output.status.code(), Some(0), "it was faster than the test: make SIZE larger");
    (String::from_utf8(output.stderr).unwrap(), durable(dir))
}

#[test]
fn an_interrupted_get_is_continued_where_it_ended() {
    let content = content(3 * SIZE);
    let fleet = Fleet::start(0, &[("f", &content)]);
    let out = fleet.dir.path().join("out");
    for signal in [Signal::KILL, Signal::TERM, Signal::INT] {
        let before = names(fleet.dir.path());
        let (said, durable) = interrupt(&fleet, signal);
        if signal != Signal::KILL {
            let told = format!("{durable} bytes are kept, and the same command continues there");
            assert!(said.contains(&told) && said.lines().count() == 1, "{said}");
        }
        let output = succeed(fleet.get("f").args(["-o", "out", "--json"]));
        let report = last_object(&output.stdout);
        assert_eq!(report["resumed_at"], durable, "{signal:?}: {report}");
        assert!(fs::read(&out).unwrap() == content, "{signal:?}: the file differs");
        fs::remove_file(&out).unwrap();
        assert_eq!(names(fleet.dir.path()), before);
    }
}

#[test]
fn a_content_that_has_changed_is_started_over() {
    let old = content(3 * SIZE);
    let fleet = Fleet::start(0, &[("f", &old)]);
    interrupt(&fleet, Signal::KILL);
    fs::write(fleet.dir.path().join("root-primary/f"), b"new content").unwrap();
    let output = succeed(fleet.get("f").args(["-o", "out", "--json"]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("changed") && said.contains("starting over"), "{said}");
    assert_eq!(fs::read(fleet.dir.path().join("out")).unwrap(), b"new content");
    assert_eq!(last_object(&output.stdout)["resumed_at"], 0);
}

#[test]
fn no_resume_starts_anew() {
    let content = content(3 * SIZE);
    let fleet = Fleet::start(0, &[("f", &content)]);
    interrupt(&fleet, Signal::KILL);
    let output = succeed(fleet.get("f").args(["-o", "out", "--json", "--no-resume"]));
    assert_eq!(last_object(&output.stdout)["resumed_at"], 0);
    assert!(fs::read(fleet.dir.path().join("out")).unwrap() == content);
}

#[test]
fn the_users_own_part_file_stays() {
    let fleet = Fleet::start(0, &[("f", b"content")]);
    let dir = fleet.dir.path();
    fs::write(dir.join("keep.part"), b"precious").unwrap();
    succeed(fleet.get("f").args(["-o", "keep"]));
    assert_eq!(fs::read(dir.join("keep")).unwrap(), b"content");
    assert_eq!(fs::read(dir.join("keep.part")).unwrap(), b"precious");
    fs::write(dir.join("keep.part.kwik"), b"precious too").unwrap();
    let line = fail(fleet.get("f").args(["-o", "keep"]), 7);
    assert!(line.contains("keep.part.kwik"), "{line}");
    assert_eq!(fs::read(dir.join("keep.part.kwik")).unwrap(), b"precious too");
}

#[test]
fn a_full_disk_keeps_what_it_has() {
    let content = content(24 << 20);
    let fleet = Fleet::start(0, &[("f", &content)]);
    // The shell's limit on the size of a file, in KiB: the disk is full at another point each time.
    for limit in [1, 8, 300, 9_000, 20_000] {
        let mut limited = Command::new("bash");
        let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$@\"");
        let get = fleet.get("f");
        limited.args(["-c", &script, "bash"]).arg(get.get_program()).args(get.get_args());
        limited.args(["-o", "out"]).current_dir(fleet.dir.path());
        let line = fail(&mut limited, 7);
        assert!(line.contains("cannot write out"), "{line}");
    }
    assert!(durable(fleet.dir.path()) > 19_000 << 10);
    let output = succeed(fleet.get("f").args(["-o", "out", "--json"]));
    assert!(last_object(&output.stdout)["resumed_at"].as_u64().unwrap() > 19_000 << 10);
    assert!(fs::read(fleet.dir.path().join("out")).unwrap() == content);
}

/// A primary that comes when it is called: its address and its key are known before.
struct Later {
    root: PathBuf,
    address: String,
    pin: String,
}

impl Later {
    fn new(dir: &Path, content: &[u8]) -> Self {
        let root = root(dir, "root-later", &[("f", content)]);
        let once = Server::start(dir, "later", &root, &[]);
        let (address, pin) = (once.address.to_string(), once.pin.clone());
        Self { root, address, pin }
    }

    fn start(&self, dir: &Path) -> Server {
        Server::start_at(dir, "later", &self.root, &[], &self.address)
    }
}

/// A download from the server at `address`, of which so much has come that the rest has to come from somewhere; and another
/// server that has the file. It was not there before, so that the first one is the one that is read from.
fn begun(dir: &Path, address: SocketAddr, pin: &str, content: &[u8]) -> (Download, Server) {
    let later = Later::new(dir, content);
    let mut get = kwik(dir);
    get.arg("get");
    for (address, pin) in [(&address.to_string(), pin), (&later.address, &later.pin)] {
        get.args([&format!("kwik://{address}/f"), "--pin", pin]);
    }
    let mut download = Download::start_with(get, &[]);
    download.read(BEGUN);
    let second = later.start(dir);
    (download, second)
}

fn addresses(report: &Value) -> Vec<&str> {
    let paths = report["paths"].as_array().unwrap();
    paths.iter().map(|path| path["address"].as_str().unwrap()).collect()
}

#[test]
fn a_second_primary_takes_over_from_one_that_was_killed() {
    let content = content(SIZE);
    let dir = tempfile::tempdir().unwrap();
    let mut first =
        Server::start(dir.path(), "a", &root(dir.path(), "root", &[("f", &content)]), &[]);
    let (download, second) = begun(dir.path(), first.address, &first.pin, &content);
    first.kill();
    let report = download.succeed(&content);
    assert_eq!(report["reconnects"], 1, "{report}");
    assert_eq!(addresses(&report), [first.address.to_string(), second.address.to_string()]);
}

#[test]
fn a_silent_link_to_the_primary_is_left_for_the_next_primary() {
    let content = content(SIZE);
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(dir.path(), "a", &root(dir.path(), "root", &[("f", &content)]), &[]);
    let link = Forwarder::start(first.address);
    let (download, second) = begun(dir.path(), link.address, &first.pin, &content);
    link.fall_silent();
    let report = download.succeed(&content);
    assert_eq!(report["reconnects"], 1, "{report}");
    assert_eq!(addresses(&report), [link.address.to_string(), second.address.to_string()]);
}

#[test]
fn the_only_primary_may_be_restarted() {
    let content = content(SIZE);
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path(), "root", &[("f", &content)]);
    let mut first = Server::start(dir.path(), "state", &root, &[]);
    let mut download = Download::start_with(get(dir.path(), &[&first]), &[]);
    download.read(BEGUN);
    let listen = first.address.to_string();
    first.kill();
    let _again = Server::start_at(dir.path(), "state", &root, &[], &listen);
    let report = download.succeed(&content);
    assert_eq!(report["reconnects"], 1, "{report}");
}

#[test]
fn the_only_primary_that_returns_with_another_content_ends_the_download() {
    let content = content(SIZE);
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path(), "root", &[("f", &content)]);
    let mut first = Server::start(dir.path(), "state", &root, &[]);
    let mut download = Download::start_with(get(dir.path(), &[&first]), &[]);
    download.read(BEGUN);
    let listen = first.address.to_string();
    first.kill();
    fs::write(root.join("f"), b"other").unwrap();
    let _again = Server::start_at(dir.path(), "state", &root, &[], &listen);
    let (code, _, said) = download.end();
    assert_eq!(code, Some(6));
    for tag in [blake3::hash(&content), blake3::hash(b"other")] {
        assert!(said.contains(tag.to_hex().as_str()), "{said}");
    }
}

#[test]
fn a_content_that_has_changed_is_started_over_though_another_url_is_dead() {
    let fleet = Fleet::start(0, &[("f", &content(3 * SIZE))]);
    interrupt(&fleet, Signal::KILL);
    fs::write(fleet.dir.path().join("root-primary/f"), b"new content").unwrap();
    let dead = format!("kwik://127.0.0.1:{}/f", lasting_port());
    let output = succeed(fleet.get("f").args([&dead, "-o", "out"]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("starting over"), "{said}");
    assert_eq!(fs::read(fleet.dir.path().join("out")).unwrap(), b"new content");
}

#[test]
fn a_second_get_is_told_of_the_first_and_harms_nothing() {
    let content = content(3 * SIZE);
    let fleet = Fleet::start(0, &[("f", &content)]);
    let dir = fleet.dir.path();
    let mut first = fleet.get("f").args(["-o", "out", "--quiet"]).spawn().unwrap();
    wait_until("the first durable bytes", || durable(dir) > 0);
    kill_process(Pid::from_child(&first), Signal::STOP).unwrap();
    for args in [&["-o", "out"][..], &["-o", "out", "--no-resume"]] {
        let line = fail(fleet.get("f").args(args), 7);
        assert!(line.contains("another kwik is fetching out"), "{line}");
    }
    kill_process(Pid::from_child(&first), Signal::CONT).unwrap();
    assert!(first.wait().unwrap().success());
    assert!(fs::read(dir.join("out")).unwrap() == content);
}

/// Runs a script as the superuser of a user namespace, with mounts of its own. `None` where the system does not allow that.
fn with_mounts(fleet: &Fleet, script: &str) -> Option<Command> {
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "bash", "-euc"]);
        unshare
    };
    let probe = "mount -t tmpfs -o size=1m tmpfs /mnt";
    if !unshare().arg(probe).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("skipped: no mounts in user namespaces here");
        return None;
    }
    let get = fleet.get("f");
    let mut command = unshare();
    command.args([script, "bash"]).arg(get.get_program()).args(get.get_args());
    command.current_dir(fleet.dir.path());
    for (key, value) in get.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    Some(command)
}

#[test]
fn a_disk_that_fills_up_again_and_again_loses_nothing() {
    let content = content(24 << 20);
    let fleet = Fleet::start(0, &[("f", &content)]);
    // A disk of its own that grows each time by less than the file. The first has no room for the record.
    let script = r#"
        mkdir -p disk
        mount -t tmpfs -o size=4k tmpfs disk
        for size in 4k 8k 12k 16k 200k 1m 9m 10m 17m 23m; do
            mount -o remount,size=$size disk
            code=0
            "$@" -o disk/out 2>error || code=$?
            test $code = 7
            test $(wc -l <error) = 1
            grep -q 'cannot write disk/out' error
        done
        test $(stat -c %b disk/out.part) -gt 40000
        mount -o remount,size=64m disk
        "$@" -o disk/out --json >report
        cp disk/out out
        ls -A disk >left
    "#;
    let Some(mut command) = with_mounts(&fleet, script) else { return };
    succeed(&mut command);
    let dir = fleet.dir.path();
    let report = last_object(&fs::read(dir.join("report")).unwrap());
    assert!(report["resumed_at"].as_u64().unwrap() > 20 << 20, "{report}");
    assert!(fs::read(dir.join("out")).unwrap() == content);
    assert_eq!(fs::read_to_string(dir.join("left")).unwrap(), "out\n");
}

#[test]
fn a_directory_that_becomes_read_only_keeps_what_it_has() {
    let content = content(3 * SIZE);
    let fleet = Fleet::start(0, &[("f", &content)]);
    let dir = fleet.dir.path();
    fs::create_dir(dir.join("disk")).unwrap();
    let mut get = fleet.get("f").args(["-o", "disk/out", "--quiet"]).spawn().unwrap();
    wait_until("the first durable bytes", || durable(&dir.join("disk")) > 0);
    get.kill().unwrap();
    get.wait().unwrap();
    let before = durable(&dir.join("disk"));
    let script = r#"
        mount --bind disk disk
        mount -o remount,bind,ro disk
        code=0
        "$@" -o disk/out 2>error || code=$?
        test $code = 7
    "#;
    let Some(mut command) = with_mounts(&fleet, script) else { return };
    succeed(&mut command);
    let said = fs::read_to_string(dir.join("error")).unwrap();
    assert!(said.contains("disk/out") && said.lines().count() == 1, "{said}");
    let output = succeed(fleet.get("f").args(["-o", "disk/out", "--json"]));
    assert_eq!(last_object(&output.stdout)["resumed_at"], before);
    assert!(fs::read(dir.join("disk/out")).unwrap() == content);
}

#[test]
fn urls_of_different_contents_are_refused_with_both_tags() {
    let dir = tempfile::tempdir().unwrap();
    let serve = |name: &str, content: &[u8]| {
        Server::start(
            dir.path(),
            name,
            &root(dir.path(), &format!("root-{name}"), &[("f", content)]),
            &[],
        )
    };
    let (first, second) = (serve("a", b"one"), serve("b", b"two"));
    let line = fail(get(dir.path(), &[&first, &second]).args(["-o", "out"]), 6);
    for part in [
        blake3::hash(b"one").to_hex().to_string(),
        blake3::hash(b"two").to_hex().to_string(),
        first.url("f"),
        second.url("f"),
    ] {
        assert!(line.contains(&part), "{line}");
    }
    assert!(!dir.path().join("out").exists());
}

#[test]
fn output_that_is_closed_is_an_error_and_none_is_not() {
    let fleet = Fleet::start(0, &[("f", b"content")]);
    let get = fleet.get("f");
    let closed = |redirection: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("exec \"$@\" {redirection}"), "bash"]);
        shell.arg(get.get_program()).args(get.get_args()).args(["-o", "-", "--quiet"]);
        shell
    };
    let line = fail(&mut closed(">&-"), 7);
    assert!(line.contains("standard output"), "{line}");
    succeed(&mut closed(">/dev/null"));
    succeed(&mut closed("1<>/dev/null"));
}
