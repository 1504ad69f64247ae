//! The application of the scenarios: a primary that sends the head of a stream itself and delegates the rest, and
//! secondaries that send what they are ordered off their disks.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::sync::Arc;
use std::time::Duration;

use kwik_client::{Connect, SessionMetrics};
use kwik_server::{Delegate, LocalSupply, PrimarySession, Refusal, SecondarySession};
use kwik_sim::link::{LinkConfig, Rate};
use kwik_sim::{Action, Disk, Event, Failure, Host, Lab, Report, SoftwareError};

pub const PRIMARY: &str = "primary";
/// What the primary sends itself before it delegates.
pub const HEAD: u64 = 64 << 10;

/// What most scenarios download.
pub const SIZE: u64 = 16 << 20;

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
}

/// How a download went.
#[derive(Debug)]
pub struct Outcome {
    /// From the request to the last byte.
    pub elapsed: Duration,
    pub metrics: SessionMetrics,
    pub report: Report,
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
        }
    }

    pub fn percent(&self, percent: u64) -> u64 {
        self.size * percent / 100
    }

    pub fn run(self, seed: u64, bound: Duration) -> Result<Outcome, Failure> {
        let mut lab = Lab::new(seed);
        let (size, local) = (self.size, self.local);
        let edges: Arc<[String]> = (0..self.secondaries.len()).map(edge).collect();
        let paths = edges.clone();
        lab.server(PRIMARY, self.primary, move |host| serve(host, size, paths.clone(), local));
        for (name, link) in edges.iter().zip(self.secondaries) {
            lab.server(name, link, obey);
        }
        for (time, action) in self.at {
            lab.at(time, action);
        }
        let (when_read, configure) = (self.when_read, self.client);
        let (read, report) =
            lab.run(bound, move |host| download(host, size, when_read, configure))?;
        let (elapsed, metrics) = read;
        Ok(Outcome { elapsed, metrics, report })
    }

    /// As [`Download::run`], of a scenario that must end well.
    pub fn finish(self, seed: u64, bound: Duration) -> Outcome {
        let outcome = self.run(seed, bound).unwrap_or_else(|failure| panic!("{failure}"));
        print(&outcome);
        outcome
    }
}

fn print(outcome: &Outcome) {
    let Outcome { elapsed, metrics, .. } = outcome;
    println!(
        "{} ms, longest stall {} ms, {} redundant bytes, {} repairs",
        elapsed.as_millis(),
        metrics.longest_stall.as_millis(),
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

async fn serve(
    host: Host,
    size: u64,
    edges: Arc<[String]>,
    local: Local,
) -> Result<(), SoftwareError> {
    let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
    while let Some(session) = server.accept().await {
        let (host, edges) = (host.clone(), edges.clone());
        tokio::spawn(async move {
            if let Err(error) = answer(&host, session, size, &edges, local).await {
                host.note(error.to_string());
            }
        });
    }
    Ok(())
}

async fn answer(
    host: &Host,
    mut session: PrimarySession,
    size: u64,
    edges: &[String],
    local: Local,
) -> Result<(), SoftwareError> {
    let Some(mut stream) = session.accept_bidirectional_stream().await? else { return Ok(()) };
    while stream.receive().await?.is_some() {}
    for edge in edges {
        session.handle().add_path(host.path_to(edge)).await?;
    }
    let (_, mut send) = stream.split();
    let head = HEAD.min(size);
    send.send(Disk::content(0, head as usize)).await?;
    let order = Delegate::new(head..size, "v1".into());
    let own = Arc::new(host.disk());
    let order = match local {
        Local::None => order,
        Local::Fallback => order.with_local(own, LocalSupply::Fallback),
        Local::Share => order.with_local(own, LocalSupply::Share),
    };
    send.delegate(order).await?;
    let events = async {
        while let Some(event) = session.next_event().await {
            host.note(format!("{event:?}"));
        }
    };
    let close = async {
        let closed = send.close().await;
        host.note(format!("stream closed: {closed:?}"));
    };
    tokio::join!(events, close);
    Ok(())
}

async fn obey(host: Host) -> Result<(), SoftwareError> {
    let server = host.server()?.with_trusted_primaries([host.public_key_of(PRIMARY)])?.start()?;
    let (_primaries, mut secondaries) = server.split();
    while let Some(session) = secondaries.accept().await {
        tokio::spawn(follow(host.clone(), session));
    }
    Ok(())
}

async fn follow(host: Host, mut session: SecondarySession) {
    while let Ok(Some(order)) = session.next_delegation().await {
        let disk = host.disk();
        if disk.version() != 1 {
            order.refuse(Refusal::Stale);
            continue;
        }
        tokio::spawn(async move {
            let range = order.range();
            let mut contribution = order.accept().await?;
            let mut at = range.start;
            while at < range.end {
                let length = (range.end - at).min(64 << 10) as usize;
                contribution.write_at(at, disk.read(at, length).await).await?;
                at += length as u64;
            }
            contribution.finish().await?;
            Ok::<(), SoftwareError>(())
        });
    }
}

async fn download(
    host: Host,
    size: u64,
    when_read: Vec<(u64, Action)>,
    configure: fn(kwik_client::Builder) -> kwik_client::Builder,
) -> Result<(Duration, SessionMetrics), SoftwareError> {
    let client = configure(host.client().with_tls(host.pin_of(PRIMARY))?).start()?;
    let mut session = client.connect(Connect::new(host.address_of(PRIMARY))).await?;
    let mut stream = session.open_bidirectional_stream().await?;
    let start = host.now();
    stream.finish()?;
    let mut due = when_read.into_iter().peekable();
    let mut at = 0;
    while let Some(chunk) = stream.receive().await? {
        assert!(Disk::is_content(at, &chunk), "wrong bytes in {} from {at} on", chunk.len());
        at += chunk.len() as u64;
        while let Some((_, action)) = due.next_if(|(offset, _)| *offset <= at) {
            host.act(action);
        }
    }
    assert_eq!(at, size, "the stream ended early");
    let elapsed = host.now() - start;
    Ok((elapsed, session.metrics().await?))
}
