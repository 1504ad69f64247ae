//! The application of the scenarios: a primary that sends the head of a stream itself and delegates the rest, and
//! secondaries that send what they are ordered off their disks.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::sync::Arc;
use std::time::Duration;

use kwik_client::{Connect, SessionMetrics};
use kwik_server::{
    Delegate, Delegation, Handle, LocalSupply, PathId, PrimarySession, Refusal, SecondarySession,
};
use kwik_sim::link::{LinkConfig, Rate};
use kwik_sim::{Action, Disk, Event, Failure, Host, Lab, Report, SoftwareError, Switches};

pub const PRIMARY: &str = "primary";
/// What the primary sends itself before it delegates.
pub const HEAD: u64 = 64 << 10;

/// What most scenarios download.
pub const SIZE: u64 = 16 << 20;
/// What a secondary writes at a time.
const PIECE: u64 = 64 << 10;

/// Bytes that hedges and the end game may send twice: 3 % and 256 KiB.
pub fn redundancy(size: u64) -> u64 {
    size * 3 / 100 + (256 << 10)
}

/// So many secondaries at 40 Mbit/s and 20 ms.
pub fn edges(count: usize) -> Vec<LinkConfig> {
    vec![link(40, 20); count]
}

/// A link of that many Mbit/s and that round trip, with a queue of one bandwidth-delay product, at least 64 KiB.
pub fn link(mbit: u64, rtt_ms: u64) -> LinkConfig {
    let (rate, rtt) = (Rate::mbit(mbit), Duration::from_millis(rtt_ms));
    let queue = rate.bytes_in(rtt).max(64 << 10) as usize;
    LinkConfig { rate: Some(rate), delay: rtt / 2, queue, ..LinkConfig::default() }
}

/// Whether the primary has the content itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    None,
    Fallback,
    Share,
}

/// One download, and what happens meanwhile.
pub struct Download {
    pub size: u64,
    pub primary: LinkConfig,
    pub secondaries: Vec<LinkConfig>,
    pub local: Local,
    /// What is done when the reader has so many bytes.
    pub when_read: Vec<(u64, Action)>,
    /// What is done at a time.
    pub at: Vec<(Duration, Action)>,
    /// The client's settings.
    pub client: fn(kwik_client::Builder) -> kwik_client::Builder,
    /// How each secondary works; those that are not named are honest.
    pub manners: Vec<Manner>,
    /// How often the primary takes a secondary out and puts another in.
    pub churn: Option<Duration>,
    /// Bytes per second that the reader takes.
    pub reader: Option<u64>,
    /// Which mechanisms run.
    pub switches: Switches,
    /// Whether the primary names the hash of each range.
    pub proof: bool,
}

/// How a secondary works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// Sends what it is ordered, in order.
    #[default]
    Honest,
    /// Sends the end of each range first.
    Backwards,
    /// Breaks off in the middle of every so many-th order.
    BreaksOff(u64),
    /// Accepts every so many-th order and never sends a byte of it: its disk does not answer for that one.
    Hangs(u64),
    /// Sends one byte in 20 ms.
    Drips,
}

/// How a download went.
#[derive(Debug)]
pub struct Outcome {
    /// From the request to the last byte.
    pub elapsed: Duration,
    /// From the byte that 99 % are read with to the last one.
    pub tail: Duration,
    /// The longest time between two chunks that the reader got, the first included.
    pub pause: Duration,
    pub metrics: SessionMetrics,
    pub report: Report,
}

/// What the client's software found.
struct Read {
    elapsed: Duration,
    tail: Duration,
    pause: Duration,
    metrics: SessionMetrics,
}

impl Outcome {
    /// What the hosts had to say.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.report.events.iter().filter_map(|(_, event)| match event {
            Event::Note { text, .. } => Some(text.as_str()),
            _ => None,
        })
    }
}

/// A secondary's name.
pub fn edge(index: usize) -> String {
    format!("edge{index}")
}

