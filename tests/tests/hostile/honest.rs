//! The session beside the attack, whose bytes must be right.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use kwik_client::{Client, Session};
use kwik_server::{Delegate, PathId, Paths};
use kwik_tests::Content;
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinHandle;

use crate::program;

/// What honest sessions carry.
pub(crate) const CONTENT: Content = Content(66);
/// Bytes of an exchange: within the first window of a stream, so that a delegation of them is one order.
pub(crate) const EXCHANGE: u64 = 48 << 10;
/// Longest that an exchange may take. Only what hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// An honest session, in which one exchange after the other is made.
pub(crate) enum Honest {
    /// A client that asks the server under attack.
    Asks { session: Session, _client: Client },
    /// A primary that has the secondary under attack send everything to this client.
    Delegates { primary: kwik_server::Handle, session: Session, path: PathId, _held: Held },
    /// A primary that sends to the client under attack, with the help of that secondary.
    Sends { primary: kwik_server::Handle, helper: Option<PathId>, _held: Held },
    /// A client that asks `kwik serve` for a file.
    Files { session: Session, _client: Client },
}

/// What has to last as long as a session.
pub(crate) type Held = Box<dyn std::any::Any + Send>;

/// Exchanges before the attack.
pub(crate) const BASELINE: u32 = 50;
/// Exchanges during the attack, at least.
const LEAST: usize = 20;

/// What exchanges took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    exchanges: usize,
    time: Duration,
    /// 99 of 100 exchanges took no longer.
    pub(crate) p99: Duration,
}

impl Measured {
    /// Exchanges per second.
    pub(crate) fn rate(&self) -> f64 {
        self.exchanges as f64 / self.time.as_secs_f64().max(1e-9)
    }

    fn of(mut took: Vec<Duration>) -> Self {
        took.sort();
        let p99 = took.get(took.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default();
        Self { exchanges: took.len(), time: took.iter().sum(), p99 }
    }
}

/// Exchanges under way.
pub(crate) struct Running {
    over: Arc<AtomicBool>,
    task: JoinHandle<anyhow::Result<(Honest, Measured)>>,
}

impl Running {
    /// Ends them, when there were enough. The session, and what they took.
    pub(crate) async fn stop(self) -> anyhow::Result<(Honest, Measured)> {
        self.over.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

impl Honest {
    /// Makes so many exchanges.
    pub(crate) async fn pace(&mut self, exchanges: u32) -> anyhow::Result<Measured> {
        let mut took = Vec::new();
        for _ in 0..exchanges {
            took.push(self.timed().await?);
        }
        Ok(Measured::of(took))
    }

    /// Makes exchanges until it is told to stop.
    pub(crate) fn run(self) -> Running {
        self.run_on(&tokio::runtime::Handle::current())
    }

    /// The same on another runtime.
    pub(crate) fn run_on(mut self, runtime: &tokio::runtime::Handle) -> Running {
        let over = Arc::<AtomicBool>::default();
        let stop = over.clone();
        let task = runtime.spawn(async move {
            let mut took = Vec::new();
            while took.len() < LEAST || !stop.load(Ordering::Relaxed) {
                took.push(self.timed().await?);
            }
            Ok((self, Measured::of(took)))
        });
        Running { over, task }
    }

    async fn timed(&mut self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let exchange = tokio::time::timeout(PATIENCE, self.exchange()).await;
        let exchange = match exchange {
            Ok(exchange) => exchange,
            Err(_) => bail!("an exchange is not over after {PATIENCE:?}; {}", self.state().await),
        };
        exchange?;
        Ok(start.elapsed())
    }

    /// What its ends say of themselves.
    async fn state(&mut self) -> String {
        match self {
            Self::Asks { session, .. } | Self::Files { session, .. } => {
                format!("client: {:?}", session.metrics().await)
            }
            Self::Delegates { primary, session, .. } => {
                let (client, primary) = (session.metrics().await, primary.metrics().await);
                format!("client: {client:?}; primary: {primary:?}")
            }
            Self::Sends { primary, .. } => format!("primary: {:?}", primary.metrics().await),
        }
    }

    async fn exchange(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Asks { session, .. } => {
                let mut stream = session.open_bidirectional_stream().await?;
                stream.send(EXCHANGE.to_be_bytes().to_vec().into()).await?;
                stream.finish()?;
                let (mut receive, _send) = stream.split();
                read(&mut receive).await
            }
            Self::Delegates { primary, session, path, .. } => {
                let mut stream = primary.open_send_stream().await?;
                let order = Delegate::new(0..EXCHANGE, CONTENT.resource());
                stream.delegate(order.with_paths(Paths::List(vec![*path]))).await?;
                stream.finish()?;
                let mut receive =
                    session.accept_receive_stream().await?.context("it is accepted")?;
                read(&mut receive).await
            }
            Self::Sends { primary, helper, .. } => {
                let stream = primary.open_bidirectional_stream().await?;
                let (mut receive, mut send) = stream.split();
                match *helper {
                    Some(path) => {
                        send.send(CONTENT.bytes(0, 1 << 10)).await?;
                        let order = Delegate::new(1 << 10..EXCHANGE, CONTENT.resource());
                        send.delegate(order.with_paths(Paths::List(vec![path]))).await?;
                    }
                    None => send.send(CONTENT.bytes(0, EXCHANGE as usize)).await?,
                }
                send.finish()?;
                let read = receive.read_u64().await.context("the client's word")?;
                ensure!(read == EXCHANGE, "it read {read} bytes");
                ensure!(receive.receive().await?.is_none(), "more than its word");
                Ok(())
            }
            Self::Files { session, .. } => program::fetch(session).await,
        }
    }
}

/// Reads an exchange's bytes, each of which must be right.
async fn read(stream: &mut kwik_client::stream::ReceiveStream) -> anyhow::Result<()> {
    let mut at = 0;
    while let Some(chunk) = stream.receive().await? {
        ensure!(CONTENT.matches(at, &chunk), "wrong bytes at {at}");
        at += chunk.len() as u64;
    }
    ensure!(at == EXCHANGE, "{at} bytes instead of {EXCHANGE}");
    Ok(())
}
