//! `kwik get` as an honest peer: it may be interrupted and goes on where it was.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use kwik_tests::Content;

use super::fleet::File;
use crate::program::kwik;

/// How often a download is begun again that failed: attackers may have the places of the address that all share.
pub(super) const TRIES: usize = 4;
/// Longest that a download may take. Only what hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a program is interrupted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interrupt {
    pub(super) after: Duration,
    /// The name of the signal, for `kill`.
    pub(super) signal: &'static str,
}

/// What an honest peer met.
#[derive(Debug, Default)]
pub(super) struct Met {
    pub(super) bytes: u64,
    pub(super) interrupted: u64,
    /// What failed, and was tried again.
    pub(super) retried: Vec<String>,
}

/// Downloads a file with `kwik get`; all bytes are right, or an error.
pub(super) fn get(
    dir: &Path,
    url: &str,
    pin: &str,
    file: &File,
    interrupt: Option<Interrupt>,
) -> anyhow::Result<Met> {
    let dir = tempfile::tempdir_in(dir)?;
    let mut met = Met::default();
    let command = || {
        let mut command = kwik(dir.path())?;
        command.args([
            "get",
            &format!("{url}/{}", file.name),
            "--pin",
            pin,
            "-o",
            "out",
            "--quiet",
        ]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        anyhow::Ok(command)
    };
    let mut interrupt = interrupt;
    loop {
        let first = interrupt.take();
        match ended(command()?, first)? {
            None => break,
            // It may have failed for another reason just then: what counts is how it goes on.
            Some(_) if first.is_some() => met.interrupted += 1,
            Some(message) if met.retried.len() + 1 < TRIES => met.retried.push(message),
            Some(message) => bail!("{}: {message}, after {:?}", file.name, met.retried),
        }
    }
    check(&dir.path().join("out"), file)?;
    met.bytes = file.size;
    Ok(met)
}

/// Waits for the end of a program, and interrupts it where it is told to; what it says if it fails.
fn ended(mut command: Command, interrupt: Option<Interrupt>) -> anyhow::Result<Option<String>> {
    let mut child = command.spawn()?;
    let start = Instant::now();
    let mut interrupt = interrupt;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if let Some(Interrupt { signal, .. }) =
            interrupt.take_if(|interrupt| start.elapsed() >= interrupt.after)
        {
            Command::new("kill").args(["-s", signal, &child.id().to_string()]).status()?;
        }
        if start.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            bail!("it hangs for {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut said = String::new();
    child.stderr.take().context("it is piped")?.read_to_string(&mut said)?;
    ensure!(!said.contains("panicked at"), "a panic: {said}");
    Ok((!status.success()).then(|| said.trim_end().to_owned()))
}

/// Every byte of a file is right.
fn check(path: &Path, file: &File) -> anyhow::Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("no {}", file.name))?;
    ensure!(bytes.len() as u64 == file.size, "WRONG: {} has {} bytes", file.name, bytes.len());
    ensure!(Content(file.key).matches(0, &bytes), "WRONG bytes in {}", file.name);
    Ok(())
}
