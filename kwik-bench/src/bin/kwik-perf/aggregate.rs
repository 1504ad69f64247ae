//! `kwik-perf aggregate`: several links at once, against the sum of what bare s2n-quic gets on each alone.

use serde_json::json;

use crate::cli::{Aggregate, Options};
use crate::link::Shape;
use crate::report::{Report, Target};
use crate::spread::{Network, Outcome, Own, Spread, Void, bare, spread};
use crate::statistics::median;

/// How long the links are kept busy: bytes of each are so many seconds of its rate. Slow start takes a tenth of a
/// second, a twenty-fifth of this.
const SECONDS: f64 = 2.5;
/// The least that is sent over a link.
const LEAST: u64 = 1 << 20;

/// Servers behind links: which, and who sends.
struct Layout {
    name: &'static str,
    /// The primary's first.
    links: Vec<Shape>,
    own: Own,
    target: f64,
}

impl Layout {
    fn of(links: Aggregate) -> Self {
        let edges = |count: usize, rtt_ms: u64| vec![Shape::new(100, rtt_ms); count];
        if links.mix {
            let links = vec![Shape::new(100, 10), Shape::new(50, 40), Shape::new(20, 80)];
            return Self { name: "aggregate --mix", links, own: Own::Share, target: 0.9 };
        }
        if links.far {
            let mut links = edges(3, 5);
            links.insert(0, Shape::new(100, 150));
            return Self { name: "aggregate --far", links, own: Own::Fallback, target: 0.9 };
        }
        Self { name: "aggregate", links: edges(4, 20), own: Own::Share, target: 0.95 }
    }

    /// The links that carry the stream.
    fn carrying(&self) -> &[Shape] {
        match self.own {
            Own::Share => &self.links,
            Own::Fallback => &self.links[1..],
        }
    }
}

/// Bytes that keep a link busy for a while.
fn length(shape: &Shape, options: &Options) -> u64 {
    let bytes = shape.rate.unwrap_or_default() as f64 / 8.0 * SECONDS;
    options.amount(bytes as u64, LEAST)
}

fn mbps(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 * 8.0 / seconds / 1e6
}

pub(crate) fn run(links: Aggregate, options: &Options) -> anyhow::Result<Report> {
    if links.sources {
        return curve(options);
    }
    let layout = Layout::of(links);
    let total = layout.carrying().iter().map(|shape| length(shape, options)).sum();
    let (mut kwik, mut native, mut void) = (Vec::new(), Vec::new(), Void::default());
    for run in 0..options.runs {
        if run % 2 == 0 {
            kwik.push(together(&layout, total, &mut void)?);
            native.push(alone(&layout, options, &mut void)?);
        } else {
            native.push(alone(&layout, options, &mut void)?);
            kwik.push(together(&layout, total, &mut void)?);
        }
    }
    Ok(report(&layout, total, &kwik, &native, void))
}

fn together(layout: &Layout, length: u64, void: &mut Void) -> anyhow::Result<Outcome> {
    let mut network = Network::of_kwik(&layout.links)?;
    let stream = Spread { length, own: layout.own, notice: None, pace: None };
    let outcome = spread(&mut network, stream, |_| Ok(()))?;
    network.check(void)?;
    Ok(outcome)
}

/// What a bare connection gets on each link, Mbit/s.
fn alone(layout: &Layout, options: &Options, void: &mut Void) -> anyhow::Result<Vec<f64>> {
    let rate = |shape: &Shape| {
        let transfer = bare(*shape, length(shape, options), void)?;
        Ok(mbps(transfer.bytes, transfer.seconds))
    };
    layout.carrying().iter().map(rate).collect()
}

fn report(
    layout: &Layout,
    total: u64,
    kwik: &[Outcome],
    native: &[Vec<f64>],
    void: Void,
) -> Report {
    let mut report = Report::new(layout.name);
    let rates: Vec<f64> = kwik.iter().map(|outcome| mbps(total, outcome.seconds)).collect();
    let sums: Vec<f64> = native.iter().map(|rates| rates.iter().sum()).collect();
    let efficiency: Vec<f64> = rates.iter().zip(&sums).map(|(rate, sum)| rate / sum).collect();
    report.aim("efficiency", &efficiency, Target::AtLeast(layout.target));
    report.measure("kwik_mbps", &rates);
    report.measure("native_sum_mbps", &sums);
    let each = |pick: fn(&Outcome) -> f64| kwik.iter().map(pick).collect::<Vec<f64>>();
    report.measure("peak_buffer_bytes", &each(|outcome| outcome.peak_buffer_bytes as f64));
    report.measure("longest_stall_ms", &each(|outcome| outcome.longest_stall_ms));
    smoothness(&mut report, kwik);
    report.measure("first_byte_ms", &each(|outcome| outcome.first_byte_ms));
    report.measure("redundant_bytes", &each(|outcome| outcome.redundant_bytes as f64));
    void.tell(&mut report);
    report
}

/// Whether the bytes came in the reader's order.
pub(crate) fn smoothness(report: &mut Report, kwik: &[Outcome]) {
    let each = |pick: fn(&Outcome) -> f64| kwik.iter().map(pick).collect::<Vec<f64>>();
    report.measure("pauses", &each(|outcome| outcome.pauses as f64));
    report.measure("pauses_ms", &each(|outcome| outcome.pauses_ms));
    report.measure("in_order_p50_ms", &each(|outcome| outcome.in_order_ms[0]));
    report.measure("in_order_p99_ms", &each(|outcome| outcome.in_order_ms[1]));
    report.measure("in_order_max_ms", &each(|outcome| outcome.in_order_ms[2]));
}

/// One to eight sources of 100 Mbit/s at 20 ms, the primary among them.
fn curve(options: &Options) -> anyhow::Result<Report> {
    const MOST: usize = 8;
    let mut report = Report::new("aggregate --sources");
    let shape = Shape::new(100, 20);
    let (mut native, mut void) = (Vec::new(), Void::default());
    let mut kwik = vec![Vec::new(); MOST];
    for run in 0..options.runs {
        let transfer = bare(shape, length(&shape, options), &mut void)?;
        native.push(mbps(transfer.bytes, transfer.seconds));
        for turn in 0..MOST {
            let sources = if run % 2 == 0 { turn + 1 } else { MOST - turn };
            let links = vec![shape; sources];
            let layout = Layout { name: "", links, own: Own::Share, target: 0.0 };
            let total = sources as u64 * length(&shape, options);
            let outcome = together(&layout, total, &mut void)?;
            kwik[sources - 1]
                .push((mbps(total, outcome.seconds), outcome.peak_buffer_bytes as f64));
        }
    }
    let alone = report.measure("native_mbps", &native);
    let points = (1..).zip(&kwik).map(|(sources, runs)| {
        let (rates, buffers): (Vec<f64>, Vec<f64>) = runs.iter().copied().unzip();
        let mbps = median(&rates);
        json!({
            "sources": sources,
            "kwik_mbps": mbps.round(),
            "efficiency": (mbps / (alone * f64::from(sources)) * 1e3).round() / 1e3,
            "peak_buffer_bytes": median(&buffers),
        })
    });
    report.value("curve", points.collect::<Vec<_>>());
    void.tell(&mut report);
    Ok(report)
}
