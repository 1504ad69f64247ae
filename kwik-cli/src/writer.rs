//! Hashing and writing, beside the network.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::output::Output;
use crate::tag::Tag;

#[cfg(test)]
mod tests;

/// Chunks that wait to be written. When full the reader waits, and with it, through the window, the servers.
const QUEUE: usize = 64;
/// How long nothing may come before the output makes durable what it has.
const IDLE: Duration = Duration::from_millis(500);
/// How long bytes may be held for a larger write. Shorter: more and smaller writes of what comes slowly. Longer: who reads a
/// pipe waits.
const LINGER: Duration = Duration::from_millis(20);

/// A thread that hashes what it is given and writes it to an [`Output`].
#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Bytes>,
    written: JoinHandle<anyhow::Result<Written>>,
}

/// Everything is written, though not committed.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) output: Output,
    /// BLAKE3 of what was written, by this and by earlier processes.
    pub(crate) tag: Tag,
    /// When the last byte was written.
    pub(crate) at: Instant,
}

impl Writer {
    /// Starts the thread. Needs a tokio runtime.
    pub(crate) fn start(output: Output) -> Self {
        let (queue, chunks) = mpsc::channel(QUEUE);
        Self { queue, written: tokio::task::spawn_blocking(move || write_all(chunks, output)) }
    }

    /// Queues `bytes`; `false` if writing has failed, which [`finish`](Self::finish) explains.
    pub(crate) async fn write(&self, bytes: Bytes) -> bool {
        self.queue.send(bytes).await.is_ok()
    }

    /// Waits until everything is written.
    pub(crate) async fn finish(self) -> anyhow::Result<Written> {
        drop(self.queue);
        self.written.await.context("the writing thread")?
    }
}

fn write_all(mut chunks: mpsc::Receiver<Bytes>, mut output: Output) -> anyhow::Result<Written> {
    let runtime = Handle::current();
    let mut batch = Vec::with_capacity(QUEUE);
    // When the oldest byte that is held came.
    let mut since: Option<Instant> = None;
    loop {
        let patience = since.map_or(IDLE, |since| LINGER.saturating_sub(since.elapsed()));
        let more = chunks.recv_many(&mut batch, QUEUE);
        match runtime.block_on(async { tokio::time::timeout(patience, more).await }) {
            Ok(0) => break,
            Ok(_) => batch.drain(..).try_for_each(|chunk| output.write(&chunk))?,
            Err(_) => output.pause()?,
        }
        since = (output.held() > 0).then(|| since.unwrap_or_else(Instant::now));
    }
    let tag = output.finish()?;
    Ok(Written { output, tag, at: Instant::now() })
}
