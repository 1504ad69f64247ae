//! Runs the program as processes.

#![allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub)]

pub mod browser;
pub mod forwarder;
pub mod stream;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longest that a test waits for something that another process does. Only what is broken takes so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// What servers log where a test does not say.
const USUAL_LOG: &str = "kwik=info,kwik::secondary=debug,warn";
/// Below it are services' ports.
const FIRST_PORT: u32 = 10_000;

/// A `kwik` command whose state is below `dir`, so that nothing of the user's is touched.
pub fn kwik(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kwik"));
    command.env("XDG_STATE_HOME", dir.join("state")).env("HOME", dir).current_dir(dir);
    command.env_remove("KWIK_PIN").env_remove("KWIK_CA");
    command.stdin(Stdio::null());
    command
}

/// The same, without the superuser's right to read everything.
pub fn kwik_as_anybody(dir: &Path) -> Command {
    let mut command = kwik(dir);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    }
    command
}

/// Waits until `what` has happened.
///
/// # Panics
/// If it does not.
pub fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A UDP port that is free, and that the system gives to nobody who asks for any: a server finds it free again when it returns.
pub fn lasting_port() -> u16 {
    static TRIES: AtomicU32 = AtomicU32::new(0);
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let ephemeral = range.split_whitespace().next().and_then(|first| first.parse().ok());
    let ports = ephemeral.unwrap_or(32_768).max(12_000) - FIRST_PORT;
    for _ in 0..ports {
        // Processes that run side by side begin at different places.
        let step = std::process::id() * 97 + TRIES.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST_PORT + step % ports).unwrap();
        if UdpSocket::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
    panic!("no UDP port is free");
}

/// A `kwik serve` that has printed where it listens. Killed when dropped.
pub struct Server {
    child: Child,
    log: PathBuf,
    pub address: SocketAddr,
    pub pin: String,
}

impl Server {
    /// Serves `root` on a free port, which it finds free again after it was down; `name` names its state.
    pub fn start(dir: &Path, name: &str, root: &Path, args: &[&str]) -> Self {
        Self::start_at(dir, name, root, args, &format!("127.0.0.1:{}", lasting_port()))
    }

    /// The same, with a log at `log`.
    pub fn start_logging(dir: &Path, name: &str, root: &Path, log: &Path) -> Self {
        let listen = format!("127.0.0.1:{}", lasting_port());
        Self::spawn(dir, name, root, &[], &listen, (log.to_owned(), USUAL_LOG))
    }

    /// The same, with a log of everything.
    pub fn start_tracing(dir: &Path, name: &str, root: &Path, args: &[&str]) -> Self {
        let listen = format!("127.0.0.1:{}", lasting_port());
        Self::spawn(dir, name, root, args, &listen, (dir.join(format!("{name}.log")), "trace"))
    }

    /// The same on a certain port.
    pub fn start_at(dir: &Path, name: &str, root: &Path, args: &[&str], listen: &str) -> Self {
        let log = (dir.join(format!("{name}.log")), USUAL_LOG);
        Self::spawn(dir, name, root, args, listen, log)
    }

    fn spawn(
        dir: &Path,
        name: &str,
        root: &Path,
        args: &[&str],
        listen: &str,
        (path, level): (PathBuf, &str),
    ) -> Self {
        let mut command = kwik(dir);
        command.args(["serve", "--listen", listen, "--json", "--root"]).arg(root);
        command.arg("--state").arg(dir.join(name)).args(args);
        command.env("KWIK_LOG", level);
        Self::of(command, path)
    }

    /// A command that serves, and prints JSON.
    pub fn of(mut command: Command, path: PathBuf) -> Self {
        command.env("NO_COLOR", "1");
        let log = fs::File::options().create(true).append(true).open(&path).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let event: Value = serde_json::from_str(&line).expect("serve prints a JSON object first");
        assert_eq!(event["event"], "listening");
        Self {
            child,
            log: path,
            address: event["address"].as_str().unwrap().parse().unwrap(),
            pin: event["pin"].as_str().unwrap().to_owned(),
        }
    }

    /// For the primary's `--secondary`.
    pub fn as_secondary(&self) -> String {
        format!("{}#{}", self.address, self.pin)
    }

    pub fn url(&self, path: &str) -> String {
        format!("kwik://{}/{path}", self.address)
    }

    /// kill -9
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal and waits for the end; the exit code.
    pub fn signal(mut self, signal: Signal) -> Option<i32> {
        self.send(signal);
        self.wait()
    }

    /// Waits for the end; the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("the end of a server", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    pub fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// SIGSTOP
    pub fn freeze(&self) {
        self.send(Signal::STOP);
    }

