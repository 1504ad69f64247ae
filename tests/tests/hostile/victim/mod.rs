//! The process that is attacked: this program again, or `kwik`.

pub(crate) mod child;
mod client;
pub(crate) mod names;
pub(crate) mod server;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::Context as _;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A process under attack. Killed when dropped, if it is this victim's own.
pub(crate) struct Victim {
    id: u32,
    /// `None`: somebody else started it, asks it and ends it.
    child: Option<Child>,
    stdin: Option<ChildStdin>,
    lines: UnboundedReceiver<String>,
    log: PathBuf,
    mark: Measure,
    _dir: Option<tempfile::TempDir>,
}

/// How large a process is, or by how much it has grown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measure {
    /// Resident bytes.
    pub(crate) resident: u64,
    /// Bytes of the log.
    pub(crate) log: u64,
}

impl Victim {
    /// This program again, as that victim.
    pub(crate) fn start(args: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(crate::VICTIM).args(args);
        Self::spawn(command)
    }

    /// A process whose standard error is its log.
    pub(crate) fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let log = dir.path().join("log");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().context("it is piped")?;
        let (sender, lines) = unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        let (id, child, dir) = (child.id(), Some(child), Some(dir));
        Ok(Self { id, child, stdin, lines, log, mark: Measure::default(), _dir: dir })
    }

    /// A process that lasts beyond the attack, and answers nothing to the one who attacks it.
    pub(crate) fn shared(id: u32) -> Self {
        let (_, lines) = unbounded_channel();
        let (child, stdin, mark) = (None, None, Measure::default());
        Self { id, child, stdin, lines, log: PathBuf::new(), mark, _dir: None }
    }

    /// The next line of its standard output; `None` at its end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// The next line, as JSON.
    pub(crate) async fn answer(&mut self) -> anyhow::Result<Value> {
        let line = self.line().await.with_context(|| format!("it ended: {}", self.log()))?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Asks it something; what it answers.
    pub(crate) async fn ask(&mut self, question: &str) -> anyhow::Result<Value> {
        let stdin = self.stdin.as_mut().context("it is asked nothing any more")?;
        writeln!(stdin, "{question}")?;
        self.answer().await
    }

    /// Waits until what it answers satisfies `look`.
    pub(crate) async fn ask_until(
        &mut self,
        question: &str,
        what: &str,
        mut look: impl FnMut(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let start = std::time::Instant::now();
        loop {
            let answer = self.ask(question).await?;
            if look(&answer) {
                return Ok(answer);
            }
            anyhow::ensure!(start.elapsed().as_secs() < 30, "{what}: it says {answer}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// From now on counts by how much it grows.
    pub(crate) fn mark(&mut self) {
        self.mark = Measure { resident: self.resident("VmRSS:"), log: self.logged() };
        // The peak is that from now on (proc_pid_clear_refs(5)).
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.id), "5");
    }

    /// By how much it has grown since the mark: at most, for what is resident.
    pub(crate) fn grown(&self) -> Measure {
        Measure {
            resident: self.resident("VmHWM:").saturating_sub(self.mark.resident),
            log: self.logged().saturating_sub(self.mark.log),
        }
    }

    /// A line of `/proc/PID/status`, in bytes; 0 once it has ended.
    pub(crate) fn resident(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.unwrap_or(0) << 10
    }

    pub(crate) fn logged(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Processor time that it has used, in seconds.
    pub(crate) fn used(&self) -> f64 {
        crate::program::greed::ticks(self.id) as f64 / 100.0
    }

    /// Its open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id)).map_or(0, Iterator::count)
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The panics that it logged.
    pub(crate) fn panics(&self) -> Vec<String> {
        let log = self.log();
        log.lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect()
    }

    /// Whether it runs.
    pub(crate) fn runs(&mut self) -> bool {
        match &mut self.child {
            Some(child) => child.try_wait().is_ok_and(|ended| ended.is_none()),
            None => self.resident("VmRSS:") > 0,
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
