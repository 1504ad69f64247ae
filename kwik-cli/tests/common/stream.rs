//! A download whose bytes the test takes as it likes.

use std::io::Read as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::{Fleet, last_object};

/// A running `kwik get -o - --json`. What is not read here is not sent: the window holds the servers back.
pub struct Download {
    get: Option<Child>,
    stdout: ChildStdout,
    pub received: Vec<u8>,
    /// How many bytes that is, for other threads.
    pub progress: Arc<AtomicUsize>,
}

impl Download {
    pub fn start(fleet: &Fleet, path: &str) -> Self {
        Self::start_with(fleet.get(path), &[])
    }

    /// The same of a `kwik get` with more arguments.
    pub fn start_with(mut command: Command, args: &[&str]) -> Self {
        command
            .args(["-o", "-", "--json"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut get = command.spawn().unwrap();
        let stdout = get.stdout.take().unwrap();
        Self { get: Some(get), stdout, received: Vec::new(), progress: Arc::default() }
    }

    /// Reads so many bytes more.
    pub fn read(&mut self, bytes: usize) {
        let end = self.received.len();
        self.received.resize(end + bytes, 0);
        self.stdout.read_exact(&mut self.received[end..]).unwrap();
        self.progress.store(self.received.len(), Ordering::SeqCst);
    }

    /// Reads on in small steps until something has happened, but not beyond `limit` bytes in all.
    pub fn read_until(&mut self, what: &str, limit: usize, mut happened: impl FnMut() -> bool) {
        super::wait_until(what, || {
            if self.received.len() + (128 << 10) <= limit {
                self.read(128 << 10);
            }
            happened()
        });
    }

    /// Reads the rest; exit code and standard error.
    pub fn end(mut self) -> (Option<i32>, Vec<u8>, String) {
        // A failed download ends early, and says so on standard error.
        let mut chunk = vec![0; 64 << 10];
        loop {
            let len = self.stdout.read(&mut chunk).unwrap();
            if len == 0 {
                break;
            }
            self.received.extend_from_slice(&chunk[..len]);
            self.progress.store(self.received.len(), Ordering::SeqCst);
        }
        let output = self.get.take().unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), std::mem::take(&mut self.received), stderr)
    }

    /// Reads the rest, which must be right; the report.
    pub fn succeed(self, content: &[u8]) -> Value {
        let (code, received, stderr) = self.end();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(received == content, "the file differs");
        let report = last_object(stderr.as_bytes());
        super::bytes_by_path(&report);
        report
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(get) = &mut self.get {
            let _ = get.kill();
            let _ = get.wait();
        }
    }
}
