//! Settings that change while `kwik serve` runs, real processes and downloads under way.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use common::stream::Download;
use common::{
    Fleet, Server, content, fail, fetch_metrics, kwik, metric, root, succeed, wait_until,
};
use kwik_server::ServerCertificate;
use rustix::process::Signal;
use tempfile::TempDir;

const SIZE: usize = 96 << 20;
const FILE: &str = "f";

/// A server that has its settings from a file.
struct Configured {
    server: Server,
    config: PathBuf,
    metrics: SocketAddr,
}

impl Configured {
    /// The settings have no address and no state: they are added.
    fn start(dir: &Path, name: &str, settings: &str) -> Self {
        let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = dir.join(format!("{name}.toml"));
        let fixed = format!(
            "listen = '127.0.0.1:0'\nstate = '{name}'\nmetrics = '{metrics}'\njson = true\n"
        );
        fs::write(&config, fixed.clone() + settings).unwrap();
        let mut serve = kwik(dir);
        serve.args(["serve", "--config"]).arg(&config).env("KWIK_LOG", "warn");
        let server = Server::of(serve, dir.join(format!("{name}.log")));
        Self { server, config, metrics }
    }

    /// Writes other settings, with the same address, and asks for them.
    fn set(&self, settings: &str) {
        let old = fs::read_to_string(&self.config).unwrap();
        let fixed: Vec<_> = old.lines().take(4).collect();
        fs::write(&self.config, fixed.join("\n") + "\n" + settings).unwrap();
    }

    fn count(&self, outcome: &str) -> f64 {
        metric(self.metrics, &format!("kwik_reloads_total{{outcome=\"{outcome}\"}}"))
    }

    /// SIGHUP, and until it has taken the settings over.
    fn reload(&self) {
        let before = self.count("done");
        self.server.send(Signal::HUP);
        wait_until("the reload", || self.count("done") > before);
    }

    /// Until it has found by itself what `change` changes.
    fn find(&self, change: impl FnOnce()) {
        let before = self.count("done");
        change();
        wait_until("the reload", || self.count("done") > before);
    }
}

struct Place {
    dir: TempDir,
    content: Vec<u8>,
}