impl Download {
    /// `size` bytes, from a primary at 20 ms and these secondaries.
    pub fn new(size: u64, secondaries: Vec<LinkConfig>) -> Self {
        Self {
            size,
            primary: link(50, 20),
            secondaries,
            local: Local::Fallback,
            when_read: Vec::new(),
            at: Vec::new(),
            client: |builder| builder,
            manners: Vec::new(),
            churn: None,
            reader: None,
            switches: Switches::default(),
            proof: false,
        }
    }

    pub fn percent(&self, percent: u64) -> u64 {
        self.size * percent / 100
    }

    pub fn run(self, seed: u64, bound: Duration) -> Result<Outcome, Failure> {
        let mut lab = Lab::new(seed);
        lab.switch(self.switches);
        let (size, local, churn, proof) = (self.size, self.local, self.churn, self.proof);
        let edges: Arc<[String]> = (0..self.secondaries.len()).map(edge).collect();
        let paths = edges.clone();
        lab.server(PRIMARY, self.primary, move |host| {
            let service = Service { size, edges: paths.clone(), local, churn, proof };
            serve(host, service)
        });
        for (index, (name, link)) in edges.iter().zip(self.secondaries).enumerate() {
            let manner = self.manners.get(index).copied().unwrap_or_default();
            lab.server(name, link, move |host| obey(host, manner));
        }
        for (time, action) in self.at {
            lab.at(time, action);
        }
        let (when_read, configure, reader) = (self.when_read, self.client, self.reader);
        let (read, report) =
            lab.run(bound, move |host| download(host, size, when_read, configure, reader))?;
        let Read { elapsed, tail, pause, metrics } = read;
        Ok(Outcome { elapsed, tail, pause, metrics, report })
    }

    /// As [`Download::run`], of a scenario that must end well.
    pub fn finish(self, seed: u64, bound: Duration) -> Outcome {
        let outcome = self.run(seed, bound).unwrap_or_else(|failure| panic!("{failure}"));
        print(&outcome);
        outcome
    }
}

fn print(outcome: &Outcome) {
    if std::env::var_os("KWIK_NOTES").is_some() {
        for (at, event) in &outcome.report.events {
            if let Event::Note { host, text } = event {
                println!("{:>6} ms {host}: {text}", at.as_millis());
            }
        }
    }
    let Outcome { elapsed, metrics, .. } = outcome;
    println!(
        "{} ms, last 1 % in {} ms, longest pause {} ms, {} redundant bytes, {} repairs",
        elapsed.as_millis(),
        outcome.tail.as_millis(),
        outcome.pause.as_millis(),
        metrics.redundant_bytes,
        metrics.repairs
    );
    for path in &metrics.paths {
        println!("  {} {:?} {} bytes, {}", path.address, path.role, path.bytes, path.state);
    }
    for stall in &metrics.stalls {
        println!(
            "  stalled at {} ms for {} ms: {} bytes from {}, owed by {:?}, ended by {:?}",
            stall.at.as_millis(),
            stall.duration.as_millis(),
            stall.length,
            stall.offset,
            stall.path,
            stall.ended_by
        );
    }
}

/// What the primary serves.
#[derive(Clone)]
struct Service {
    size: u64,
    edges: Arc<[String]>,
    local: Local,
    churn: Option<Duration>,
    proof: bool,
}

async fn serve(host: Host, service: Service) -> Result<(), SoftwareError> {
    let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
    while let Some(session) = server.accept().await {
        let (host, service) = (host.clone(), service.clone());
        tokio::spawn(async move {
            if let Err(error) = answer(&host, session, &service).await {
                host.note(error.to_string());
            }
        });
    }
    Ok(())
}

