//! A stream that several servers send, each over a link of its own: the processes, and the client's work.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::child::{Child, Orders, say};
use crate::client::{Client, Transfer, Work};
use crate::link::{self, Link, Shape};
use crate::report::Report;
use crate::role::{
    Certificate, Congestion, Identity, Listening, Role, Secondary, Server, Stack, Threads,
    default_mtu, start,
};
use crate::traffic::{Request, ask};

/// What the rival's server writes at a time: on a link chunks of 1 MiB gave the same.
const CHUNK: u64 = 64 << 10;

/// Whether the primary sends bytes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Own {
    /// Only what nobody else does.
    Fallback,
    /// As one of the sources.
    Share,
}

/// A stream for [`Work::Spread`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) length: u64,
    pub(crate) own: Own,
    /// The client says [`Reached`] when it has read so much.
    pub(crate) notice: Option<u64>,
    /// Bytes a second that the reader takes, as a player does; without it what there is. Its pauses count after its first
    /// 500 ms.
    pub(crate) pace: Option<u64>,
}

/// What a player has time to begin in.
const STARTING: Duration = Duration::from_millis(500);

/// The client has read as far as it was to notice.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Reached {
    reached: u64,
}

/// How it went.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) seconds: f64,
    /// Until the first bytes came.
    pub(crate) first_byte_ms: f64,
    /// The longest time without a byte for the reader, after the first.
    pub(crate) longest_stall_ms: f64,
    /// Such times of more than 50 ms.
    pub(crate) pauses: u64,
    /// Their sum.
    pub(crate) pauses_ms: f64,
    /// From a byte's arrival until it could be delivered in order: the median, the slowest hundredth, and the maximum, by
    /// bytes.
    pub(crate) in_order_ms: [f64; 3],
    pub(crate) redundant_bytes: u64,
    pub(crate) repairs: u64,
    pub(crate) peak_buffer_bytes: u64,
    /// What each server delivered, the primary first.
    pub(crate) shares: Vec<u64>,
}

