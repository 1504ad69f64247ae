//! `kwik-perf congestion`: what bare s2n-quic and KWIK get of links that lose, reorder, queue and are shared, by the
//! congestion control of their servers.
//!
//! Each figure is what one stream delivers in the first seconds, slow start included, as a share of the links' rate.

use kwik_io::endpoint::CongestionControl;
use serde_json::{Value, json};

use crate::cli::{self, Options};
use crate::client::{Transfer, Work};
use crate::link::{self, Shape};
use crate::report::{Report, rounded};
use crate::role::{Certificate, Congestion, Server, Stack, Threads};
use crate::spread::{Network, Own, Void};
use crate::statistics::median;
use crate::throughput::transfer;

/// Mbit/s of every link: low enough for four forwarders on two cores.
const RATE: u64 = 48;
/// How long a stream is read: a hundred round trips of the usual link.
const SECONDS: f64 = 4.0;
/// Sources of a KWIK stream that has several.
const SOURCES: usize = 3;

const CONTROLS: [Congestion; 2] =
    [Congestion(CongestionControl::Cubic), Congestion(CongestionControl::Bbr)];

/// A condition of the links.
struct Condition {
    name: String,
    shape: Shape,
    /// Of the usual time.
    longer: f64,
}

impl Condition {
    fn new(name: impl Into<String>, shape: Shape) -> Self {
        Self { name: name.into(), shape, longer: 1.0 }
    }

    /// Conditions of links that are not shared.
    fn all() -> Vec<Self> {
        let clean = |rtt_ms| Shape::new(RATE, rtt_ms);
        let mut all = vec![
            Self::new("RTT 20 ms", clean(20)),
            Self::new("RTT 1 ms", clean(1)),
            Self { longer: 2.0, ..Self::new("RTT 200 ms", clean(200)) },
        ];
        for percent in [1, 3] {
            let lost_per_million = percent * 10_000;
            let shape = Shape { lost_per_million, ..clean(20) };
            all.push(Self::new(format!("loss {percent} %, RTT 20 ms"), shape));
        }
        for rtt_ms in [20, 60] {
            for ms in [1, 5, 15, 30] {
                let shape = Shape { reordering_us: ms * 1_000, ..clean(rtt_ms) };
                let name = format!("reordering {ms} ms, RTT {rtt_ms} ms");
                // What is in order comes late where little comes.
                let longer = if ms < 5 { 1.0 } else { 2.0 };
                all.push(Self { longer, ..Self::new(name, shape) });
            }
        }
        let bdp = clean(20).queue;
        let shallow = Shape { queue: bdp / 10, ..clean(20) };
        all.push(Self::new("queue a tenth of the BDP, RTT 20 ms", shallow));
        let bloated = Shape { queue: (RATE * 1_000_000 / 8 * 2) as usize, ..clean(20) };
        all.push(Self { longer: 2.0, ..Self::new("queue 2 s, RTT 20 ms", bloated) });
        all
    }
}

/// What one way got, run by run.
#[derive(Default)]
struct Samples {
    /// Share of the links' rate.
    share: Vec<f64>,
    /// Bytes that entered the links for each that was delivered.
    sent: Vec<f64>,
    /// What a datagram waits in the fullest queue, on average, milliseconds.
    queue_ms: Vec<f64>,
}

impl Samples {
    fn add(&mut self, shape: Shape, links: usize, transfer: &Transfer, reports: &[link::Report]) {
        let rate = shape.rate.unwrap_or_default() as f64 / 8.0;
        self.share.push(transfer.bytes as f64 / transfer.seconds / (rate * links as f64));
        let entered: u64 = reports.iter().map(|link| link.down_sent_bytes).sum();
        self.sent.push(entered as f64 / transfer.bytes.max(1) as f64);
        let fullest = reports.iter().map(|link| link.queue_mean_bytes).max().unwrap_or_default();
        self.queue_ms.push(fullest as f64 / rate * 1e3);
    }