async fn answer(
    host: &Host,
    mut session: PrimarySession,
    service: &Service,
) -> Result<(), SoftwareError> {
    let Some(mut stream) = session.accept_bidirectional_stream().await? else { return Ok(()) };
    while stream.receive().await?.is_some() {}
    let handle = session.handle();
    let mut paths = Vec::new();
    for edge in service.edges.iter() {
        paths.push(handle.add_path(host.path_to(edge)).await?);
    }
    let (_, mut send) = stream.split();
    let head = HEAD.min(service.size);
    send.send(Disk::content(0, head as usize)).await?;
    if head < service.size {
        let order = order(host, head..service.size, service.local);
        send.delegate(if service.proof { order.with_proof() } else { order }).await?;
    }
    let events = async {
        while let Some(event) = handle.next_event().await {
            host.note(format!("{event:?}"));
        }
    };
    let close = async {
        let closed = send.close().await;
        host.note(format!("stream closed: {closed:?}"));
        host.note(format!("{:?}", handle.metrics().await));
    };
    let changes = async {
        match service.churn {
            Some(every) => churn(host, &handle, service, paths, every).await,
            None => revocations(host, &handle, service, paths).await,
        }
    };
    tokio::select! {
        biased;
        ((), ()) = async { tokio::join!(events, close) } => Ok(()),
        () = changes => Ok(()),
    }
}

/// The order for a range of the stream.
pub fn order(host: &Host, range: std::ops::Range<u64>, local: Local) -> Delegate {
    let order = Delegate::new(range, "v1".into());
    let own = Arc::new(host.disk());
    match local {
        Local::None => order,
        Local::Fallback => order.with_local(own, LocalSupply::Fallback),
        Local::Share => order.with_local(own, LocalSupply::Share),
    }
}

/// Takes out who is revoked.
async fn revocations(host: &Host, handle: &Handle, service: &Service, paths: Vec<PathId>) {
    let waits = service.edges.iter().zip(paths).map(|(edge, path)| {
        let (host, handle, edge) = (host.clone(), handle.clone(), edge.clone());
        Box::pin(async move {
            host.revoked(&edge).await;
            let removed = handle.remove_path(path).await;
            host.note(format!("{edge} removed: {removed}"));
        }) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
    });
    let mut waits: Vec<_> = waits.collect();
    std::future::poll_fn(|cx| {
        waits.retain_mut(|wait| wait.as_mut().poll(cx).is_pending());
        std::task::Poll::<()>::Pending
    })
    .await;
}

/// Half of the secondaries are out at any time.
async fn churn(
    host: &Host,
    handle: &Handle,
    service: &Service,
    mut paths: Vec<PathId>,
    every: Duration,
) {
    let half = service.edges.len() / 2;
    for path in paths.split_off(half) {
        handle.remove_path(path).await;
    }
    let mut out = half;
    loop {
        tokio::time::sleep(every).await;
        handle.remove_path(paths.remove(0)).await;
        let next = &service.edges[out % service.edges.len()];
        out += 1;
        match handle.add_path(host.path_to(next)).await {
            Ok(path) => paths.push(path),
            Err(error) => host.note(format!("{next} was not added: {error}")),
        }
        if paths.is_empty() {
            return std::future::pending().await;
        }
    }
}

async fn obey(host: Host, manner: Manner) -> Result<(), SoftwareError> {
    let server = host.server()?.with_trusted_primaries([host.public_key_of(PRIMARY)])?.start()?;
    let (_primaries, mut secondaries) = server.split();
    while let Some(session) = secondaries.accept().await {
        tokio::spawn(follow(host.clone(), session, manner));
    }
    Ok(())
}

async fn follow(host: Host, mut session: SecondarySession, manner: Manner) {
    let mut orders = 0;
    while let Ok(Some(order)) = session.next_delegation().await {
        let disk = host.disk();
        if disk.version() != 1 {
            order.refuse(Refusal::Stale);
            continue;
        }
        orders += 1;
        let breaks = matches!(manner, Manner::BreaksOff(every) if orders % every == 0);
        let hangs = matches!(manner, Manner::Hangs(every) if orders % every == 0);
        let backwards = manner == Manner::Backwards;
        let host = host.clone();
        tokio::spawn(async move {
            if hangs {
                let _contribution = order.accept().await;
                return std::future::pending().await;
            }
            if manner == Manner::Drips {
                return drip(&disk, order).await;
            }
            let ended = send(&disk, order, breaks, backwards).await;
            ended.inspect_err(|error| host.note(format!("a contribution ended: {error}")))
        });
    }
}

