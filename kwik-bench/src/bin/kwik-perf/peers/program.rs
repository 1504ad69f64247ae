//! Programs of others, and `kwik` itself: servers in the keeping of a child, clients that are timed.

use std::io;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::child::Child;
use crate::role::Role;

/// How long a client may take. Only one that hangs takes so long: a rival that waits for a silent server for a minute,
/// and then once more, is not stopped.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long a server may take to end when it is asked to.
const FAREWELL: Duration = Duration::from_millis(1_000);

/// A program and its arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Program(Vec<String>);

impl Program {
    pub(crate) fn new(program: impl Into<String>) -> Self {
        Self(vec![program.into()])
    }

    /// With one more argument.
    pub(crate) fn arg(mut self, argument: impl Into<String>) -> Self {
        self.0.push(argument.into());
        self
    }

    /// With more arguments.
    pub(crate) fn args<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.0.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(crate) fn name(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.name());
        // What a server logs of ordinary life says nothing here, and costs.
        command.args(&self.0[1..]).stdin(Stdio::null()).env("KWIK_LOG", "error");
        command
    }

    /// Starts it as a server, in the keeping of a child: it ends when the child is dropped.
    pub(crate) fn keep(self) -> anyhow::Result<Child> {
        Child::start(&Role::Program(self))
    }

    /// Runs it to its end: seconds of the whole process. One that fails is an error.
    pub(crate) fn time(&self) -> anyhow::Result<f64> {
        self.time_with(PATIENCE, || {})
    }

    /// As [`time`](Self::time); `action` is done when it has run so long.
    pub(crate) fn time_with(
        &self,
        after: Duration,
        action: impl FnOnce() + Send,
    ) -> anyhow::Result<f64> {
        let mut command = self.command();
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let (over, is_over) = channel::<()>();
        let start = Instant::now();
        let child = command.spawn().with_context(|| format!("{} can't be started", self.name()))?;
        let id = Pid::from_child(&child);
        let output = thread::scope(|scope| {
            scope.spawn(move || {
                if is_over.recv_timeout(after).is_ok() {
                    return;
                }
                action();
                if is_over.recv_timeout(PATIENCE).is_err() {
                    // Fails only where it has ended meanwhile.
                    let _ = kill_process(id, Signal::KILL);
                }
            });
            let output = child.wait_with_output();
            let seconds = start.elapsed().as_secs_f64();
            let _ = over.send(());
            output.map(|output| (output, seconds))
        });
        let (output, seconds) = output?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{} ended with {}: {said}",
            self.0.join(" "),
            output.status
        );
        Ok(seconds)
    }
}

/// Plays the keeper: runs the program until this process's standard input ends. What the program prints is what this
/// process says.
pub(crate) fn keep(program: &Program) -> anyhow::Result<()> {
    let mut server = program.command().spawn().with_context(|| program.name().to_owned())?;
    let id = Pid::from_child(&server);
    thread::spawn(move || {
        // Nobody gives orders; the end of the input is one.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = kill_process(id, Signal::TERM);
        thread::sleep(FAREWELL);
        let _ = kill_process(id, Signal::KILL);
    });
    let status = server.wait()?;
    bail!("{} ended with {status}", program.name())
}

/// Why a case is left out: what it needs is not here.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

impl std::fmt::Display for Missing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// Whether these programs are here, as their versions' exit codes say.
pub(crate) fn need(programs: &[&str]) -> anyhow::Result<()> {
    for program in programs {
        let version = if *program == "nginx" { "-v" } else { "--version" };
        let mut run = Command::new(program);
        run.arg(version).stdout(Stdio::null()).stderr(Stdio::null());
        if !run.status().is_ok_and(|status| status.success()) {
            let reason = format!("{program} is not installed: see kwik-bench/peers.sh");
            return Err(Missing(reason).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_program_that_fails_says_why() {
        let failing = Program::new("sh").args(["-c", "echo no such luck >&2; exit 3"]);
        let error = failing.time().unwrap_err().to_string();
        assert!(error.contains("no such luck") && error.contains('3'), "{error}");
    }

    #[test]
    fn what_is_not_here_is_missing() {
        let error = need(&["kwik-no-such-program"]).unwrap_err();
        assert!(error.downcast_ref::<Missing>().is_some());
        need(&[]).unwrap();
    }

    #[test]
    fn the_action_is_done_while_the_program_runs() {
        let (go, gone) = channel();
        let waiting = Program::new("sh").args(["-c", "exit 0"]);
        waiting.time_with(PATIENCE, || go.send(()).unwrap()).unwrap();
        assert!(gone.try_recv().is_err(), "it had ended before");
        // It ends when the action lets it.
        let path = std::env::temp_dir().join(format!("kwik-perf-program-{}", std::process::id()));
        let text = format!("until [ -e {0} ]; do :; done; rm {0}", path.display());
        let waiting = Program::new("sh").args(["-c", &text]);
        waiting.time_with(Duration::ZERO, || std::fs::write(&path, "").unwrap()).unwrap();
    }
}