    /// SIGCONT
    pub fn thaw(&self) {
        self.send(Signal::CONT);
    }

    /// The lines of the log with all of these in them.
    pub fn logged(&self, parts: &[&str]) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap();
        let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
        log.lines().filter(has_all).map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A primary with secondaries, each with its own copy of the files under its own root.
pub struct Fleet {
    pub dir: tempfile::TempDir,
    pub primary: Server,
    pub secondaries: Vec<Server>,
}

impl Fleet {
    /// `files`: name and content.
    pub fn start(secondaries: usize, files: &[(&str, &[u8])]) -> Self {
        Self::start_with(secondaries, files, &[], |secondary| secondary.address)
    }

    /// Clients reach a secondary `via` that address; the primary has more arguments.
    pub fn start_with(
        secondaries: usize,
        files: &[(&str, &[u8])],
        more: &[&str],
        mut via: impl FnMut(&Server) -> SocketAddr,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        succeed(kwik(dir.path()).args(["keygen", "--out", "keys"]));
        let secondaries: Vec<_> = (0..secondaries)
            .map(|i| {
                let root = root(dir.path(), &format!("root-{i}"), files);
                let name = format!("secondary-{i}");
                Server::start(dir.path(), &name, &root, &["--trust", "keys/primary.pub"])
            })
            .collect();
        let name = |secondary: &Server| format!("{}#{}", via(secondary), secondary.pin);
        let names: Vec<_> = secondaries.iter().map(name).collect();
        let mut args = more.to_vec();
        if !names.is_empty() {
            args.extend(["--identity", "keys/primary.key"]);
        }
        for name in &names {
            args.extend(["--secondary", name]);
        }
        let root = root(dir.path(), "root-primary", files);
        let primary = Server::start(dir.path(), "primary", &root, &args);
        Self { dir, primary, secondaries }
    }

    /// Waits until a secondary knows the hash of its copy, so that it takes part from the start.
    pub fn wait_until_hashed(&self, secondary: usize) {
        let tags = self.dir.path().join(format!("secondary-{secondary}/tags"));
        wait_until("hashing", || fs::read_dir(&tags).is_ok_and(|tags| tags.count() > 0));
    }

    /// Has all secondaries hash the file, and waits until they did.
    pub fn warm_up(&self, path: &str) {
        succeed(self.get(path).args(["-o", "/dev/null"]));
        (0..self.secondaries.len()).for_each(|secondary| self.wait_until_hashed(secondary));
    }

    /// A `kwik get` of `path` from the primary, by its pin.
    pub fn get(&self, path: &str) -> Command {
        let mut command = kwik(self.dir.path());
        command.args(["get", &self.primary.url(path), "--pin", &self.primary.pin]);
        command
    }
}

/// The objects that were printed, one on each line.
pub fn objects(stdout: &[u8]) -> Vec<Value> {
    let lines = str::from_utf8(stdout).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A directory with files.
pub fn root(dir: &Path, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let root = dir.join(name);
    fs::create_dir_all(&root).unwrap();
    for (file, content) in files {
        let file = root.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    root
}

/// `len` bytes that do not repeat.
pub fn content(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"content").finalize_xof().fill(&mut bytes);
    bytes
}

/// Runs a command that must exit with 0.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{command:?}: {output:?}");
    output
}

/// Runs a command that must exit with `code` and one line on standard error; the line.
pub fn fail(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {stderr}");
    assert_eq!(stderr.matches('\n').count(), 1, "one line: {stderr:?}");
    assert!(stderr.starts_with("kwik: ") && stderr.ends_with('\n'), "{stderr:?}");
    stderr.trim_end().to_owned()
}

/// What a server's `--metrics` address answers.
pub fn fetch_metrics(address: SocketAddr) -> String {
    fetch(address, "/metrics")
}

/// What it answers for another path.
pub fn fetch(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// One of its counters; 0 if it never counted.
pub fn metric(address: SocketAddr, name: &str) -> f64 {
    let answer = fetch_metrics(address);
    let value = answer.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_default()
}

/// The JSON object on the last line.
pub fn last_object(stdout: &[u8]) -> Value {
    let text = str::from_utf8(stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// Bytes that each path sent, checked to add up to `bytes`.
pub fn bytes_by_path(report: &Value) -> Vec<u64> {
    let paths = report["paths"].as_array().unwrap();
    let bytes: Vec<_> = paths.iter().map(|path| path["bytes"].as_u64().unwrap()).collect();
    assert_eq!(bytes.iter().sum::<u64>(), report["bytes"].as_u64().unwrap(), "{report}");
    bytes
}

/// Names of the entries of a directory, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
