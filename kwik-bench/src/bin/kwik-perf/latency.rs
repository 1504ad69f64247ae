//! `kwik-perf latency`: a message there and back on an open stream.

use crate::cast::Cast;
use crate::cli::Options;
use crate::client::{Latencies, Load};
use crate::report::{Report, Target};

/// What each of three secondaries delivers meanwhile: 100 Mbit/s, so that all processes have room on two cores.
pub(crate) const BUSY: u64 = 12_500_000;
/// How many secondaries.
pub(crate) const SECONDARIES: usize = 3;

/// Each run measures bare s2n-quic, KWIK, and KWIK with busy secondaries, every other run in the opposite order.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let messages = options.amount(5_000, 50);
    let cast = Cast::new()?;
    let mut samples: [Vec<Latencies>; 3] = Default::default();
    for run in 0..options.runs {
        for index in 0..samples.len() {
            let index = if run % 2 == 0 { index } else { samples.len() - 1 - index };
            samples[index].push(match index {
                0 => cast.native(messages)?,
                1 => cast.kwik(messages, 0, None)?,
                _ => cast.kwik(messages, SECONDARIES, Some(Load::Delegated { rate: BUSY }))?,
            });
        }
    }
    Ok(report(&samples))
}

fn report([native, kwik, busy]: &[Vec<Latencies>; 3]) -> Report {
    let of = |samples: &[Latencies], what: fn(&Latencies) -> f64| -> Vec<f64> {
        samples.iter().map(what).collect()
    };
    let added = |samples: &[Latencies], what: fn(&Latencies) -> f64| -> Vec<f64> {
        samples.iter().zip(native).map(|(ours, bare)| what(ours) - what(bare)).collect()
    };
    let p50 = |sample: &Latencies| sample.p50_us;
    let p99 = |sample: &Latencies| sample.p99_us;
    let mut report = Report::new("latency");
    report.measure("native_p50_us", &of(native, p50));
    report.measure("native_p99_us", &of(native, p99));
    report.measure("kwik_p50_us", &of(kwik, p50));
    report.measure("kwik_p99_us", &of(kwik, p99));
    report.aim("added_p50_us", &added(kwik, p50), Target::AtMost(20.0));
    report.aim("added_p99_us", &added(kwik, p99), Target::AtMost(100.0));
    report.measure("busy_p50_us", &of(busy, p50));
    report.measure("busy_p99_us", &of(busy, p99));
    report.measure("busy_load_mbps", &of(busy, |sample| sample.load * 8.0 / 1e6));
    report.aim("busy_added_p99_us", &added(busy, p99), Target::Below(1000.0));
    report
}
