//! `kwik-perf smooth`: whether a reader has to wait, and what a stream costs another.

use std::time::Duration;

use crate::cast::Cast;
use crate::cli::{Options, Smooth};
use crate::client::Load;
use crate::latency::SECONDARIES;
use crate::link::Shape;
use crate::report::{Report, Target, rounded};
use crate::spread::{Network, Outcome, Own, Spread, Void, spread};

/// What is read from links of 100 Mbit/s, and the least that shows anything.
const LENGTH: u64 = 120 << 20;
const LEAST: u64 = 1 << 20;
/// How long a player plays.
const PLAYS: f64 = 14.0;
/// A player's links, Mbit/s each, and the part of that which is content: the rest is headers of IP, UDP, QUIC and KWIK.
const PLAYER_LINK: u64 = 10;
const PAYLOAD: f64 = 0.96;
/// After which part of what is played the first link fails, and for how long; that part of it later the second.
const FIRST_FAILS: u64 = 7;
const FAILS: Duration = Duration::from_secs(3);
const BETWEEN: u32 = 3;

/// Each run reads over equal and unequal links, plays at three rates while links fail, and measures round trips beside a flood.
pub(crate) fn run(only: &Smooth, options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::new("smooth");
    let mut void = Void::default();
    let wanted = |name: &str| only.only.as_deref().is_none_or(|text: &str| name.contains(text));
    for (name, rates, targets) in [
        ("equal", [100, 100, 100], [Some(3.0), None, None]),
        ("unequal", [15, 60, 100], [None, Some(1_200.0), Some(200.0)]),
    ] {
        if wanted(name) {
            let outcomes = repeated(options, || download(rates, options, &mut void))?;
            tell(&mut report, name, &outcomes, targets);
        } else {
            report.skip(name);
        }
    }
    for mbit in [8, 16, 25] {
        let name = format!("steady_{mbit}");
        if wanted(&name) {
            let outcomes = repeated(options, || play(mbit, options, &mut void))?;
            let unavoidable = unavoidable_ms(mbit);
            let targets = if unavoidable > 0.0 {
                report.value(&format!("{name}_unavoidable_ms"), rounded(unavoidable));
                [None, Some(unavoidable * 1.1), None]
            } else {
                [Some(0.0), None, None]
            };
            tell(&mut report, &name, &outcomes, targets);
            let length = played(mbit, options) as f64;
            let redundant = outcomes.iter().map(|outcome| outcome.redundant_bytes as f64 / length);
            let redundant: Vec<f64> = redundant.collect();
            report.aim(&format!("{name}_redundant_ratio"), &redundant, Target::AtMost(0.03));
        } else {
            report.skip(name);
        }
    }
    if wanted("flood") {
        flood(&mut report, options)?;
    } else {
        report.skip("flood");
    }
    void.tell(&mut report);
    Ok(report)
}

fn repeated(
    options: &Options,
    mut run: impl FnMut() -> anyhow::Result<Outcome>,
) -> anyhow::Result<Vec<Outcome>> {
    (0..options.runs).map(|_| run()).collect()
}

/// One stream over three links, the primary's first.
fn download(rates: [u64; 3], options: &Options, void: &mut Void) -> anyhow::Result<Outcome> {
    let mut network = Network::of_kwik(&rates.map(|mbit| Shape::new(mbit, 20)))?;
    let length = options.amount(LENGTH, LEAST);
    let stream = Spread { length, own: Own::Share, notice: None, pace: None };
    let outcome = spread(&mut network, stream, |_| Ok(()))?;
    network.check(void)?;
    Ok(outcome)
}

fn played(mbit: u64, options: &Options) -> u64 {
    options.amount((mbit as f64 * 1e6 / 8.0 * PLAYS) as u64, LEAST)
}