impl Place {
    fn new(size: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        succeed(kwik(dir.path()).args(["keygen", "--out", "keys"]));
        let content = content(size);
        root(dir.path(), "root", &[(FILE, &content)]);
        Self { dir, content }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn secondary(&self, name: &str) -> Configured {
        Configured::start(self.path(), name, "root = 'root'\ntrust = ['keys/primary.pub']\n")
    }

    fn primary(&self, secondaries: &[&Configured]) -> Configured {
        Configured::start(self.path(), "primary", &of(secondaries))
    }

    fn get(&self, from: &Configured) -> std::process::Command {
        let mut get = kwik(self.path());
        get.args(["get", &from.server.url(FILE), "--pin", &from.server.pin]);
        get
    }

    /// Has a server hash its copy, so that it takes part from the start.
    fn warm_up(&self, primary: &Configured, names: &[&str]) {
        succeed(self.get(primary).args(["-o", "/dev/null"]));
        for name in names {
            let tags = self.path().join(name).join("tags");
            wait_until("hashing", || fs::read_dir(&tags).is_ok_and(|tags| tags.count() > 0));
        }
    }
}

/// A primary's settings with these secondaries.
fn of(secondaries: &[&Configured]) -> String {
    let names: Vec<_> =
        secondaries.iter().map(|it| format!("'{}'", it.server.as_secondary())).collect();
    format!("root = 'root'\nidentity = 'keys/primary.key'\nsecondary = [{}]\n", names.join(", "))
}

#[test]
fn secondaries_come_and_go_while_a_download_runs() {
    let place = Place::new(SIZE);
    let (first, second) = (place.secondary("first"), place.secondary("second"));
    let primary = place.primary(&[&first, &second]);
    place.warm_up(&primary, &["first", "second"]);
    primary.set(&of(&[&first]));
    primary.reload();
    let mut download = Download::start_with(place.get(&primary), &[]);
    download.read(8 << 20);
    let sessions = |of: &Configured| metric(of.metrics, "kwik_sessions{role=\"secondary\"}") as u64;
    wait_until("the first one's session", || sessions(&first) == 1);
    let sent = |of: &Configured| metric(of.metrics, "kwik_sent_bytes_total{role=\"secondary\"}");
    let before = sent(&second);
    primary.set(&of(&[&second]));
    primary.reload();
    // The new one is used by the session that runs, and the old one is let go of by it.
    download.read_until("the second one's bytes", SIZE / 2, || sent(&second) > before);
    download.read_until("the end of the first one", SIZE * 3 / 4, || sessions(&first) == 0);
    assert_eq!(sessions(&second), 1);
    // What its session had sent by then is all that it sends.
    let obeyed = || metric(first.metrics, "kwik_delegations_total{outcome=\"sent\"}");
    let after = obeyed();
    let report = download.succeed(&place.content);
    assert_eq!(obeyed(), after, "it got no further order: {report}");
}

#[test]
fn a_changed_file_is_taken_over_without_a_signal_and_keys_with_it() {
    let place = Place::new(4 << 20);
    fs::create_dir(place.path().join("other")).unwrap();
    succeed(kwik(place.path()).args(["keygen", "--out", "other/keys"]));
    let secondary = place.secondary("first");
    let primary = place.primary(&[&secondary]);
    place.warm_up(&primary, &["first"]);
    secondary.find(|| secondary.set("root = 'root'\ntrust = ['other/keys/primary.pub']\n"));
    succeed(place.get(&primary).args(["-o", "/dev/null"]));
    let refused =
        "kwik_refused_total{code=\"TokenInvalid\",party=\"primary\",reason=\"token_invalid\"}";
    wait_until("the refusal", || metric(secondary.metrics, refused) >= 1.0);
    // The file that is named is looked at too, not only the one that names it.
    let key = |name: &str| place.path().join(name).join("primary.pub");
    secondary.find(|| {
        fs::copy(key("keys"), key("other/keys")).unwrap();
    });
    let delegations = "kwik_delegations_total{outcome=\"sent\"}";
    let before = metric(secondary.metrics, delegations);
    succeed(place.get(&primary).args(["-o", "/dev/null"]));
    wait_until("ranges of it", || metric(secondary.metrics, delegations) > before);
}

fn write_certificate(dir: &Path) -> ServerCertificate {
    let made = ServerCertificate::self_signed(["127.0.0.1"]).unwrap();
    fs::write(dir.join("chain.pem"), made.certificate_pem()).unwrap();
    fs::write(dir.join("key.pem"), made.key_pem()).unwrap();
    fs::set_permissions(dir.join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    made
}

#[test]
fn a_renewed_certificate_is_shown_and_downloads_go_on() {
    let place = Place::new(SIZE);
    write_certificate(place.path());
    let settings = "root = 'root'\ncert = 'chain.pem'\nkey = 'key.pem'\n";
    let server = Configured::start(place.path(), "primary", settings);
    let mut download = Download::start_with(place.get(&server), &[]);
    download.read(4 << 20);
    let renewed = write_certificate(place.path());
    server.reload();
    let mut get = kwik(place.path());
    get.args(["get", &server.server.url(FILE), "--pin", &renewed.pin().to_string(), "-o", "new"]);
    succeed(&mut get);
    fail(place.get(&server).args(["-o", "old", "--connect-timeout", "5s"]), 5);
    download.succeed(&place.content);
}

#[test]
fn a_broken_file_leaves_the_old_settings_and_one_line() {
    let place = Place::new(1000);
    let server = Configured::start(place.path(), "primary", "root = 'root'\n");
    server.set("root = 'root'\nmax_sesions = 3\n");
    wait_until("the failure", || server.count("failed") >= 1.0);
    succeed(place.get(&server).args(["-o", "/dev/null"]));
    let lines = server.server.logged(&["the old settings stay"]);
    assert!(lines.len() == 1 && lines[0].contains("primary.toml:6:1"), "{lines:?}");
    assert!(lines[0].contains("max-sessions"), "{lines:?}");
    // Gone, it is as broken; and there again, it is taken.
    fs::remove_file(&server.config).unwrap();
    wait_until("the second failure", || server.count("failed") >= 2.0);
    assert_eq!(server.count("done"), 0.0);
    let metrics = server.metrics;
    let good = format!(
        "listen = '127.0.0.1:0'\nstate = 'primary'\nroot = 'root'\nmetrics = '{metrics}'\njson = true\nmax-sessions = 9\n"
    );
    server.find(|| fs::write(&server.config, good).unwrap());
    succeed(place.get(&server).args(["-o", "/dev/null"]));
}

#[test]
fn what_needs_a_restart_is_said_and_the_rest_is_taken() {
    let place = Place::new(1000);
    let server = Configured::start(place.path(), "primary", "root = 'root'\n");
    let text = fs::read_to_string(&server.config).unwrap();
    let text = text.replace("127.0.0.1:0", "127.0.0.1:1").replace("root = 'root'", "root = '.'");
    fs::write(&server.config, text + "grace = '1s'\ntrust = ['keys/primary.pub']\n").unwrap();
    server.reload();
    let lines = server.server.logged(&["needs a restart"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    for option in ["listen", "root", "trust", "role"] {
        assert!(lines[0].contains(option), "{option}: {lines:?}");
    }
    succeed(place.get(&server).args(["-o", "/dev/null"]));
}

#[test]
fn limits_change_without_dropping_a_session() {
    let place = Place::new(SIZE);
    let server = Configured::start(place.path(), "primary", "root = 'root'\n");
    let mut download = Download::start_with(place.get(&server), &[]);
    download.read(1 << 20);
    server.set("root = 'root'\nmax-sessions = 1\n");
    server.reload();
    let late = || {
        let mut get = place.get(&server);
        get.args(["-o", "late", "--connect-timeout", "2s", "--timeout", "2s"]);
        get.output().unwrap().status
    };
    assert!(!late().success());
    let refused = "kwik_refused_total{code=\"Busy\",party=\"client\",reason=\"sessions\"}";
    wait_until("the refusal", || metric(server.metrics, refused) >= 1.0);
    server.set("root = 'root'\nmax-sessions = 2\n");
    server.reload();
    let mut get = place.get(&server);
    succeed(get.args(["-o", "late"]));
    download.succeed(&place.content);
}

#[test]
fn readiness_means_that_the_server_can_work() {
    let place = Place::new(SIZE);
    let mut secondary = place.secondary("first");
    let primary = place.primary(&[&secondary]);
    place.warm_up(&primary, &["first"]);
    let asked = |path: &str| {
        let answer = common::fetch(primary.metrics, path);
        let status = answer.split(' ').nth(1).unwrap().to_owned();
        (status, answer.split("\r\n\r\n").nth(1).unwrap().trim().to_owned())
    };
    let is = |status: &str, body: &str| {
        wait_until(body, || {
            let (code, text) = asked("/readyz");
            code == status && text.contains(body)
        });
    };
    is("200", "ready");
    assert_eq!(asked("/healthz"), ("200".to_owned(), "OK".to_owned()));
    // A secondary that is gone is seen by the next client, and the server works all the same.
    secondary.server.kill();
    let mut download = Download::start_with(place.get(&primary), &[]);
    download.read(4 << 20);
    is("200", "degraded: 1 of 1 secondaries lost");
    download.succeed(&place.content);
    let (root, moved) = (place.path().join("root"), place.path().join("moved"));
    fs::rename(&root, &moved).unwrap();
    is("503", "root");
    assert_eq!(asked("/healthz").0, "200");
    fs::rename(&moved, &root).unwrap();
    is("200", "degraded");
    let key = place.path().join("keys/primary.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    is("503", "identity");
    assert!(!fetch_metrics(primary.metrics).contains("primary.key"));
}

/// Fleets have their settings on the command line: a signal reads the files that it names.
#[test]
fn a_server_without_a_file_outlives_the_signal() {
    let mut fleet = Fleet::start(0, &[(FILE, b"content")]);
    fleet.primary.send(Signal::HUP);
    succeed(fleet.get(FILE).args(["-o", "/dev/null"]));
    fleet.primary.send(Signal::TERM);
    assert_eq!(fleet.primary.wait(), Some(0));
}
