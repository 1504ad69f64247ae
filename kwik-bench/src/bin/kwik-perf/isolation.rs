//! `kwik-perf isolation`: what secondaries cost the primary's streams.

use crate::cast::Cast;
use crate::child::Child;
use crate::cli::Options;
use crate::client::{Latencies, Load, Work};
use crate::latency::SECONDARIES;
use crate::report::{Report, Target};
use crate::role::{Role, start};
use crate::throughput::measured;

/// What the primary sends at a time.
const CHUNK: u64 = 64 << 10;

#[derive(Default)]
struct Samples {
    alone_gbps: Vec<f64>,
    idle_gbps: Vec<f64>,
    flood: Vec<Latencies>,
    own: Vec<Latencies>,
}

/// Each run measures throughput without and with idle secondaries, every other run the other way round, then the
/// latency under a flood from the secondaries, and under as many bytes a second from the primary.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let length = options.amount(512 << 20, 4 << 20);
    let messages = options.amount(3_000, 30);
    let cast = Cast::new()?;
    let mut samples = Samples::default();
    for run in 0..options.runs {
        let order = if run % 2 == 0 { [0, SECONDARIES] } else { [SECONDARIES, 0] };
        for secondaries in order {
            let gbps = throughput(&cast, secondaries, length)?;
            if secondaries == 0 { &mut samples.alone_gbps } else { &mut samples.idle_gbps }
                .push(gbps);
        }
        let flood = cast.kwik(messages, SECONDARIES, Some(Load::Delegated { rate: 0 }))?;
        let own = Load::Own { rate: (flood.load as u64).max(1) };
        samples.own.push(cast.kwik(messages, 0, Some(own))?);
        samples.flood.push(flood);
    }
    Ok(report(&samples))
}

fn report(samples: &Samples) -> Report {
    let of = |samples: &[Latencies], what: fn(&Latencies) -> f64| -> Vec<f64> {
        samples.iter().map(what).collect()
    };
    let ratio = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>();
    let (flood, own) =
        (of(&samples.flood, |sample| sample.p99_us), of(&samples.own, |sample| sample.p99_us));
    let mut report = Report::new("isolation");
    report.measure("alone_gbps", &samples.alone_gbps);
    report.measure("idle_gbps", &samples.idle_gbps);
    let idle = ratio(&samples.idle_gbps, &samples.alone_gbps);
    report.aim("idle_ratio", &idle, Target::AtLeast(0.98));
    report.measure("flood_gbps", &of(&samples.flood, |sample| sample.load * 8.0 / 1e9));
    report.measure("own_load_gbps", &of(&samples.own, |sample| sample.load * 8.0 / 1e9));
    report.measure("flood_p99_us", &flood);
    report.measure("own_load_p99_us", &own);
    report.aim("flood_p99_ratio", &ratio(&flood, &own), Target::AtMost(1.5));
    report
}

/// Of the primary alone, with that many secondaries attached that have nothing to do.
fn throughput(cast: &Cast, secondaries: usize, length: u64) -> anyhow::Result<f64> {
    let (_children, attached) = cast.secondaries(secondaries)?;
    let primary = cast.primary(attached);
    let (mut server, listening) = start(&Role::Server(primary.clone()))?;
    let work = Work::Download { length, chunk: CHUNK };
    let mut client = Child::start(&cast.client(&primary, &listening, work))?;
    let (transfer, _) = measured(&mut server, &mut client)?;
    Ok(transfer.bytes as f64 * 8.0 / transfer.seconds / 1e9)
}
