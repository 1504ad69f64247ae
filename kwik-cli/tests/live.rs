//! The live page of `kwik serve --live`, over real processes.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::browser::Browser;
use common::stream::Download;
use common::{Fleet, content, fail, fetch_metrics, kwik, succeed, wait_until};
use serde_json::Value;

/// A fleet whose primary shows its page; where.
fn fleet(secondaries: usize, files: &[(&str, &[u8])]) -> (Fleet, SocketAddr) {
    // Free a moment ago, and the system does not give it to another soon.
    let page = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let args = ["--live", "--metrics", &page.to_string()];
    (Fleet::start_with(secondaries, files, &args, |secondary| secondary.address), page)
}

fn request(page: SocketAddr, path: &str, host: &str) -> TcpStream {
    let mut stream = TcpStream::connect(page).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

fn get(page: SocketAddr, path: &str, host: &str) -> String {
    let mut answer = String::new();
    request(page, path, host).read_to_string(&mut answer).unwrap();
    answer
}

/// Somebody who looks on.
struct Viewer(BufReader<TcpStream>);

impl Viewer {
    fn new(page: SocketAddr) -> Self {
        Self(BufReader::new(request(page, "/events", &page.to_string())))
    }

    /// The next snapshot; `None` if the server has closed the connection.
    fn next(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // An event is a chunk; its length stands on a line of its own.
            if let Some(json) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(json.trim_end()).unwrap());
            }
        }
    }

    /// The first snapshot that is as wanted.
    fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let snapshot = self.next().unwrap();
            if wanted(&snapshot) {
                return snapshot;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{what} did not happen: {snapshot}");
        }
    }
}

/// A download that goes on beside the test, slowly.
struct Background(Child);