/// The client's side.
pub(crate) async fn read(
    session: &mut kwik_client::Session,
    spread: Spread,
    orders: &mut Orders,
) -> anyhow::Result<()> {
    let Spread { length, own, mut notice, pace } = spread;
    orders.ready().await;
    let start = Instant::now();
    let mut stream = ask(session, Request::Spread { length, own }).await?;
    let (mut first, mut pauses, mut bytes) = (None, Pauses::default(), 0);
    // One that plays takes a little at a time: what it holds itself would hide pauses.
    let mut chunks = vec![Bytes::new(); if pace.is_some() { 2 } else { 64 }];
    loop {
        let asked = Instant::now();
        let (count, is_open) = stream.receive_vectored(&mut chunks).await?;
        let now = Instant::now();
        match (first, pace) {
            (None, _) => first = Some(now),
            (Some(first), Some(_)) if asked < first + STARTING => {}
            (Some(_), _) => pauses.count(now - asked),
        }
        bytes += chunks[..count].iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        chunks[..count].fill(Bytes::new());
        if notice.take_if(|at| bytes >= *at).is_some() {
            say(&Reached { reached: bytes });
        }
        if !is_open {
            break;
        }
        if let (Some(pace), Some(first)) = (pace, first) {
            let due = first + Duration::from_secs_f64(bytes as f64 / pace as f64);
            tokio::time::sleep_until(due.into()).await;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    ensure!(bytes == length, "{bytes} bytes came of {length}");
    let metrics = session.metrics().await?;
    let delay = metrics.in_order_delay.summary();
    say(&Outcome {
        seconds,
        first_byte_ms: first.map_or(0.0, |first| (first - start).as_secs_f64() * 1e3),
        longest_stall_ms: milliseconds(pauses.longest),
        pauses: pauses.noticed,
        pauses_ms: milliseconds(pauses.sum),
        in_order_ms: [delay.p50, delay.p99, delay.max].map(milliseconds),
        redundant_bytes: metrics.redundant_bytes,
        repairs: metrics.repairs,
        peak_buffer_bytes: metrics.peak_buffer_bytes,
        shares: metrics.paths.iter().map(|path| path.bytes).collect(),
    });
    Ok(())
}

/// Times without a byte for the reader.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    /// Those that a reader notices, of more than 50 ms.
    pub(crate) noticed: u64,
    pub(crate) sum: Duration,
    /// Noticed or not.
    pub(crate) longest: Duration,
}

impl Pauses {
    pub(crate) fn count(&mut self, pause: Duration) {
        self.longest = self.longest.max(pause);
        if pause > Duration::from_millis(50) {
            self.noticed += 1;
            self.sum += pause;
        }
    }
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The links of a network.
pub(crate) enum Links<'a> {
    /// Each server's own, the primary's first.
    Own(&'a [Shape]),
    /// One, with so many servers behind it.
    Shared(Shape, usize),
}

impl Links<'_> {
    fn servers(&self) -> usize {
        match self {
            Self::Own(shapes) => shapes.len(),
            Self::Shared(_, servers) => *servers,
        }
    }

    /// Puts a server behind its link; where clients of it send to.
    fn lead_to(
        &self,
        target: SocketAddr,
        index: usize,
        running: &mut Vec<Link>,
    ) -> anyhow::Result<SocketAddr> {
        let shape = match self {
            Self::Own(shapes) => shapes[index],
            Self::Shared(shape, _) => match running.first_mut() {
                Some(link) => return link.also(target),
                None => *shape,
            },
        };
        let link = Link::start(target, shape)?;
        let address = link.address();
        running.push(link);
        Ok(address)
    }
}

/// Servers that run, each behind its link. Ends when dropped.
pub(crate) struct Network {
    certificate: Certificate,
    primary: Listening,
    secondaries: usize,
    /// The primary's first.
    links: Vec<Link>,
    _servers: Vec<Child>,
}

impl Network {
    /// A primary behind the first link, and a secondary behind each other.
    pub(crate) fn of_kwik(shapes: &[Shape]) -> anyhow::Result<Self> {
        Self::of_kwik_with(shapes, Congestion::default())
    }

    /// The same, with servers that send as `congestion` says.
    pub(crate) fn of_kwik_with(shapes: &[Shape], congestion: Congestion) -> anyhow::Result<Self> {
        let links = Links::Own(shapes);
        Self::with(links, congestion, Identity::new(), Role::Server)
    }

    /// A primary and secondaries, `servers` in all, behind one link.
    pub(crate) fn of_kwik_behind(
        shape: Shape,
        servers: usize,
        congestion: Congestion,
    ) -> anyhow::Result<Self> {
        Self::with(Links::Shared(shape, servers), congestion, Identity::new(), Role::Server)
    }

    /// As [`Network::of_kwik`], with another role of the primary.
    pub(crate) fn with(
        links: Links<'_>,
        congestion: Congestion,
        identity: Identity,
        role: impl FnOnce(Server) -> Role,
    ) -> anyhow::Result<Self> {
        let secondaries = links.servers().checked_sub(1).context("a network has links")?;
        let (mut running, mut servers, mut listenings) = (Vec::new(), Vec::new(), Vec::new());
        for index in 1..=secondaries {
            let trusts = identity.public.clone();
            let secondary = Secondary { trusts, servers: 1, congestion };
            let (server, listening) = start(&Role::Secondary(secondary))?;
            let address = links.lead_to(listening.address, index, &mut running)?;
            listenings.push(Listening { address, ..listening });
            servers.push(server);
        }
        let certificate = Certificate::new()?;
        let mut server = Server::new(Stack::Kwik, Threads::Default, &certificate);
        server.identity = Some(identity.secret);
        server.secondaries = listenings;
        server.congestion = congestion;
        let (server, listening) = start(&role(server))?;
        let address = links.lead_to(listening.address, 0, &mut running)?;
        // The primary's first.
        if let Links::Own(_) = links {
            running.rotate_right(1);
        }
        servers.push(server);
        let primary = Listening { address, ..listening };
        Ok(Self { certificate, primary, secondaries, links: running, _servers: servers })
    }

    /// The rival: one bare server behind one link.
    pub(crate) fn of_bare(shape: Shape, congestion: Congestion) -> anyhow::Result<Self> {
        let certificate = Certificate::new()?;
        let mut server = Server::new(Stack::Native, Threads::Default, &certificate);
        server.congestion = congestion;
        let (server, listening) = start(&Role::Server(server))?;
        let links = vec![Link::start(listening.address, shape)?];
        let primary = Listening { address: links[0].address(), ..listening };
        Ok(Self { certificate, primary, secondaries: 0, links, _servers: vec![server] })
    }

    /// A client that is ready to go.
    pub(crate) fn client(
        &self,
        stack: Stack,
        secondaries: usize,
        work: Work,
    ) -> anyhow::Result<Child> {
        self.client_of(self.primary.address, stack, secondaries, work)
    }

    /// The same, of another server.
    pub(crate) fn client_of(
        &self,
        server: SocketAddr,
        stack: Stack,
        secondaries: usize,
        work: Work,
    ) -> anyhow::Result<Child> {
        let chain = self.certificate.chain.clone();
        let threads = Threads::Default;
        let (streams, max_mtu) = (100, default_mtu());
        let client = Client { stack, threads, server, secondaries, streams, max_mtu, chain, work };
        let mut child = Child::start(&Role::Client(client))?;
        child.ready()?;
        Ok(child)
    }

    /// The link of a server; 0: the primary's.
    pub(crate) fn link(&mut self, index: usize) -> &mut Link {
        &mut self.links[index]
    }

    /// The primary's process.
    pub(crate) fn primary(&mut self) -> &mut Child {
        self._servers.last_mut().expect("it is started last")
    }

    /// Asks the links how they did.
    pub(crate) fn check(&mut self, void: &mut Void) -> anyhow::Result<Vec<link::Report>> {
        let reports: anyhow::Result<Vec<_>> = self.links.iter_mut().map(Link::report).collect();
        let reports = reports?;
        reports.iter().for_each(|report| void.see(report));
        Ok(reports)
    }

    /// Another bare server behind the first link, with the same certificate. Where clients of it send to.
    pub(crate) fn also_bare(&mut self, congestion: Congestion) -> anyhow::Result<SocketAddr> {
        let mut server = Server::new(Stack::Native, Threads::Default, &self.certificate);
        server.congestion = congestion;
        let (server, listening) = start(&Role::Server(server))?;
        // The primary is the last.
        self._servers.insert(0, server);
        self.links[0].also(listening.address)
    }
}

/// With `KWIK_PERF_LOG` set, every outcome and what every link says of itself goes to standard error.
fn log(what: &impl Debug) {
    if std::env::var_os("KWIK_PERF_LOG").is_some() {
        eprintln!("{what:?}");
    }
}

/// Links that did not keep their times, of all that were used. Medians bear some; more than a tenth void the scenario.
#[derive(Debug, Default)]
pub(crate) struct Void {
    first: Option<String>,
    seen: usize,
    links: usize,
    late_p99_us: u64,
}

impl Void {
    /// What a link says of itself.
    pub(crate) fn see(&mut self, report: &link::Report) {
        log(report);
        self.seen += 1;
        self.late_p99_us = self.late_p99_us.max(report.late_p99_us);
        if let Some(reason) = report.invalid() {
            self.links += 1;
            self.first.get_or_insert(reason);
        }
    }

    /// Says so in a report.
    pub(crate) fn tell(self, report: &mut Report) {
        report.value("link_late_p99_us", self.late_p99_us);
        report.value("links", self.seen);
        report.value("void_links", self.links);
        if let Some(reason) = self.first.filter(|_| self.links * 10 > self.seen) {
            report
                .invalidate(format!("{} of {} links, the first: {reason}", self.links, self.seen));
        }
    }
}

/// One stream from all servers of a network; `at_notice` is called when the client has read as far as it was to notice.
pub(crate) fn spread(
    network: &mut Network,
    spread: Spread,
    at_notice: impl FnOnce(&mut Network) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let mut client = network.client(Stack::Kwik, network.secondaries, Work::Spread(spread))?;
    client.go()?;
    if spread.notice.is_some() {
        client.hear::<Reached>()?;
        at_notice(network)?;
    }
    let outcome = client.hear()?;
    log(&outcome);
    Ok(outcome)
}

/// What a bare connection does over one link.
pub(crate) fn bare(shape: Shape, length: u64, void: &mut Void) -> anyhow::Result<Transfer> {
    let mut network = Network::of_bare(shape, Congestion::default())?;
    let mut client = network.client(Stack::Native, 0, Work::Download { length, chunk: CHUNK })?;
    client.go()?;
    let transfer = client.hear()?;
    network.check(void)?;
    Ok(transfer)
}
