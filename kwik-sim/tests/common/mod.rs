//! The application of the scenarios: a primary that sends the head of a stream itself and delegates the rest, and
//! secondaries that send what they are ordered off their disks.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, unused_imports)]

mod figures;
mod service;

use std::sync::Arc;
use std::time::Duration;

use kwik_client::{Connect, SessionMetrics};
use kwik_server::PathId;
use kwik_sim::link::{LinkConfig, Rate};
use kwik_sim::{Action, Disk, Event, Failure, Host, Lab, Report, SoftwareError, Switches};

pub use figures::*;
use service::{Service, obey, serve};
pub use service::{order, send};

pub const PRIMARY: &str = "primary";
/// What the primary sends itself before it delegates.
pub const HEAD: u64 = 64 << 10;

/// What most scenarios download.
pub const SIZE: u64 = 16 << 20;

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
    pub size: u64,
    /// From the request to the last byte.
    pub elapsed: Duration,
    /// From the byte that 99 % are read with to the last one.
    pub tail: Duration,
    /// The longest time between two chunks that the reader got, the first included.
    pub pause: Duration,
    /// What the servers' links carried.
    pub wire: Wire,
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
        self.timed_notes().map(|(_, text)| text)
    }

    /// The same, with the time.
    pub fn timed_notes(&self) -> impl Iterator<Item = (Duration, &str)> {
        self.report.events.iter().filter_map(|(at, event)| match event {
            Event::Note { text, .. } => Some((*at, text.as_str())),
            _ => None,
        })
    }

    /// When something was first done to somebody.
    fn fault(&self) -> Duration {
        let mut events = self.report.events.iter();
        let action = events.find(|(_, event)| matches!(event, Event::Action(_)));
        action.map_or(Duration::ZERO, |(at, _)| *at)
    }

    /// Ranges that the primary took from a path, or had copied because the path was late with them, after something was
    /// done.
    pub fn lost_by(&self, index: usize) -> usize {
        let path = format!("PathId({})", index + 1);
        let (lost, late) = (format!("path: {path}"), format!("late: {path}"));
        let told = |text: &str| {
            text.contains("Lost {") && text.contains(&lost)
                || text.contains("Hedged {") && text.contains(&late)
        };
        let fault = self.fault();
        self.timed_notes().filter(|(at, text)| *at >= fault && told(text)).count()
    }

    /// Whether the primary said that it asks a path no more, and why.
    pub fn excludes(&self, index: usize, reason: &str) -> bool {
        let path = format!("Excluded {{ stream: StreamId(0), path: PathId({})", index + 1);
        self.notes().any(|text| text.contains(&path) && text.contains(reason))
    }

    /// Who of the secondaries was the first to be ordered the byte at `offset`.
    pub fn owner_of(&self, offset: u64) -> usize {
        let host = self.named("ordered ", offset).next().unwrap();
        host.strip_prefix("edge").unwrap().parse().unwrap()
    }

    /// Which secondary sent the last full datagram to the client, and when.
    pub fn last_sender(&self) -> (Duration, usize) {
        let edges = &self.metrics.paths[1..];
        let mut events = self.report.events.iter().rev();
        let last = events.find_map(|(at, event)| match event {
            Event::Sent { from, length: 1_000.., .. } => {
                Some((*at, edges.iter().position(|edge| edge.address == *from)?))
            }
            _ => None,
        });
        last.unwrap()
    }

    /// Whether a secondary heard that its range with that byte was delivered.
    pub fn has_sent(&self, index: usize, offset: u64) -> bool {
        self.named("sent ", offset).any(|host| host == edge(index))
    }

    /// Hosts whose notes name a range with that byte after `what`.
    fn named(&self, what: &str, offset: u64) -> impl Iterator<Item = &str> {
        let holds = move |range: &str| {
            let (start, end) = range.split_once("..").unwrap();
            (start.parse().unwrap()..end.parse().unwrap()).contains(&offset)
        };
        self.report.events.iter().filter_map(move |(_, event)| match event {
            Event::Note { host, text } => {
                text.strip_prefix(what).filter(|range| holds(range)).map(|_| host.as_str())
            }
            _ => None,
        })
    }
}

/// A secondary's name.
pub fn edge(index: usize) -> String {
    format!("edge{index}")
}

/// Runs `test` with five seeds; its second argument is one of three secondaries, each of them at least once.
/// `KWIK_SEEDS=50` runs so many, `KWIK_SEED=17` seed 17 alone.
pub fn for_seeds(test: impl Fn(u64, usize)) {
    let variable = |name| -> Option<u64> {
        let text = std::env::var(name).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
    };
    let seeds = match variable("KWIK_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=variable("KWIK_SEEDS").unwrap_or(5),
    };
    for seed in seeds {
        let victim = (seed % 3) as usize;
        println!("seed {seed}, secondary {victim}");
        test(seed, victim);
    }
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
        let wire = Wire::of(&report);
        Ok(Outcome { size, elapsed, tail, pause, wire, metrics, report })
    }

    /// As [`Download::run`], of a scenario that must end well.
    pub fn finish(self, seed: u64, bound: Duration) -> Outcome {
        let outcome = self.run(seed, bound).unwrap_or_else(|failure| panic!("{failure}"));
        outcome.print();
        outcome
    }
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