impl Background {
    fn start(mut get: Command) -> Self {
        get.args(["-o", "out", "--max-rate", "4MiB", "--quiet"]);
        Self(get.spawn().unwrap())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn streams(snapshot: &Value) -> Vec<&Value> {
    let sessions = snapshot["sessions"].as_array().unwrap();
    sessions.iter().flat_map(|session| session["streams"].as_array().unwrap()).collect()
}

#[test]
fn the_page_is_off_unless_it_is_asked_for() {
    let page = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let args = ["--metrics", &page.to_string()];
    let fleet = Fleet::start_with(0, &[("f", b"content")], &args, |secondary| secondary.address);
    for path in ["/", "/events", "/metrics"] {
        // There are counters a moment after the server listens.
        wait_until("counters", || get(page, path, "localhost").contains("# TYPE kwik_"));
    }
    drop(fleet);
}

#[test]
fn other_machines_see_it_only_after_a_second_word() {
    let dir = tempfile::tempdir().unwrap();
    let serve = |args: &[&str]| {
        let mut command = kwik(dir.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--root", "."]).args(args);
        command
    };
    let line = fail(&mut serve(&["--live", "--metrics", "0.0.0.0:0"]), 1);
    assert!(line.contains("--live-anywhere") && line.contains("0.0.0.0"), "{line}");
    fail(&mut serve(&["--live-anywhere", "--metrics", "0.0.0.0:0"]), 2);
    fail(&mut serve(&["--live-anywhere", "--live"]), 2);
    let args = ["--live", "--live-anywhere", "--metrics", "0.0.0.0:0"];
    let mut child = serve(&args).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("listening on"));
    let page = lines.next().unwrap().unwrap();
    let port: u16 = page.trim_end_matches('/').rsplit_once(':').unwrap().1.parse().unwrap();
    let answer = get(SocketAddr::from(([127, 0, 0, 1], port)), "/", "127.0.0.1");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("<title>KWIK"), "{answer}");
}

#[test]
fn who_sends_which_bytes_is_told_while_they_come() {
    let content = content(48 << 20);
    let (fleet, page) = fleet(2, &[("a b<i>.bin", &content)]);
    fleet.warm_up("a%20b%3Ci%3E.bin");
    let mut viewer = Viewer::new(page);
    viewer.until("a snapshot", |_| true);
    let download = Background::start(fleet.get("a%20b%3Ci%3E.bin"));
    let snapshot = viewer.until("both secondaries in a strip", |snapshot| {
        streams(snapshot).iter().any(|stream| {
            let cells = stream["cells"].as_array().unwrap();
            [1, 2].iter().all(|path| cells.contains(&(*path).into()))
        })
    });
    let session = &snapshot["sessions"][0];
    assert_eq!(session["role"], "primary", "{snapshot}");
    let paths = session["paths"].as_array().unwrap();
    assert_eq!(paths[0]["address"], "this server");
    for (path, secondary) in paths[1..].iter().zip(&fleet.secondaries) {
        assert_eq!(path["address"], secondary.address.to_string());
        assert_eq!(path["state"], "live");
    }
    let stream = streams(&snapshot)[0];
    assert_eq!(stream["file"], "a b<i>.bin");
    assert_eq!(stream["size"].as_u64(), Some(48 << 20), "{stream}");
    let (cells, fill) = (stream["cells"].as_array().unwrap(), stream["fill"].as_array().unwrap());
    assert!(cells.len() == fill.len() && cells.len() <= 128, "{stream}");
    drop(download);
    viewer.until("the end of the session", |snapshot| {
        snapshot["open"] == 0 && snapshot["sessions"].as_array().unwrap().is_empty()
    });
    // The counters are where they were.
    assert!(fetch_metrics(page).contains("kwik_sent_bytes_total"));
}

#[test]
fn what_a_lost_secondary_costs_is_told_with_its_reason() {
    let content = content(64 << 20);
    let (mut fleet, page) = fleet(2, &[("f", &content)]);
    fleet.warm_up("f");
    let mut viewer = Viewer::new(page);
    let mut download = Download::start(&fleet, "f");
    download.read(8 << 20);
    let lost = fleet.secondaries[0].address.to_string();
    fleet.secondaries[0].kill();
    download.read(16 << 20);
    let snapshot = viewer.until("the loss", |snapshot| {
        let incidents = snapshot["incidents"].as_array().unwrap();
        let names = |incident: &Value| incident["text"].as_str().unwrap().contains(&lost);
        incidents.iter().any(|incident| incident["kind"] == "lost" && names(incident))
    });
    let kinds: Vec<_> =
        snapshot["incidents"].as_array().unwrap().iter().map(|it| it["kind"].clone()).collect();
    assert!(kinds.contains(&"up".into()) && kinds.contains(&"done".into()), "{kinds:?}");
    download.succeed(&content);
}

#[test]
fn a_viewer_that_reads_nothing_slows_no_transfer_and_keeps_out_no_counters() {
    let content = content(32 << 20);
    let (fleet, page) = fleet(1, &[("f", &content)]);
    fleet.warm_up("f");
    // As many as may look on, and none of them reads on.
    let viewer = |_| {
        let (mut viewer, mut line) =
            (BufReader::new(request(page, "/events", "localhost")), String::new());
        viewer.read_line(&mut line).unwrap();
        assert!(line.contains("200"), "{line}");
        viewer
    };
    let idle: Vec<_> = (0..4).map(viewer).collect();
    let mut fifth = None;
    wait_until("the refusal of a fifth viewer", || {
        let mut line = String::new();
        BufReader::new(request(page, "/events", "localhost")).read_line(&mut line).unwrap();
        let refused = line.contains("503");
        fifth = Some(line);
        refused
    });
    for _ in 0..3 {
        succeed(fleet.get("f").args(["-o", "out"]));
    }
    assert!(fetch_metrics(page).contains("kwik_requests_total{outcome=\"found\"} 4"));
    drop(idle);
    wait_until("room for a viewer", || {
        let mut line = String::new();
        BufReader::new(request(page, "/events", "localhost")).read_line(&mut line).unwrap();
        line.contains("200")
    });
}

#[test]
fn names_of_others_and_other_methods_are_refused() {
    let (fleet, page) = fleet(0, &[("f", b"content")]);
    for path in ["/", "/events"] {
        let answer = get(page, path, "evil.example");
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
    let mut stream = TcpStream::connect(page).unwrap();
    write!(stream, "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    drop(fleet);
}

#[test]
fn a_browser_draws_the_page_and_runs_nothing_that_a_name_says() {
    let content = content(64 << 20);
    // A name that would run if it became markup.
    let name = "<img src=x onerror=document.title='owned'>.bin";
    let encoded = "%3Cimg%20src=x%20onerror=document.title='owned'%3E.bin";
    let (fleet, page) = fleet(2, &[(name, &content)]);
    fleet.warm_up(encoded);
    let dir = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::open(dir.path(), &format!("http://{page}/")) else { return };
    browser.show_as(1_100, 1_000, "light");
    let download = Background::start(fleet.get(encoded));
    wait_until("a strip on the page", || {
        browser.evaluate("document.querySelectorAll('canvas.strip').length") == 1
    });
    // Parts of it have the colours of both secondaries.
    wait_until("the colours of all servers in the strip", || {
        let colours = "(() => {
            const strip = document.querySelector('canvas.strip');
            if (!strip) return 0;
            const pen = strip.getContext('2d');
            const row = pen.getImageData(0, 2, strip.width, 1).data;
            const seen = new Set();
            for (let i = 0; i < row.length; i += 4) if (row[i + 3]) seen.add(row.slice(i, i + 3).join());
            return seen.size;
        })()";
        browser.evaluate(colours).as_u64() >= Some(3)
    });
    let text = browser.evaluate("document.body.innerText");
    let text = text.as_str().unwrap();
    assert!(text.contains(name), "{text}");
    for secondary in &fleet.secondaries {
        assert!(text.contains(&secondary.address.to_string()), "{text}");
    }
    assert!(text.contains("live") && text.contains("bit/s") && text.contains("done"), "{text}");
    assert_eq!(browser.evaluate("document.title"), "KWIK");
    assert_eq!(browser.evaluate("document.images.length"), 0);
    // The policy holds back a script that is not the page's own.
    let foreign = "(() => {
        const script = document.createElement('script');
        script.textContent = 'document.title = \"owned\"';
        document.body.append(script);
        return document.title;
    })()";
    assert_eq!(browser.evaluate(foreign), "KWIK");
    for scheme in ["light", "dark"] {
        for (width, height) in [(1_100, 1_000), (390, 1_300)] {
            browser.show_as(width, height, scheme);
            let fits = "document.documentElement.scrollWidth <= window.innerWidth";
            wait_until("a page that fits its window", || browser.evaluate(fits) == true);
            // For people to look at, where they say so.
            if let Ok(shots) = std::env::var("KWIK_SHOTS") {
                std::thread::sleep(Duration::from_secs(1));
                browser.shoot(&Path::new(&shots).join(format!("{scheme}-{width}.png")));
            }
        }
    }
    drop(download);
}