/// A reader of that rate over three links of 10 Mbit/s; each of the secondaries' fails for a while, one after the other.
fn play(mbit: u64, options: &Options, void: &mut Void) -> anyhow::Result<Outcome> {
    let mut network = Network::of_kwik(&[Shape::new(PLAYER_LINK, 20); 3])?;
    let (length, pace) = (played(mbit, options), Some(mbit * 1_000_000 / 8));
    let notice = Some(length / FIRST_FAILS);
    let stream = Spread { length, own: Own::Share, notice, pace };
    let fails = if options.is_full() { FAILS } else { Duration::from_millis(100) };
    let outcome = spread(&mut network, stream, |network| {
        for link in [1, 2] {
            network.link(link).silence()?;
            std::thread::sleep(fails);
            network.link(link).restore()?;
            std::thread::sleep(fails / BETWEEN);
        }
        Ok(())
    })?;
    network.check(void)?;
    Ok(outcome)
}

/// What a player of that rate has to wait though every link is always full and every byte comes in order: what the links bring
/// less than is played, once what they brought more before is played too.
fn unavoidable_ms(mbit: u64) -> f64 {
    let content = |links: f64| links * PLAYER_LINK as f64 * PAYLOAD;
    let (all, left, plays) = (content(3.0), content(2.0), mbit as f64);
    let fails = FAILS.as_secs_f64();
    let (mut stock, mut waits) = (0.0f64, 0.0);
    for ahead in [PLAYS / FIRST_FAILS as f64, fails / f64::from(BETWEEN)] {
        stock += (all - plays) * ahead + (left - plays) * fails;
        waits += (-stock).max(0.0) / left * 1e3;
        stock = stock.max(0.0);
    }
    waits
}

/// Of the targets: pauses, their sum, the longest.
fn tell(report: &mut Report, name: &str, outcomes: &[Outcome], targets: [Option<f64>; 3]) {
    let each = |pick: fn(&Outcome) -> f64| outcomes.iter().map(pick).collect::<Vec<f64>>();
    let figures = [
        ("pauses", each(|outcome| outcome.pauses as f64)),
        ("pauses_ms", each(|outcome| outcome.pauses_ms)),
        ("longest_stall_ms", each(|outcome| outcome.longest_stall_ms)),
    ];
    for ((figure, samples), target) in figures.into_iter().zip(targets) {
        let key = format!("{name}_{figure}");
        match target {
            Some(most) => report.aim(&key, &samples, Target::AtMost(most)),
            None => report.measure(&key, &samples),
        };
    }
    for (figure, samples) in [
        ("seconds", each(|outcome| outcome.seconds)),
        ("peak_buffer_bytes", each(|outcome| outcome.peak_buffer_bytes as f64)),
        ("in_order_p50_ms", each(|outcome| outcome.in_order_ms[0])),
        ("in_order_p99_ms", each(|outcome| outcome.in_order_ms[1])),
        ("in_order_max_ms", each(|outcome| outcome.in_order_ms[2])),
        ("redundant_bytes", each(|outcome| outcome.redundant_bytes as f64)),
    ] {
        report.measure(&format!("{name}_{figure}"), &samples);
    }
}

/// 1 KiB there and back on a public stream of the primary while three secondaries send all that they can on another.
fn flood(report: &mut Report, options: &Options) -> anyhow::Result<()> {
    let cast = Cast::new()?;
    let messages = options.amount(3_000, 30);
    let load = Some(Load::Delegated { rate: 0 });
    let trips = (0..options.runs).map(|_| cast.kwik(messages, SECONDARIES, load));
    let trips = trips.collect::<anyhow::Result<Vec<_>>>()?;
    let of =
        |what: fn(&crate::client::Latencies) -> f64| trips.iter().map(what).collect::<Vec<_>>();
    report.measure("flood_gbps", &of(|trip| trip.load * 8.0 / 1e9));
    report.measure("flood_p50_us", &of(|trip| trip.p50_us));
    report.aim("flood_p99_us", &of(|trip| trip.p99_us), Target::AtMost(4_000.0));
    Ok(())
}