    fn figures(&self) -> Value {
        json!({
            "share": rounded(median(&self.share)),
            "worst": rounded(self.share.iter().copied().fold(f64::MAX, f64::min)),
            "sent": rounded(median(&self.sent)),
            "queue_ms": rounded(median(&self.queue_ms)),
        })
    }
}

/// Which library, and over how many links.
#[derive(Clone, Copy)]
enum Way {
    Bare,
    One,
    Several,
}

const WAYS: [(Way, &str); 3] =
    [(Way::Bare, "bare"), (Way::One, "kwik_1"), (Way::Several, "kwik_3")];

pub(crate) fn run(cells: &cli::Congestion, options: &Options) -> anyhow::Result<Report> {
    // It takes a quarter of an hour each time.
    let options = &options.with_runs((options.runs / 4).max(1));
    let mut report = Report::new("congestion");
    let mut void = Void::default();
    let wanted = |name: &str| cells.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let seconds = cells.seconds.unwrap_or(if options.is_full() { SECONDS } else { 0.5 });
    let conditions = Condition::all().into_iter().filter(|condition| wanted(&condition.name));
    let conditions: Vec<_> = conditions.collect();
    let mut rows = Vec::new();
    for condition in &conditions {
        rows.push(measure(condition, seconds, options, &mut void)?);
    }
    if !rows.is_empty() {
        report.value("conditions", rows);
    }
    if wanted("sources") {
        report.value("sources", sources(seconds * 2.0, options, &mut void)?);
    }
    if wanted("beside") {
        report.value("beside_cubic", beside_cubic(seconds * 3.0, options, &mut void)?);
    }
    if wanted("loopback") {
        report.value("loopback", loopback(options)?);
    }
    void.tell(&mut report);
    Ok(report)
}

/// One condition with every control and way, interleaved.
fn measure(
    condition: &Condition,
    seconds: f64,
    options: &Options,
    void: &mut Void,
) -> anyhow::Result<Value> {
    let seconds = seconds * condition.longer;
    let mut all: Vec<_> = CONTROLS
        .iter()
        .flat_map(|control| WAYS.iter().map(|way| (*control, *way, Samples::default())))
        .collect();
    for run in 0..options.runs {
        let mut turns: Vec<_> = all.iter_mut().collect();
        if run % 2 == 1 {
            turns.reverse();
        }
        for (control, (way, _), samples) in turns {
            once(condition.shape, *control, *way, seconds, samples, void)?;
        }
    }
    let mut row = serde_json::Map::new();
    row.insert("condition".into(), condition.name.clone().into());
    for (control, (_, name), samples) in &all {
        row.insert(format!("{}_{name}", control.0), samples.figures());
    }
    Ok(row.into())
}

fn once(
    shape: Shape,
    control: Congestion,
    way: Way,
    seconds: f64,
    samples: &mut Samples,
    void: &mut Void,
) -> anyhow::Result<()> {
    let (mut network, stack, own, links) = match way {
        Way::Bare => (Network::of_bare(shape, control)?, Stack::Native, None, 1),
        Way::One => (Network::of_kwik_with(&[shape], control)?, Stack::Kwik, None, 1),
        Way::Several => {
            let network = Network::of_kwik_with(&[shape; SOURCES], control)?;
            (network, Stack::Kwik, Some(Own::Share), SOURCES)
        }
    };
    let transfer = goodput(&network, stack, links - 1, seconds, own)?;
    samples.add(shape, links, &transfer, &network.check(void)?);
    Ok(())
}

fn goodput(
    network: &Network,
    stack: Stack,
    secondaries: usize,
    seconds: f64,
    own: Option<Own>,
) -> anyhow::Result<Transfer> {
    let mut client = network.client(stack, secondaries, Work::Goodput { seconds, own })?;
    client.go()?;
    client.hear()
}

