//! The client of a measurement: connects, waits for the order to go, does its work, says what it found.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use bytes::Bytes;
use kwik_io::endpoint::EndpointLimits;
use serde::{Deserialize, Serialize};

use crate::child::{Orders, say};
use crate::role::{Stack, Threads};
use crate::spread::{self, Own, Spread};
use crate::statistics::{quantile, sorted};
use crate::traffic::{Request, Session, ask, drain, round_trip};
use crate::usage::cpu_time;
use crate::{attach, kwik, many, native, peers};

/// A client, and what it does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) stack: Stack,
    pub(crate) threads: Threads,
    pub(crate) server: SocketAddr,
    /// Secondaries that have to be attached before it is ready.
    pub(crate) secondaries: usize,
    /// Bidirectional streams that it may have open, as the server allows.
    pub(crate) streams: u32,
    pub(crate) max_mtu: u16,
    /// The authority of the server's certificate, PEM.
    pub(crate) chain: String,
    pub(crate) work: Work,
}

/// What a client does when it is told to go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Reads one stream of so many bytes, which the server writes in chunks of this size. Says a [`Transfer`].
    Download { length: u64, chunk: u64 },
    /// Reads one stream for so many seconds: what the server itself sends, or what several servers do. Says a
    /// [`Transfer`].
    Goodput { seconds: f64, own: Option<Own> },
    /// Sends messages on one stream and waits for each to come back. Says [`Latencies`].
    PingPong { messages: u64, size: u64, load: Option<Load> },
    /// Reads one stream that several servers send; KWIK only. Says a [`spread::Outcome`].
    Spread(Spread),
    /// Reads what a secondary sends that is attached for it; KWIK only. Says the [`attach::Moment`] of the first byte.
    Attach,
    /// Reads a stream, and then another. Says when the first byte of that came.
    Second,
    /// Reads so many streams of that length, so many at once. Says a [`Transfer`].
    Streams { at_once: u64, total: u64, length: u64 },
    /// Opens sessions; reads so many streams of each, one after the other, that the secondaries send; all sessions at
    /// once. Says a [`Transfer`].
    Sessions { count: u64, streams: u64, length: u64 },
    /// The same of bare connections: a pair for each session, of which one is idle, the other to `sender`.
    Pairs { count: u64, streams: u64, length: u64, sender: SocketAddr },
}

/// What is read on another stream meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Load {
    /// The server itself sends, at so many bytes a second in all.
    Own { rate: u64 },
    /// The secondaries send, each at so many bytes a second; 0: as fast as it can.
    Delegated { rate: u64 },
}

/// What a download took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Transfer {
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    /// The client's own.
    pub(crate) cpu_seconds: f64,
    /// What came beside them on KWIK's carriers: headers of streams and frames.
    pub(crate) header_bytes: u64,
}

/// How long round trips took, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Latencies {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Bytes a second that came on the other stream meanwhile.
    pub(crate) load: f64,
}

/// A load that never ends by itself.
const ENDLESS: u64 = 1 << 40;
/// How long a load may take to come. Only what is broken takes so long, on a machine that is busy with other work too.
const LOAD_PATIENCE: Duration = Duration::from_secs(120);

/// Plays the client.
pub(crate) async fn run(client: &Client, orders: &mut Orders) -> anyhow::Result<()> {
    if let Work::Sessions { count, streams, length } = client.work {
        say(&many::sessions(client, count, streams, length, orders).await?);
        return Ok(());
    }
    if let Work::Pairs { count, streams, length, sender } = client.work {
        say(&many::pairs(client, sender, (count, streams, length), orders).await?);
        return Ok(());
    }
    match client.stack {
        Stack::Native => {
            let limits = EndpointLimits { max_mtu: client.max_mtu, ..native::limits(100) };
            let endpoint = native::client(&client.chain, limits)?;
            let mut session = native::connect(&endpoint, client.server).await?;
            work(&client.work, &mut session, orders).await
        }
        Stack::Kwik => {
            let endpoint = match client.streams {
                0..=100 => kwik::client(&client.chain, client.threads, client.max_mtu)?,
                more => kwik::roomy_client(&client.chain, 128 << 20, more)?,
            };
            let mut session = kwik::connect(&endpoint, client.server, client.secondaries).await?;
            match client.work {
                Work::Spread(stream) => spread::read(&mut session, stream, orders).await,
                Work::Attach => attach::read(&mut session, orders).await,
                _ => work(&client.work, &mut session, orders).await,
            }
        }
    }
}