/// Does what an order says, or half of it.
pub async fn send(
    disk: &Disk,
    order: Delegation,
    breaks: bool,
    backwards: bool,
) -> Result<(), SoftwareError> {
    let range = order.range();
    let mut contribution = order.accept().await?;
    let mut starts: Vec<u64> = (range.start..range.end).step_by(PIECE as usize).collect();
    if breaks {
        starts.truncate(starts.len() / 2);
    }
    if backwards {
        starts.reverse();
    }
    for at in starts {
        let length = (range.end - at).min(PIECE) as usize;
        contribution.write_at(at, disk.read(at, length).await).await?;
    }
    if breaks {
        // Dropped: the rest goes back.
        return Ok(());
    }
    contribution.finish().await?;
    Ok(())
}

async fn drip(disk: &Disk, order: Delegation) -> Result<(), SoftwareError> {
    let range = order.range();
    let mut contribution = order.accept().await?;
    for at in range {
        contribution.write_at(at, disk.read(at, 1).await).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    contribution.finish().await?;
    Ok(())
}

async fn download(
    host: Host,
    size: u64,
    when_read: Vec<(u64, Action)>,
    configure: fn(kwik_client::Builder) -> kwik_client::Builder,
    reader: Option<u64>,
) -> Result<Read, SoftwareError> {
    let client = configure(host.client().with_tls(host.pin_of(PRIMARY))?).start()?;
    let mut session = client.connect(Connect::new(host.address_of(PRIMARY))).await?;
    let mut stream = session.open_bidirectional_stream().await?;
    let start = host.now();
    stream.finish()?;
    let mut due = when_read.into_iter().peekable();
    let (mut at, mut last, mut pause, mut nearly) = (0, start, Duration::ZERO, start);
    while let Some(chunk) = stream.receive().await? {
        assert!(Disk::is_content(at, &chunk), "wrong bytes in {} from {at} on", chunk.len());
        at += chunk.len() as u64;
        let now = host.now();
        pause = pause.max(now - last);
        last = now;
        if at <= size - size / 100 {
            nearly = now;
        }
        while let Some((_, action)) = due.next_if(|(offset, _)| *offset <= at) {
            host.act(action);
        }
        if let Some(rate) = reader {
            let due = start + Duration::from_secs_f64(at as f64 / rate as f64);
            tokio::time::sleep(due.saturating_sub(now)).await;
            last = host.now();
        }
    }
    assert_eq!(at, size, "the stream ended early");
    let (elapsed, tail) = (last - start, last - nearly);
    Ok(Read { elapsed, tail, pause, metrics: session.metrics().await? })
}

/// The least time for `bytes` over `mbit` Mbit/s.
pub fn ideal(bytes: u64, mbit: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 * 8.0 / (mbit as f64 * 1e6))
}

/// What a share of the time comes to, in hundredths.
pub fn percent_of(time: Duration, percent: u32) -> Duration {
    time * percent / 100
}

/// A measured time beside its bound, printed; panics where it is over.
pub fn within(what: &str, found: Duration, bound: Duration) {
    println!("{what}: {} ms of at most {} ms", found.as_millis(), bound.as_millis());
    assert!(found <= bound, "{what}: {} ms, bound {} ms", found.as_millis(), bound.as_millis());
}

/// What must hold where any one secondary dies: the reader's pause, and the redundant bytes.
pub fn assert_graceful(outcome: &Outcome, size: u64) {
    within("longest pause", outcome.pause, Duration::from_millis(500));
    let redundant = outcome.metrics.redundant_bytes;
    println!("redundant: {redundant} of {size} bytes");
    assert!(redundant <= size * 3 / 100, "{redundant} redundant bytes");
}
