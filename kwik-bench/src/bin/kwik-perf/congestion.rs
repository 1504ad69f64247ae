//! `kwik-perf congestion`: what bare s2n-quic and KWIK get of links that lose, reorder, queue and are shared, by the
//! congestion control of their servers.
//!
//! Each figure is what one stream delivers in the first seconds, slow start included, as a share of the links' rate.

use serde_json::{Value, json};

use crate::cli::{self, Options};
use crate::client::{Transfer, Work};
use crate::link::Shape;
use crate::report::{Report, rounded};
use crate::role::{Congestion, Stack};
use crate::spread::{Network, Own, Void};
use crate::statistics::median;
use kwik_io::endpoint::CongestionControl;

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
                all.push(Self::new(format!("reordering {ms} ms, RTT {rtt_ms} ms"), shape));
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
    /// Time in the fullest queue, milliseconds.
    queue_ms: Vec<f64>,
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
    if wanted("shared") {
        report.value("shared", shared(seconds * 3.0, options, &mut void)?);
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
        if run > 0 {
            all.reverse();
        }
        for (control, (way, _), samples) in &mut all {
            once(condition.shape, *control, *way, seconds, samples, void)?;
        }
    }
    let mut row = serde_json::Map::new();
    row.insert("condition".into(), condition.name.clone().into());
    if options.runs % 2 == 0 {
        all.reverse();
    }
    for (control, (_, name), samples) in &all {
        let figures = json!({
            "share": rounded(median(&samples.share)),
            "worst": rounded(samples.share.iter().copied().fold(f64::MAX, f64::min)),
            "sent": rounded(median(&samples.sent)),
            "queue_ms": rounded(median(&samples.queue_ms)),
        });
        row.insert(format!("{}_{name}", control.0), figures);
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
    let reports = network.check(void)?;
    let rate = shape.rate.unwrap_or_default() as f64 / 8.0;
    samples.share.push(transfer.bytes as f64 / transfer.seconds / (rate * links as f64));
    let entered: u64 = reports.iter().map(|link| link.down_sent_bytes).sum();
    samples.sent.push(entered as f64 / transfer.bytes.max(1) as f64);
    let fullest = reports.iter().map(|link| link.queue_mean_bytes).max().unwrap_or_default();
    samples.queue_ms.push(fullest as f64 / rate * 1e3);
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

/// Several senders behind one link of 48 Mbit/s and 20 ms.
fn shared(seconds: f64, options: &Options, void: &mut Void) -> anyhow::Result<Vec<Value>> {
    let shape = Shape::new(RATE, 20);
    let rate = RATE as f64 * 1e6 / 8.0;
    let mut rows = Vec::new();
    for control in CONTROLS {
        let (mut together, mut queues) = (Vec::new(), Vec::new());
        let (mut beside, mut pair) = (Vec::new(), Vec::new());
        for _ in 0..options.runs {
            let mut network = Network::of_kwik_behind(shape, SOURCES, control)?;
            let transfer = goodput(&network, Stack::Kwik, SOURCES - 1, seconds, Some(Own::Share))?;
            let reports = network.check(void)?;
            together.push(transfer.bytes as f64 / transfer.seconds / rate);
            queues.push(reports[0].queue_mean_bytes as f64 / rate * 1e3);
            let [own, rival] = rivals(shape, control, seconds, void)?;
            beside.push(own.bytes as f64 / (own.bytes + rival.bytes).max(1) as f64);
            pair.push((own.bytes + rival.bytes) as f64 / own.seconds / rate);
        }
        rows.push(json!({
            "control": control.0.to_string(),
            "three_sources_share": rounded(median(&together)),
            "three_sources_queue_ms": rounded(median(&queues)),
            "of_two_with_cubic": rounded(median(&beside)),
            "both_share": rounded(median(&pair)),
        }));
    }
    Ok(rows)
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