async fn work(work: &Work, session: &mut impl Session, orders: &mut Orders) -> anyhow::Result<()> {
    match *work {
        Work::Download { length, chunk } => {
            orders.ready().await;
            say(&download(session, length, chunk).await?);
        }
        Work::Goodput { seconds, own } => {
            orders.ready().await;
            say(&goodput(session, seconds, own).await?);
        }
        Work::Spread(_) | Work::Attach => bail!("a bare connection has one server"),
        Work::PingPong { messages, size, load } => {
            say(&ping_pong(session, messages, size, load, orders).await?);
        }
        Work::Streams { at_once, total, length } => {
            orders.ready().await;
            say(&many::streams(session, at_once, total, length).await?);
        }
        Work::Second => peers::read(session, orders).await?,
        Work::Sessions { .. } | Work::Pairs { .. } => {}
    }
    Ok(())
}

async fn download(session: &mut impl Session, length: u64, chunk: u64) -> anyhow::Result<Transfer> {
    let (start, cpu) = (Instant::now(), cpu_time());
    let mut stream = ask(session, Request::Bulk { length, chunk }).await?;
    let bytes = drain(&mut stream, |_| {}).await?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_time() - cpu);
    ensure!(bytes == length, "{bytes} bytes came of {length}");
    let header_bytes = session.carried().await?.saturating_sub(bytes);
    Ok(Transfer { bytes, seconds, cpu_seconds: cpu.as_secs_f64(), header_bytes })
}

async fn goodput(
    session: &mut impl Session,
    seconds: f64,
    own: Option<Own>,
) -> anyhow::Result<Transfer> {
    let (start, cpu) = (Instant::now(), cpu_time());
    let request = match own {
        Some(own) => Request::Spread { length: ENDLESS, own },
        None => Request::Bulk { length: ENDLESS, chunk: 64 << 10 },
    };
    let mut stream = ask(session, request).await?;
    let mut bytes = 0;
    let end = Duration::from_secs_f64(seconds);
    // It ends by the time alone.
    let _ = tokio::time::timeout(end, drain(&mut stream, |more| bytes += more)).await;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_time() - cpu);
    Ok(Transfer { bytes, seconds, cpu_seconds: cpu.as_secs_f64(), header_bytes: 0 })
}

async fn ping_pong(
    session: &mut impl Session,
    messages: u64,
    size: u64,
    load: Option<Load>,
    orders: &mut Orders,
) -> anyhow::Result<Latencies> {
    let loaded = Arc::new(AtomicU64::new(0));
    if let Some(load) = load {
        start_load(session, load, loaded.clone()).await?;
    }
    let mut stream = ask(session, Request::Echo { size }).await?;
    let message = Bytes::from(vec![0xa5; usize::try_from(size)?]);
    for _ in 0..messages / 10 + 1 {
        round_trip(&mut stream, &message).await?;
    }
    orders.ready().await;
    let (start, before) = (Instant::now(), loaded.load(Ordering::Relaxed));
    let mut times = Vec::with_capacity(usize::try_from(messages)?);
    // A figure beside a load needs the load: few messages may fit between two of its bursts.
    let deadline = Instant::now() + LOAD_PATIENCE;
    let came = loop {
        times.push(round_trip(&mut stream, &message).await?.as_secs_f64() * 1e6);
        let came = loaded.load(Ordering::Relaxed) - before;
        if times.len() as u64 >= messages && (load.is_none() || came > 0) {
            break came;
        }
        ensure!(load.is_none() || came > 0 || Instant::now() < deadline, "the load has stopped");
    };
    let times = sorted(&times);
    Ok(Latencies {
        p50_us: quantile(&times, 0.5),
        p99_us: quantile(&times, 0.99),
        load: came as f64 / start.elapsed().as_secs_f64(),
    })
}

/// Has bytes come on another stream; returns once they do.
async fn start_load(
    session: &mut impl Session,
    load: Load,
    loaded: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let request = match load {
        Load::Own { rate } => Request::Paced { length: ENDLESS, rate },
        Load::Delegated { rate } => Request::Delegated { length: ENDLESS, rate },
    };
    let mut stream = ask(session, request).await?;
    let counter = loaded.clone();
    tokio::spawn(async move {
        drain(&mut stream, |bytes| {
            counter.fetch_add(bytes, Ordering::Relaxed);
        })
        .await
    });
    let deadline = Instant::now() + LOAD_PATIENCE;
    while loaded.load(Ordering::Relaxed) < 1 << 20 {
        ensure!(Instant::now() < deadline, "the load does not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
