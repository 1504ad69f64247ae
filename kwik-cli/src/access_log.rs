//! The access log: one line for each request, and none that a transfer waits for.

mod line;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::ValueEnum;

use crate::monitor;
use writer::{Target, Writer};

pub(crate) use line::Request;

/// Lines that wait to be written; further ones are counted and left out. More: memory, where a disk or a pipe is slow. Less: a
/// burst of small requests loses lines.
const QUEUE: usize = 1024;
/// How long the end of the program waits for what was not written yet.
const FLUSH: Duration = Duration::from_secs(1);
/// How often it is looked whether the queue has room, then.
const LOOK: Duration = Duration::from_millis(5);

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: time, client, path, result, bytes, seconds, and the bytes of each source.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Where requests are logged; by default nowhere. Clones are one log.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessLog(Option<Arc<Open>>);

#[derive(Debug)]
struct Open {
    format: Format,
    orders: SyncSender<Order>,
    dropped: Arc<AtomicU64>,
}

/// What the thread that writes is asked for.
enum Order {
    Line(String),
    /// The file may have been renamed: open it anew.
    Reopen,
    /// Say when everything before was written.
    Flush(mpsc::Sender<()>),
}

impl AccessLog {
    /// Opens a file, `-` for standard output, and starts the thread that writes.
    pub(crate) fn open(path: PathBuf, format: Format) -> anyhow::Result<Self> {
        let shown = path.display().to_string();
        let target = Target::open(path)
            .with_context(|| format!("cannot write to {shown}; choose another --access-log"))?;
        Self::write_to(Box::new(target), format).context("cannot start the access log's thread")
    }

    fn write_to(target: Box<dyn Reopen>, format: Format) -> io::Result<Self> {
        let (orders, ordered) = mpsc::sync_channel(QUEUE);
        let dropped = Arc::<AtomicU64>::default();
        let mut writer = Writer::new(target, format, Arc::clone(&dropped));
        let write = move || {
            while let Ok(order) = ordered.recv() {
                match order {
                    Order::Line(line) => writer.write(&line),
                    Order::Reopen => writer.reopen(),
                    // Who asked may not wait any more.
                    Order::Flush(done) => drop(done.send(())),
                }
            }
        };
        thread::Builder::new().name("access-log".to_owned()).spawn(write)?;
        Ok(Self(Some(Arc::new(Open { format, orders, dropped }))))
    }

    /// Logs a request. Never waits: a line that finds no room is counted, and the count is said when there is.
    pub(crate) fn log(&self, request: &Request<'_>) {
        let Some(open) = &self.0 else { return };
        let line = request.line(open.format);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            open.orders.try_send(Order::Line(line))
        {
            open.dropped.fetch_add(1, Ordering::Relaxed);
            monitor::log_line_dropped();
        }
    }

    /// Opens the file anew, for who has renamed it. What waits is written to the old one.
    pub(crate) fn reopen(&self) {
        if let Some(open) = &self.0 {
            // With a full queue the next wish does it.
            let _ = open.orders.try_send(Order::Reopen);
        }
    }

    /// Waits until what was logged is written, and no longer than a second. Blocks.
    pub(crate) fn flush(&self) {
        let Some(open) = &self.0 else { return };
        let (done, flushed) = mpsc::channel();
        let (mut order, end) = (Order::Flush(done), Instant::now() + FLUSH);
        // The queue has no send with a time limit.
        while let Err(TrySendError::Full(back)) = open.orders.try_send(order) {
            if Instant::now() > end {
                return;
            }
            order = back;
            thread::sleep(LOOK);
        }
        let _ = flushed.recv_timeout(FLUSH);
    }
}

/// What lines go to.
trait Reopen: io::Write + Send {
    /// Goes on with what the path leads to now.
    fn reopen(&mut self) -> io::Result<()>;
}

#[cfg(test)]
mod tests;
