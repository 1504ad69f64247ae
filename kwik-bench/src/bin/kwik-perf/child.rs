//! Processes of a measurement, and how they talk to the one that started them.
//!
//! A child prints lines of JSON and reads orders, lines of text, from its standard input. It ends when that does: when
//! its [`Child`] is dropped, or the parent dies. So no process is left behind, and none is ended by name.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{self, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::role::Role;
use crate::usage::Usage;

/// Longest silence of a child that is asked something. Then the scenario has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a child may take to end after its input did.
const FAREWELL: Duration = Duration::from_secs(2);

/// A process of a measurement, as its parent holds it. Dropping it ends it.
pub(crate) struct Child {
    process: process::Child,
    orders: Option<ChildStdin>,
    lines: Receiver<String>,
    name: &'static str,
}

/// What a child says when it fails.
#[derive(Serialize, Deserialize)]
struct Failed {
    error: String,
}

impl Child {
    /// Starts this program again, as `role`.
    pub(crate) fn start(role: &Role) -> anyhow::Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .args(["role", &serde_json::to_string(role)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("a process can't be started")?;
        let orders = process.stdin.take();
        let output = process.stdout.take().context("the output was piped")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            // Ends with the child, or when nobody listens any more.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { process, orders, lines, name: role.name() })
    }

    /// The next thing that it says.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let line = match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => bail!("the {} is silent", self.name),
            Err(RecvTimeoutError::Disconnected) => bail!("the {} has died", self.name),
        };
        if let Ok(failed) = serde_json::from_str::<Failed>(&line) {
            bail!("the {} failed: {}", self.name, failed.error);
        }
        serde_json::from_str(&line).with_context(|| format!("the {} said {line}", self.name))
    }

    /// Gives it an order.
    pub(crate) fn tell(&mut self, order: &str) -> anyhow::Result<()> {
        let name = self.name;
        let orders = self.orders.as_mut().context("orders were piped")?;
        writeln!(orders, "{order}").with_context(|| format!("the {name} takes no orders"))
    }

    /// What it has used so far. Every child answers that, see [`Orders`].
    pub(crate) fn usage(&mut self) -> anyhow::Result<Usage> {
        self.tell(USAGE)?;
        self.hear()
    }

    /// Its process id.
    #[allow(dead_code, reason = "for scenarios that stop a process")]
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.orders.take());
        let patience = Instant::now() + FAREWELL;
        while Instant::now() < patience {
            match self.process.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(2)),
                _ => return,
            }
        }
        // It does not end by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const USAGE: &str = "usage";

/// The orders that a child gets. The process ends when there will be no more.
pub(crate) struct Orders(mpsc::UnboundedReceiver<String>);

impl Orders {
    /// Of this process; once. The order `usage` is answered here, at any time.
    pub(crate) fn of_this_process() -> Self {
        let (sender, orders) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                match line.as_str() {
                    USAGE => say(&Usage::now()),
                    // Fails only when the process is about to end.
                    _ => drop(sender.send(line)),
                }
            }
            process::exit(0);
        });
        Self(orders)
    }

    /// The next order.
    pub(crate) async fn next(&mut self) -> String {
        match self.0.recv().await {
            Some(order) => order,
            None => std::future::pending().await,
        }
    }

    /// Says that all is prepared, and waits for the order to go.
    pub(crate) async fn ready(&mut self) {
        say(&Ready { ready: true });
        self.next().await;
    }
}

/// What a child says before it waits for the order to go.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    ready: bool,
}

impl Child {
    /// Waits until all is prepared there.
    pub(crate) fn ready(&mut self) -> anyhow::Result<()> {
        self.hear::<Ready>().map(drop)
    }

    /// Lets it go.
    pub(crate) fn go(&mut self) -> anyhow::Result<()> {
        self.tell("go")
    }
}

/// Tells the parent something.
pub(crate) fn say<T: Serialize>(value: &T) {
    let line = serde_json::to_string(value).expect("a role says what can be written as JSON");
    let mut output = std::io::stdout().lock();
    // Fails only when the parent is gone, and then this process ends.
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

/// Tells the parent that this process failed.
pub(crate) fn say_failed(error: &anyhow::Error) {
    say(&Failed { error: format!("{error:#}") });
}
