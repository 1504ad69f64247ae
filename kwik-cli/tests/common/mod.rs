//! Runs the program as processes.

#![allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A `kwik` command whose state is below `dir`, so that nothing of the user's is touched.
pub fn kwik(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kwik"));
    command.env("XDG_STATE_HOME", dir.join("state")).env("HOME", dir).current_dir(dir);
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

/// A `kwik serve` that has printed where it listens. Killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub pin: String,
}

impl Server {
    /// Serves `root` on a free port; `name` names its state.
    pub fn start(dir: &Path, name: &str, root: &Path, args: &[&str]) -> Self {
        let mut command = kwik(dir);
        command.args(["serve", "--listen", "127.0.0.1:0", "--json", "--root"]).arg(root);
        command.arg("--state").arg(dir.join(name)).args(args);
        let log = fs::File::create(dir.join(format!("{name}.log"))).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let event: Value = serde_json::from_str(&line).expect("serve prints a JSON object first");
        assert_eq!(event["event"], "listening");
        Self {
            child,
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
    pub fn signal(mut self, signal: rustix::process::Signal) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
        self.child.wait().unwrap().code()
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
        let dir = tempfile::tempdir().unwrap();
        succeed(kwik(dir.path()).args(["keygen", "--out", "keys"]));
        let secondaries: Vec<_> = (0..secondaries)
            .map(|i| {
                let root = root(dir.path(), &format!("root-{i}"), files);
                let name = format!("secondary-{i}");
                Server::start(dir.path(), &name, &root, &["--trust", "keys/primary.pub"])
            })
            .collect();
        let names: Vec<_> = secondaries.iter().map(Server::as_secondary).collect();
        let mut args = Vec::new();
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

    /// A `kwik get` of `path` from the primary, by its pin.
    pub fn get(&self, path: &str) -> Command {
        let mut command = kwik(self.dir.path());
        command.args(["get", &self.primary.url(path), "--pin", &self.primary.pin]);
        command
    }
}

/// A directory with files.
pub fn root(dir: &Path, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let root = dir.join(name);
    fs::create_dir_all(&root).unwrap();
    for (file, content) in files {
        fs::write(root.join(file), content).unwrap();
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