/// KWIK's sources behind one link: do they share it, and do more of them help against reordering?
fn sources(seconds: f64, options: &Options, void: &mut Void) -> anyhow::Result<Vec<Value>> {
    let clean = Shape::new(RATE, 20);
    let reordering = Shape { reordering_us: 5_000, ..clean };
    let mut rows = Vec::new();
    for (condition, shape) in [("clean", clean), ("reordering 5 ms", reordering)] {
        for sources in [1, 3, 8] {
            let mut row = serde_json::Map::new();
            row.insert("condition".into(), condition.into());
            row.insert("sources".into(), sources.into());
            for control in CONTROLS {
                let mut samples = Samples::default();
                for _ in 0..options.runs {
                    let mut network = Network::of_kwik_behind(shape, sources, control)?;
                    let own = Some(Own::Share);
                    let transfer = goodput(&network, Stack::Kwik, sources - 1, seconds, own)?;
                    samples.add(shape, 1, &transfer, &network.check(void)?);
                }
                row.insert(control.0.to_string(), samples.figures());
            }
            rows.push(row.into());
        }
    }
    Ok(rows)
}

/// A bare connection of each control beside one with Cubic, by the room of the queue.
fn beside_cubic(seconds: f64, options: &Options, void: &mut Void) -> anyhow::Result<Vec<Value>> {
    let usual = Shape::new(RATE, 20);
    let mut rows = Vec::new();
    for (queue, room) in [("a quarter", 0.25), ("one", 1.0), ("four", 4.0)] {
        let shape = Shape { queue: (usual.queue as f64 * room) as usize, ..usual };
        let rate = RATE as f64 * 1e6 / 8.0;
        let mut row = serde_json::Map::new();
        row.insert("queue_bdp".into(), queue.into());
        for control in CONTROLS {
            let (mut part, mut both) = (Vec::new(), Vec::new());
            for _ in 0..options.runs {
                let [own, rival] = rivals(shape, control, seconds, void)?;
                let sum = (own.bytes + rival.bytes).max(1) as f64;
                part.push(own.bytes as f64 / sum);
                both.push(sum / own.seconds / rate);
            }
            let figures = json!({
                "part": rounded(median(&part)),
                "both_share": rounded(median(&both)),
            });
            row.insert(control.0.to_string(), figures);
        }
        rows.push(row.into());
    }
    Ok(rows)
}

/// One stream over loopback, without a link.
fn loopback(options: &Options) -> anyhow::Result<Vec<Value>> {
    let length = options.amount(1 << 30, 4 << 20);
    let certificate = Certificate::new()?;
    let mut all = [Stack::Native, Stack::Kwik]
        .map(|stack| CONTROLS.map(|control| (stack, control, Vec::new(), Vec::new())));
    for run in 0..options.runs {
        let mut turns: Vec<_> = all.iter_mut().flatten().collect();
        if run % 2 == 1 {
            turns.reverse();
        }
        for (stack, congestion, gbps, cpu) in turns {
            let mut server = Server::new(*stack, Threads::Default, &certificate);
            server.congestion = *congestion;
            let (transfer, cpu_seconds) = transfer(server, length, 64 << 10)?;
            gbps.push(transfer.bytes as f64 * 8.0 / transfer.seconds / 1e9);
            cpu.push(cpu_seconds * (1u64 << 30) as f64 / transfer.bytes as f64);
        }
    }
    let row = |(stack, control, gbps, cpu): &(Stack, Congestion, Vec<f64>, Vec<f64>)| {
        json!({
            "stack": if *stack == Stack::Native { "bare" } else { "kwik" },
            "control": control.0.to_string(),
            "gbps": rounded(median(gbps)),
            "cpu_s_per_gib": rounded(median(cpu)),
        })
    };
    Ok(all.iter().flatten().map(row).collect())
}

/// A bare connection, and one with Cubic beside it, over one link.
fn rivals(
    shape: Shape,
    control: Congestion,
    seconds: f64,
    void: &mut Void,
) -> anyhow::Result<[Transfer; 2]> {
    let mut network = Network::of_bare(shape, control)?;
    let rival = network.also_bare(Congestion(CongestionControl::Cubic))?;
    let work = || Work::Goodput { seconds, own: None };
    let mut first = network.client(Stack::Native, 0, work())?;
    let mut second = network.client_of(rival, Stack::Native, 0, work())?;
    first.go()?;
    second.go()?;
    let transfers = [first.hear()?, second.hear()?];
    network.check(void)?;
    Ok(transfers)
}
